"""Downloading one file: in parallel ranges, resumed where it was left, checked when it is whole."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import httpx

from bench.data.fetch.http import (
    Patience,
    Refused,
    Remote,
    RemoteFile,
    StallWatch,
    Unwell,
    ask,
    check_status,
    client,
    retried,
)
from bench.data.fetch.partial import Partial, part_of
from bench.data.fetch.sources import readable
from bench.util import atomic
from bench.util.errors import DataError, StoreError

SPARE = 2**28
"""Bytes that stay free on a disk."""

Progress = Callable[[str, int, int | None], None]
"""Called with the name of a step ('csiq.tgz'), the bytes done and the bytes in all."""


def quiet(what: str, done: int, total: int | None) -> None:
    """No progress."""


@dataclass(frozen=True)
class Arrived:
    """A downloaded file and the result of its check."""

    path: Path
    url: str
    size: int
    sha256: str
    checked: str
    """What its size and digest were compared with, in words."""
    own: bool = False
    """Whether it was on this machine before (a user's archive, the hub's cache); it is kept
    then."""


class NoRanges(Exception):
    """The server gave all of a file where a part was asked for."""


def download(
    remote: Remote,
    folder: Path,
    patience: Patience | None = None,
    progress: Progress = quiet,
    room_after: float = 1.0,
) -> Arrived:
    """Download a file into `folder` and check it; continues what an earlier call left.

    `room_after` times its size has to be free as well, for unpacking.
    Raises `DataError` if no server delivers it and for a wrong size or digest,
    `StoreError` for a disk that is full or too small. Received parts stay for the next call.
    """
    if remote.local is not None:
        return recorded(remote.local, remote.url, remote.sha256)
    patience = patience or Patience()
    target = folder / remote.name
    stop = threading.Event()
    try:
        with client(patience) as http:
            answer = ask(http, remote, patience, stop)
            if target.exists():
                return _checked(target, remote, answer, progress)
            _make_room(target, answer.size, room_after)
            with Partial(target, remote.url, answer, patience.chunk) as partial:
                _Transfer(http, remote, answer, partial, patience, stop, progress).run()
                partial.complete()
    except BaseException:
        stop.set()  # threads that wait for another try
        raise
    return _checked(target, remote, answer, progress)


def recorded(path: Path, url: str, sha256: str = "") -> Arrived:
    """A file that lay on this machine before: recorded, whatever its size, and never removed."""
    found = digest(path)
    if sha256 and found == sha256:
        checked = "sha256 as published"
    elif sha256:
        checked = "sha256 is not the published one: another release, or packed anew"
    else:
        checked = "nothing to compare with"
    return Arrived(path, url, path.stat().st_size, found, checked, own=True)


def _checked(path: Path, remote: Remote, answer: RemoteFile, progress: Progress) -> Arrived:
    """Check a downloaded file. Raises `DataError`, and removes the file, if the check fails.

    It is compared with the published digest, else the server's, else the size.
    """
    size = path.stat().st_size
    if answer.size is not None and size != answer.size:
        path.unlink()
        raise DataError(f"{remote.url}: {size:,} bytes came of {answer.size:,}; get it again")
    found = digest(path, lambda done: progress(f"checking {remote.name}", done, size))
    wanted = remote.sha256 or answer.sha256
    if wanted and found != wanted:
        path.unlink()
        raise DataError(
            f"{remote.url}: sha256 {found} came, {'published' if remote.sha256 else 'stated'} is "
            f"{wanted}: damaged on the way or another file now. It was removed; get it again, and "
            f"if it stays so see {remote.home or 'its home page'}"
        )
    if wanted:
        whose = "as published" if remote.sha256 else "as the server states it"
        checked = f"sha256 {whose}"
    else:
        said = "size as the server gives it" if answer.size is not None else "its size is not given"
        checked = f"no digest is known; {said}"
    return Arrived(path, remote.url, size, found, checked)


def digest(path: Path, progress: Callable[[int], None] = lambda done: None) -> str:
    """SHA-256 of a file."""
    found, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(2**22):
            found.update(piece)
            done += len(piece)
            progress(done)
    return found.hexdigest()


def _make_room(target: Path, size: int | None, room_after: float) -> None:
    """Raise `StoreError` if the disk has no room for a file and its unpacked content."""
    with atomic.writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(target)
    # What is on the disk of it: a part that came out of order leaves holes before it.
    there = getattr(part.stat(), "st_blocks", 0) * 512 if part.exists() else 0
    need_room(target.parent, round((size or 0) * (1 + room_after)) - there)


def need_room(folder: Path, size: int) -> None:
    """Raises `StoreError` where `size` bytes do not fit on the disk of `folder`."""
    free = shutil.disk_usage(folder).free
    if size > 0 and size + SPARE > free:
        raise StoreError(
            f"'{folder}': {readable(size)} are needed and {readable(free)} are free; make room, or "
            "give a folder on another disk with --to"
        )


@dataclass
class _Transfer:
    """One running download."""

    http: httpx.Client
    remote: Remote
    answer: RemoteFile
    partial: Partial
    patience: Patience
    stop: threading.Event
    progress: Progress

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._received = 0

    def run(self) -> None:
        if self.answer.ranges and self.answer.size:
            try:
                return self._in_ranges()
            except NoRanges:
                self.stop.clear()
        retried(self._in_one, self.remote, self.patience, self.stop)
        return None

    def _in_ranges(self) -> None:
        missing = self.partial.missing()
        self._received = (self.answer.size or 0) - sum(end - start for start, end in missing)
        self._advance(0)
        with ThreadPoolExecutor(self.patience.connections) as pool:
            jobs = [pool.submit(self._chunk, start, end) for start, end in missing]
            try:
                done, _ = wait(jobs, return_when=FIRST_EXCEPTION)
            finally:
                if any(not job.done() or job.exception() for job in jobs):
                    self.stop.set()
                    pool.shutdown(cancel_futures=True)
        failures = [error for job in done if (error := job.exception())]
        # A server that ignores a range is the cause of whatever the other threads then met.
        for error in sorted(failures, key=lambda failure: not isinstance(failure, NoRanges)):
            raise error

    def _chunk(self, start: int, end: int) -> None:
        """Download one part, from where its last connection ended."""
        place, begun = start, start

        def rest() -> None:
            nonlocal place, begun
            begun = place
            for data in self._pieces({"Range": f"bytes={place}-{end - 1}"}, place, end):
                self.partial.write(place, data)
                place += len(data)
            if place < end:
                raise Unwell(f"the connection ended {readable(end - place)} early")

        def progressed() -> bool:
            return place - begun >= self.patience.slowest * self.patience.window

        retried(rest, self.remote, self.patience, self.stop, progressed)
        self.partial.finished(start)

    def _pieces(self, headers: dict[str, str], place: int, end: int) -> Iterator[bytes]:
        asked = {**self.remote.headers, **headers}
        with self.http.stream("GET", self.remote.url, headers=asked) as response:
            check_status(response, self.remote)
            if response.status_code != HTTPStatus.PARTIAL_CONTENT:
                raise NoRanges
            # A file that was replaced on the server would be joined from two versions.
            self._refuse_another(response, place)
            pace, left = StallWatch(self.patience), end - place
            # As it comes: what a buffer held would be lost with the connection.
            for data in response.iter_raw():
                if self.stop.is_set():
                    raise DataError(f"{self.remote.url}: stopped")
                pace.count(len(data))
                self._advance(min(len(data), left))
                yield data[:left]
                left -= len(data)
                if left <= 0:
                    return

    def _refuse_another(self, response: httpx.Response, place: int) -> None:
        """Raises `DataError` where an answer is not the part that was asked for."""
        came = response.headers.get("content-range", "")
        total = came.rpartition("/")[2]
        tag = response.headers.get("etag") or response.headers.get("last-modified") or ""
        same = tag == self.answer.tag and total in (str(self.answer.size), "*")
        if not same or not came.startswith(f"bytes {place}-"):
            raise Refused(
                f"{self.remote.url}: it changed while it was downloaded; the same command gets it "
                "anew"
            )

    def _in_one(self) -> None:
        """Download everything in one connection, from the start."""
        self.partial.restart()
        self._received, size = 0, self.answer.size
        with self.http.stream("GET", self.remote.url, headers=self.remote.headers) as response:
            check_status(response, self.remote)
            pace, place = StallWatch(self.patience), 0
            # As it comes: what a buffer held would be lost with the connection.
            for data in response.iter_raw():
                pace.count(len(data))
                self.partial.write(place, data)
                place += len(data)
                self._advance(len(data))
        if size is not None and place != size:
            raise Unwell(f"{place:,} bytes came of {size:,}")

    def _advance(self, count: int) -> None:
        with self._lock:
            self._received += count
            self.progress(self.remote.name, self._received, self.answer.size)
