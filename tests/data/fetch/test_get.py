"""`bench data get`: from a server, or a user's own file, to a database that runs can use."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from datetime import date
from pathlib import Path

import pytest

from bench.data import datasets, housekeeping
from bench.data.fetch import place, sources
from bench.data.fetch.sources import RoughSize
from bench.util.errors import DataError
from tests.conftest import Ended, run_cli
from tests.data.fetch import world
from tests.data.fetch.site import Page, Site

LISTED = """
databases:
  small:
    asks: [a postcard]
    note: mind the gap
    sources:
      - {{from: mirror, evidenced: 2026-11-28, files: [{{url: "{url}"{more}}}]}}
  livec: {{apply: ask them}}
"""


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    (tmp_path / "making").mkdir()
    return world.tgz(tmp_path / "making")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


def listed(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, more: str = "") -> None:
    text = LISTED.format(url=site.url("small.tgz"), more=more)
    world.install(monkeypatch, tmp_path / "listed", text)


def get(root: Path, *arguments: object) -> Ended:
    return run_cli("data", "get", *arguments, "--to", root)


def test_a_database_by_one_command(
    site: Site, archive: bytes, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(archive).hexdigest()
    listed(site, monkeypatch, tmp_path, f', sha256: "{digest}"')
    site.pages["small.tgz"] = Page(archive)
    done = get(root, "small", "--yes")
    assert done.returncode == 0, done.text
    for said in (
        "small: The Small Database, 12 images",
        "(mirror, seen 2026-11-28)",
        "licence: research use; asks for: a postcard",
        "its terms: https://example.org/small",
        "note: mind the gap",
        f"small: small.tgz, {len(archive):,} bytes, sha256 {digest}",
        "checked: sha256 as published",
        "small: 13 files in",
        "ok   images decodable: 12 decoded",
    ):
        assert said in done.stdout, done.text
    assert housekeeping.status_of("small", root).state == "complete"
    assert {path.name for path in (root / place.WORK).iterdir()} == {"small.json", "small.lock"}
    (file,) = json.loads((root / place.WORK / "small.json").read_text())["files"]
    assert (file["sha256"], file["bytes"]) == (digest, len(archive))
    # As if it had been killed while it verified.
    (root / place.WORK / "small").mkdir()
    (root / place.WORK / "small" / "small.tgz").write_bytes(archive)
    again = get(root, "small")
    assert again.returncode == 0
    assert "small: there already, in" in again.stdout
    assert not (root / place.WORK / "small").exists()


def test_nobody_agrees_without_being_asked(
    site: Site, archive: bytes, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(site, monkeypatch, tmp_path)
    site.pages["small.tgz"] = Page(archive)
    done = get(root, "small")
    assert done.returncode == 2
    assert "give --yes in a script" in done.stderr
    assert site.asked == []
    assert "several forbid redistribution" in done.stdout


@pytest.mark.parametrize("inside", ["", "wrapped/SmallDB_release", "SmallDB_release/small"])
def test_another_layout_is_the_readers_business(
    site: Site,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    inside: str,
) -> None:
    """Nothing is moved about: whether its folders are found is what the reader says."""
    (tmp_path / "making").mkdir()
    data = world.tgz(tmp_path / "making", lambda folder: world.write(folder, "img"), inside)
    listed(site, monkeypatch, tmp_path)
    site.pages["small.tgz"] = Page(data)
    done = get(root, "small", "--yes")
    found = datasets.locate("small", root)
    assert found is not None
    top = root / "small" / inside
    assert (top / "img" / "0.png").is_file()
    assert (done.returncode == 0) == (top == found)


def test_a_layout_that_the_reader_does_not_know_keeps_the_archive(
    site: Site, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "making").mkdir()
    data = world.tgz(tmp_path / "making", lambda folder: world.layouts.text(folder / "x", "x"))
    listed(site, monkeypatch, tmp_path)
    site.pages["small.tgz"] = Page(data)
    done = get(root, "small", "--yes")
    assert done.returncode == 3
    assert "FAIL annotations readable: " in done.stdout
    assert "none of scores.csv is there" in done.stdout
    kept = root / place.WORK / "small" / "small.tgz"
    assert f"the archive stays at {kept}" in done.stdout
    assert kept.read_bytes() == data
    again = get(root, "small", "--yes")
    assert f"'{root / 'small'}' is in the way: broken (" in again.stdout
    assert again.returncode == 3


def test_what_is_half_there_is_not_touched(
    site: Site, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(site, monkeypatch, tmp_path)
    world.write(root / "small")
    (root / "small" / "pictures" / "3.png").unlink()
    done = get(root, "small", "--yes")
    assert done.returncode == 3
    assert "is in the way: incomplete (1 image files are missing); move it away" in done.stdout
    assert site.asked == []


def test_a_file_of_the_users_own(
    site: Site, archive: bytes, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = "0" * 64
    listed(site, monkeypatch, tmp_path, f', sha256: "{other}", size: 721 MB')
    mine = tmp_path / "small.tgz"
    mine.write_bytes(archive)
    done = get(root, "small", "--yes", "--from", mine)
    assert done.returncode == 0, done.text
    assert "sha256 is not the published one" in done.stdout
    assert mine.read_bytes() == archive
    assert site.asked == []
    (file,) = json.loads((root / place.WORK / "small.json").read_text())["files"]
    assert file["url"] == mine.as_uri()


def test_images_and_table_from_two_files(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: Site
) -> None:
    listed(site, monkeypatch, tmp_path)
    world.write(tmp_path / "src", "img")
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as packed:
        for path in sorted((tmp_path / "src" / "img").iterdir()):
            packed.write(path, f"img/{path.name}")
    files = ("--from", tmp_path / "images.zip", "--from", tmp_path / "src" / "scores.csv")
    done = get(root, "small", "--yes", *files)
    assert done.returncode == 0, done.text
    assert (tmp_path / "src" / "scores.csv").exists()


def test_an_address_of_the_users_own(
    site: Site, archive: bytes, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(site, monkeypatch, tmp_path)
    site.pages["lab/mine.tgz"] = Page(archive)
    done = get(root, "small", "--yes", "--from", site.url("lab/mine.tgz"))
    assert done.returncode == 0, done.text
    assert "checked: no digest is known; size as the server gives it" in done.stdout


def test_a_harmful_archive_leaves_nothing_behind(
    site: Site, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "small.zip", "w") as packed:
        packed.writestr("scores.csv", "image,mos\n")
        packed.writestr("../../evil", "x")
    listed(site, monkeypatch, tmp_path)
    done = get(root, "small", "--yes", "--from", tmp_path / "small.zip")
    assert done.returncode == 3
    assert "is refused: '../../evil' is a name that leads out" in done.stdout
    assert not (root / "small").exists()
    assert not list(tmp_path.rglob("evil"))


def test_what_cannot_be_had_says_how_to_apply(
    site: Site, archive: bytes, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(site, monkeypatch, tmp_path)
    site.pages["small.tgz"] = Page(archive)
    done = get(root, "livec", "--yes")
    assert done.returncode == 3
    assert "livec: ask them: https://live.ece.utexas.edu" in done.stderr
    assert "bench data get livec --from FILE" in done.stderr
    both = get(root, "livec", "small", "--yes")
    assert both.returncode == 3, "what could be had was got"
    assert housekeeping.status_of("small", root).state == "complete"
    assert "not available: livec: ask them" in both.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("smal",), "unknown dataset 'smal'. Did you mean 'small'"),
        (("demo_authentic",), "rendered by the project itself"),
        (("small", "--from", "nowhere.zip"), "neither mirror nor home, nor an address, nor a file"),
        (("small", "--from", "."), "a folder; name its parent with --data-root"),
        (("small", "--from", "ftp://x/a.zip"), "expected an address that begins with http"),
        (("small", "livec", "--from", "a.zip"), "goes with one database"),
        ((), "name the datasets to get"),
    ],
)
def test_wrong_orders(
    site: Site,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    says: str,
) -> None:
    listed(site, monkeypatch, tmp_path)
    done = get(root, *arguments, "--yes")
    assert (done.returncode, says in done.stderr) == (2, True), done.text


def test_without_a_root(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: bytes
) -> None:
    listed(site, monkeypatch, tmp_path)
    assert "give one with --to FOLDER" in run_cli("data", "get", "small", "--yes").stderr
    site.pages["small.tgz"] = Page(archive)
    root = tmp_path / "first"
    done = run_cli("data", "get", "small", "--yes", environment={"IQA_DATA": f"{root}:/else"})
    assert done.returncode == 0, done.text
    assert (root / "small").is_dir()


SCRIPT = """
import sys
from pathlib import Path
import pytest
from bench.data.fetch import place
from tests.data.fetch import world
folder, root, url = map(str, sys.argv[1:])
world.install(pytest.MonkeyPatch(), Path(folder), "databases: {livec: {apply: ask them}}")
wanted = place.order("small", Path(root), [url])
got = place.get(wanted, lambda what, *rest: print(what, flush=True))
print("there" if got.there else "got", got.good)
"""


def test_two_processes_at_one_root(site: Site, archive: bytes, root: Path, tmp_path: Path) -> None:
    """The first one downloads; the second one waits, and finds it there."""
    site.pages["small.tgz"] = Page(archive, hold_after=0)
    url = site.url("small.tgz")

    def start(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / name), str(root), url]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    first = start("one")
    assert first.stdout is not None
    assert first.stdout.readline() == "small.tgz\n"
    second = start("two")
    assert second.stdout is not None
    assert second.stdout.readline() == "waiting for another process that gets small\n"
    site.go.set()
    told, _ = first.communicate(timeout=30)
    waited, _ = second.communicate(timeout=30)
    assert told.splitlines()[-1] == "got True"
    assert waited.splitlines() == ["there True"]
    assert len(site.ranges()) == 1


def test_check_asks_every_address(
    site: Site, archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(site, monkeypatch, tmp_path)
    site.pages["small.tgz"] = Page(archive)
    good = run_cli("data", "get", "--check")
    assert good.returncode == 0, good.text
    assert "200 OK, " in good.stdout
    assert "livec: ask them: https://" in good.stdout
    assert [one.method for one in site.asked] == ["HEAD"]
    assert "unknown source 'smal'" in run_cli("data", "get", "smal", "--check").stderr
    del site.pages["small.tgz"]
    gone = run_cli("data", "get", "--check")
    assert gone.returncode == 3
    assert "FAIL" in gone.stdout
    assert "404 Not Found" in gone.stdout


def test_check_of_the_real_list_names_what_does_not_answer(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.stand_in_for_the_hub(monkeypatch, site.url(""), Path("nowhere"))
    done = run_cli("data", "get", "csiq", "bid", "grmp", "--check")
    assert done.returncode == 3
    assert {one.path for one in site.asked} == {
        "datasets/chaofengc/IQA-PyTorch-Datasets/resolve/main/csiq.tgz",
        "zzhowe/GRMP-IQA/resolve/main/clive_50_prompt_lda_5.0.pt",
    }
    assert "bid: no direct link is known; its authors' page says how to get it" in done.stdout


def test_the_list_is_sound() -> None:
    """Every entry is evidenced, has a digest or size that parses, and names a known database."""
    known = sources.known()
    assert len(known.databases) >= 19
    for listed in known.databases.values():
        for source in listed.sources:
            assert source.evidenced == date(2026, 11, 28)
            assert all(file.name and (file.url or file.hub) for file in source.files)
    assert set(known.databases) <= set(datasets.names())
    assert "bench data get csiq (mirror, 379 MB)" in run_cli("describe", "csiq").stdout
    assert "get       no direct link is known" in run_cli("describe", "bid").stdout
    for name in ("bid", "uwiqa", "piq23"):
        with pytest.raises(DataError, match=f"bench data get {name} --from FILE"):
            place.order(name, Path("root"))


@pytest.mark.parametrize("text", ["721", "MB", "7 TB", "1,2 GB", ""])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        RoughSize.of(text)
