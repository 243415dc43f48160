"""Downloads: ranges, resuming, digests, and servers that fail in every way that servers do."""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.data.fetch import download as module
from bench.data.fetch.download import Arrived, download
from bench.data.fetch.http import Patience, Remote
from bench.data.fetch.sources import RoughSize
from bench.util.errors import BenchError, DataError, StoreError
from tests.data.fetch.site import Page, Site

CHUNK = 2**14
CONTENT = np.random.default_rng(0).integers(0, 256, 20 * CHUNK + 123, dtype=np.uint8).tobytes()
DIGEST = hashlib.sha256(CONTENT).hexdigest()
QUICK = Patience(connections=4, chunk=CHUNK, tries=3, pause=0.01, silence=5, window=5, slowest=100)


def remote(site: Site, path: str = "a.bin", **more: Any) -> Remote:
    return Remote(site.url(path), "a.bin", **more)


def fetched(site: Site, folder: Path, patience: Patience = QUICK, **more: Any) -> Arrived:
    return download(remote(site, **more), folder, patience)


def test_a_file_comes_in_parallel_ranges(site: Site, tmp_path: Path) -> None:
    site.pages["a.bin"] = Page(CONTENT)
    told: list[tuple[str, int, int | None]] = []
    got = download(remote(site, sha256=DIGEST), tmp_path, QUICK, lambda *said: told.append(said))
    assert got.path.read_bytes() == CONTENT
    assert (got.size, got.sha256, got.checked) == (len(CONTENT), DIGEST, "sha256 as published")
    assert len(site.ranges()) == len(set(site.ranges())) == 21
    assert told[-1] == ("checking a.bin", len(CONTENT), len(CONTENT))
    assert max(done for what, done, _ in told if what == "a.bin") == len(CONTENT)
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_what_came_without_a_digest_is_said(site: Site, tmp_path: Path) -> None:
    site.pages["a.bin"] = Page(CONTENT)
    assert fetched(site, tmp_path).checked == "no digest is known; size as the server gives it"


SCRIPT = """
import sys
from pathlib import Path
from bench.data.fetch.download import download
from bench.data.fetch.http import Patience, Remote
download(Remote(sys.argv[1], "a.bin"), Path(sys.argv[2]), Patience(connections=4, chunk=2**14))
"""


def test_a_killed_download_goes_on_where_it_was(site: Site, tmp_path: Path) -> None:
    site.pages["a.bin"] = Page(CONTENT, hold_after=9)
    child = subprocess.Popen([sys.executable, "-c", SCRIPT, site.url("a.bin"), str(tmp_path)])
    journal = tmp_path / "a.bin.done"
    while child.poll() is None and not (
        journal.exists() and len(journal.read_text().splitlines()) == 9
    ):
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    journal.write_text(journal.read_text() + "123")  # a line that was being written
    site.pages["a.bin"] = Page(CONTENT)
    site.go.set()
    site.asked.clear()
    assert fetched(site, tmp_path).path.read_bytes() == CONTENT
    assert len(site.ranges()) == 21 - 9
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_a_file_that_changed_meanwhile_comes_anew(site: Site, tmp_path: Path) -> None:
    site.pages["a.bin"] = Page(CONTENT, cut=[0] * 100)
    with pytest.raises(DataError):
        fetched(site, tmp_path)
    other = CONTENT[::-1]
    site.pages["a.bin"] = Page(other)
    assert fetched(site, tmp_path).path.read_bytes() == other


def test_a_file_that_changes_during_the_download_is_noticed(site: Site, tmp_path: Path) -> None:
    page = site.pages["a.bin"] = Page(CONTENT, hold_after=5)

    def change(what: str, done: int, total: int | None) -> None:
        page.tag = '"another"'
        site.go.set()

    with pytest.raises(DataError, match="it changed while it was downloaded"):
        download(remote(site), tmp_path, QUICK, change)
    assert fetched(site, tmp_path).path.read_bytes() == CONTENT


def test_a_wrong_digest_is_refused_and_removed(site: Site, tmp_path: Path) -> None:
    site.pages["a.bin"] = Page(CONTENT)
    with pytest.raises(DataError, match=f"sha256 {DIGEST} came, published is {'0' * 64}"):
        fetched(site, tmp_path, sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_another_size_than_the_published_one_is_refused_at_once(site: Site, tmp_path: Path) -> None:
    site.pages["a.bin"] = Page(b"<html>gone</html>")
    with pytest.raises(DataError, match="the server gives 17 bytes, published are 721 MB"):
        fetched(site, tmp_path, rough=RoughSize.of("721 MB"))


def test_a_body_that_breaks_off_is_gone_on_with(site: Site, tmp_path: Path) -> None:
    site.pages["a.bin"] = Page(CONTENT, cut=[CHUNK // 2, 0, 5000])
    assert fetched(site, tmp_path).path.read_bytes() == CONTENT
    starts = [int(one.removeprefix("bytes=").partition("-")[0]) for one in site.ranges()]
    assert any(start % CHUNK for start in starts), "a broken part begins where it broke off"


def test_a_body_that_always_breaks_off_ends_with_its_address(site: Site, tmp_path: Path) -> None:
    site.pages["a.bin"] = Page(CONTENT, cut=[0] * 1000)
    with pytest.raises(DataError, match=r"a\.bin: .*, 3 times\. The received part is kept"):
        fetched(site, tmp_path)


@pytest.mark.parametrize("length", [CHUNK, 0])
def test_without_ranges_a_cut_body_is_taken_again(site: Site, tmp_path: Path, length: int) -> None:
    site.pages["a.bin"] = Page(CONTENT, ranges=False, cut=[length, length])
    assert fetched(site, tmp_path).path.read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_gives_it_in_one(site: Site, tmp_path: Path) -> None:
    site.pages["a.bin"] = Page(CONTENT, ranges=False)
    assert fetched(site, tmp_path, sha256=DIGEST).path.read_bytes() == CONTENT
    assert site.ranges() == []


def test_a_server_that_ignores_ranges_later_gives_it_in_one(site: Site, tmp_path: Path) -> None:
    page = site.pages["a.bin"] = Page(CONTENT)

    def stop_giving(what: str, done: int, total: int | None) -> None:
        page.ranges = False

    got = download(remote(site), tmp_path, QUICK, stop_giving)
    assert got.path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (403, "403 Forbidden: its owner lets in only whom he knows: accept its terms or set a tok"),
        (401, "401 Unauthorized"),
        (404, "404 Not Found: it is not there any more"),
    ],
)
def test_a_refusal_is_not_tried_again(site: Site, tmp_path: Path, code: int, says: str) -> None:
    site.pages["a.bin"] = Page(CONTENT, always=(code, {}))
    with pytest.raises(DataError, match=says) as caught:
        fetched(site, tmp_path, home="https://example.org/epq")
    assert "https://example.org/epq" in str(caught.value)
    assert "--from FILE" in str(caught.value)
    assert len(site.asked) == 1


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_busy_server_is_asked_again(site: Site, tmp_path: Path, code: int) -> None:
    site.pages["a.bin"] = Page(CONTENT, fail=[(code, {"Retry-After": "0"}), (code, {})])
    assert fetched(site, tmp_path).path.read_bytes() == CONTENT


def test_a_server_that_stays_busy_is_named(site: Site, tmp_path: Path) -> None:
    site.pages["a.bin"] = Page(CONTENT, always=(500, {}))
    with pytest.raises(DataError, match="500 Internal Server Error, 3 times"):
        fetched(site, tmp_path)
    assert len(site.asked) == 3


def test_a_server_that_asks_for_an_hour_is_not_waited_for(site: Site, tmp_path: Path) -> None:
    site.pages["a.bin"] = Page(CONTENT, always=(429, {"Retry-After": "3600"}))
    with pytest.raises(DataError, match="429 Too Many Requests; it asks to wait 3600 s"):
        fetched(site, tmp_path)
    assert len(site.asked) == 1


def test_redirects_are_followed_without_the_token(site: Site, tmp_path: Path) -> None:
    elsewhere = site.url("cdn/a.bin", host="localhost")
    site.pages["a.bin"] = Page(redirect=elsewhere, linked=DIGEST)
    site.pages["cdn/a.bin"] = Page(CONTENT)
    got = fetched(site, tmp_path, headers={"Authorization": "Bearer secret"})
    assert got.checked == "sha256 as the server states it"
    seen = {(one.path, one.authorization) for one in site.asked}
    assert seen == {("a.bin", "Bearer secret"), ("cdn/a.bin", "")}


def test_redirects_in_a_circle_end(site: Site, tmp_path: Path) -> None:
    site.pages["a.bin"] = Page(redirect=site.url("a.bin"))
    with pytest.raises(DataError, match="redirects"):
        fetched(site, tmp_path)


def test_a_drip_is_given_up(site: Site, tmp_path: Path) -> None:
    site.pages["a.bin"] = Page(CONTENT, drip=0.02)
    slow = Patience(connections=2, chunk=CHUNK, tries=2, pause=0.01, window=0.2, slowest=10_000)
    with pytest.raises(DataError, match=r"bytes came in 0\.2.* s, 2 times"):
        fetched(site, tmp_path, slow)


def test_silence_is_given_up(site: Site, tmp_path: Path) -> None:
    site.pages["a.bin"] = Page(CONTENT, hold_after=0)
    with pytest.raises(DataError, match="2 times"):
        fetched(site, tmp_path, Patience(connections=2, tries=2, pause=0.01, silence=0.2))


def test_nobody_there(tmp_path: Path) -> None:
    gone = Remote("http://127.0.0.1:9/a.bin", "a.bin")
    with pytest.raises(DataError, match=r"127\.0\.0\.1:9/a\.bin: .*refused, 3 times"):
        download(gone, tmp_path, QUICK)
    with pytest.raises(DataError, match="no address of the web"):
        download(Remote("gopher://127.0.0.1/a.bin", "a.bin"), tmp_path, QUICK)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs to mount a tmpfs, which this user may not")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_is_too_small_is_known_before(site: Site, small_disk: Path) -> None:
    site.pages["a.bin"] = Page(CONTENT)
    with pytest.raises(StoreError, match=r"656 kB are needed and 131 kB are free.*--to") as caught:
        fetched(site, small_disk)
    assert caught.value.exit_code == 4
    assert list(small_disk.iterdir()) == []


def test_a_disk_that_fills_up_is_one_error(
    site: Site, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.pages["a.bin"] = Page(CONTENT)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 0, 2**60))
    with pytest.raises(StoreError, match=r"cannot write .*a\.bin\.part.*No space left"):
        fetched(site, small_disk)
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    site.asked.clear()
    assert fetched(site, small_disk).path.read_bytes() == CONTENT
    assert 0 < len(site.ranges()) < 21, "what fitted is not got again"


def test_a_whole_file_is_not_got_again(site: Site, tmp_path: Path) -> None:
    site.pages["a.bin"] = Page(CONTENT)
    fetched(site, tmp_path)
    site.asked.clear()
    fetched(site, tmp_path)
    assert site.ranges() == []


def test_an_own_file_is_recorded_whatever_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"mine")
    got = module.recorded(tmp_path / "a.bin", "file:///a.bin", "0" * 64)
    assert got.own
    assert "not the published one" in got.checked
    assert got.sha256 == hashlib.sha256(b"mine").hexdigest()


def test_a_stop_ends_all_connections(site: Site, tmp_path: Path) -> None:
    site.pages["a.bin"] = Page(CONTENT)

    def interrupt(what: str, done: int, total: int | None) -> None:
        if done > 3 * CHUNK:
            raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, BenchError)):
        download(remote(site), tmp_path, QUICK, interrupt)
    assert fetched(site, tmp_path).path.read_bytes() == CONTENT
