"""Files of the hub, on a stand-in: address, token, the digest it states, and its cache."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from huggingface_hub import constants

from bench.data.fetch import place
from bench.data.fetch.download import download
from bench.data.fetch.http import Patience
from bench.data.fetch.hub import remote_of
from bench.data.fetch.sources import SourceFile
from bench.util.errors import DataError
from tests.conftest import run_cli
from tests.data.fetch import world
from tests.data.fetch.site import Page, Site

FILE = SourceFile(hub="datasets/someone/sets", file="small.tgz")
PLACE = "datasets/someone/sets/resolve/main/small.tgz"
CONTENT = b"pixels " * 1000
QUICK = Patience(connections=2, chunk=1000, tries=2, pause=0.01, silence=5)


@pytest.fixture(autouse=True)
def _stand_in(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world.stand_in_for_the_hub(monkeypatch, site.url(""), tmp_path)


def test_the_hub_says_where_and_what(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    site.pages[PLACE] = Page(redirect=site.url("cdn", host="localhost"), linked=digest)
    site.pages["cdn"] = Page(CONTENT)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    got = download(remote_of(FILE), tmp_path, QUICK)
    assert (got.path.read_bytes(), got.checked) == (CONTENT, "sha256 as the server states it")
    assert {(one.path, one.authorization) for one in site.asked} == {
        (PLACE, "Bearer hf_secret"),
        ("cdn", ""),
    }


def test_a_digest_that_the_hub_states_is_held_to(site: Site, tmp_path: Path) -> None:
    site.pages[PLACE] = Page(redirect=site.url("cdn"), linked="0" * 64)
    site.pages["cdn"] = Page(CONTENT)
    with pytest.raises(DataError, match=f"stated is {'0' * 64}"):
        download(remote_of(FILE), tmp_path, QUICK)


def test_a_model_has_another_address(site: Site) -> None:
    found = remote_of(SourceFile(hub="zzhowe/GRMP-IQA", file="a.pt"))
    assert found.url == site.url("zzhowe/GRMP-IQA/resolve/main/a.pt")
    assert found.headers == {}
    assert found.home == site.url("zzhowe/GRMP-IQA")


def cached(folder: Path, content: bytes) -> Path:
    """What the hub's own client leaves in its cache."""
    top = folder / "hub" / "datasets--someone--sets"
    (top / "refs").mkdir(parents=True)
    (top / "refs" / "main").write_text("c0ffee")
    path = top / "snapshots" / "c0ffee" / "small.tgz"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_a_file_in_the_hubs_cache_is_taken_and_left(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "making").mkdir()
    path = cached(tmp_path, world.tgz(tmp_path / "making"))
    listed = (
        "databases: {small: {sources: [{from: mirror, evidenced: 2026-11-28, files: "
        "[{hub: datasets/someone/sets, file: small.tgz}]}]}}"
    )
    world.install(monkeypatch, tmp_path / "listed", listed)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    root = tmp_path / "data"
    done = run_cli("data", "get", "small", "--to", root, "--yes")
    assert done.returncode == 0, done.text
    assert path.exists()
    assert site.asked == []
    assert not (root / place.WORK / "small").exists()


def test_offline_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="HF_HUB_OFFLINE is set"):
        remote_of(FILE)


@pytest.mark.parametrize(("code", "says"), [(401, "HF_TOKEN"), (403, "HF_TOKEN"), (404, "--check")])
def test_what_the_hub_does_not_give(site: Site, tmp_path: Path, code: int, says: str) -> None:
    site.pages[PLACE] = Page(always=(code, {}))
    with pytest.raises(DataError, match=says) as caught:
        download(remote_of(FILE), tmp_path, QUICK)
    assert site.url("datasets/someone/sets") in str(caught.value)
