"""A remote file: its address, its known properties, and those that the server states."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import httpx

from bench.data.fetch.sources import RoughSize, readable
from bench.util.errors import DataError

AGENT = "iqa-bench"
Result = TypeVar("Result")
RETRIED = (408, 425, 429, 500, 502, 503, 504)
"""Statuses of a server that is busy or unwell, and may not be the next time."""
LONGEST_WAIT = 120.0
"""Seconds; what a server asks for beyond that (Retry-After) is not waited for."""


@dataclass(frozen=True)
class Patience:
    """How a download is split, and how long it is tried."""

    connections: int = 8
    """At once: a hub's network throttles a connection that lasts, so one alone would be slow."""
    chunk: int = 16 * 2**20
    """Bytes asked for at a time; what a killed download loses is at most this a connection."""
    tries: int = 6
    """Of each chunk, one after the other without progress."""
    pause: float = 1.0
    """Seconds before the second try; doubled before each further one."""
    silence: float = 30.0
    """Seconds without a byte before a connection is given up."""
    window: float = 30.0
    """Seconds in which at least `window * slowest` bytes must have come."""
    slowest: float = 4096.0
    """Bytes a second, below which a connection is given up for another."""


@dataclass(frozen=True)
class Remote:
    """A file to download."""

    url: str
    name: str
    headers: Mapping[str, str] = field(default_factory=dict)
    sha256: str = ""
    """Its digest, where it is known."""
    rough: RoughSize | None = None
    """Its published size, where it is known."""
    home: str = ""
    """The home page, for errors."""
    local: Path | None = None
    """Where it already lies on this machine (the hub's cache)."""


@dataclass(frozen=True)
class RemoteFile:
    """What a server says of a file."""

    size: int | None
    ranges: bool
    """Whether parts of it can be asked for."""
    tag: str
    """A tag that changes with the content: ETag or date; '' if the server gives neither."""
    sha256: str = ""
    """Its digest, where the server states it (the hub does for large files)."""


class Refused(DataError):
    """An answer that another try would not change."""


class Unwell(Exception):
    """A failure that another try may not meet; `wait` is how long the server asks to wait."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


@contextmanager
def client(patience: Patience) -> Iterator[httpx.Client]:
    """A client that follows redirects, keeps to proxies of the environment, and does not wait."""
    limits = httpx.Limits(max_connections=patience.connections + 1)
    with httpx.Client(
        follow_redirects=True,
        timeout=httpx.Timeout(patience.silence),
        limits=limits,
        # A server that packs on the way would make sizes and ranges mean something else.
        headers={"User-Agent": AGENT, "Accept-Encoding": "identity"},
    ) as found:
        yield found


def ask(
    http: httpx.Client, remote: Remote, patience: Patience, stop: threading.Event
) -> RemoteFile:
    """What the server says of a file, by asking for its first byte. Raises `DataError`."""

    def once() -> RemoteFile:
        headers = {**remote.headers, "Range": "bytes=0-0"}
        with http.stream("GET", remote.url, headers=headers) as response:
            check_status(response, remote)
            return _answer(response)

    found = retried(once, remote, patience, stop)
    if remote.rough and found.size is not None and not remote.rough.fits(found.size):
        raise Refused(
            f"{remote.url}: the server gives {readable(found.size)}, published are "
            f"{remote.rough.text}: it is another file now; see {remote.home or 'its home page'}"
        )
    return found


def _answer(response: httpx.Response) -> RemoteFile:
    tag = response.headers.get("etag") or response.headers.get("last-modified") or ""
    # The hub states digest and size of a large file where it redirects to its storage.
    stated = [one.headers.get("x-linked-etag", "") for one in (*response.history, response)]
    digest = next((one.strip('W/"') for one in stated if one), "")
    sha256 = digest if re.fullmatch("[0-9a-f]{64}", digest) else ""
    if response.status_code == HTTPStatus.PARTIAL_CONTENT:
        total = response.headers.get("content-range", "").rpartition("/")[2]
        if total.isdigit():
            return RemoteFile(int(total), True, tag, sha256)
    length = response.headers.get("content-length", "")
    whole = response.status_code == HTTPStatus.OK and length.isdigit()
    return RemoteFile(int(length) if whole else None, False, tag, sha256)


def check_status(response: httpx.Response, remote: Remote) -> None:
    """Raises `Unwell` for temporary errors, `Refused` with advice for permanent ones."""
    code = response.status_code
    if response.is_success:
        return
    said = f"{code} {response.reason_phrase}".strip()
    if code in RETRIED:
        asked = response.headers.get("retry-after", "")
        raise Unwell(said, float(asked) if asked.isdigit() else 0.0)
    advice = "see"
    if code in (401, 403):
        advice = "its owner lets in only whom he knows: accept its terms or set a token (HF_TOKEN)"
        advice += " on the hub, or see"
    elif code in (404, 410):
        advice = "it is not there any more; `bench data get --check` shows what still answers, see"
    page = remote.home or "its home page"
    raise Refused(
        f"{remote.url}: {said}: {advice} {page}; a copy of your own goes in with --from FILE"
    )


def retried(
    work: Callable[[], Result],
    remote: Remote,
    patience: Patience,
    stop: threading.Event,
    progressed: Callable[[], bool] = lambda: False,
) -> Result:
    """The result of `work`, tried again after failures that may pass.

    `progressed` says whether the last try got somewhere: it then does not count. Raises
    `DataError` after the last try.
    """
    tries = 0
    while True:
        try:
            return work()
        except (Unwell, httpx.TransportError) as error:
            failure = error
        except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
            raise Refused(f"{remote.url}: {error}") from error
        if isinstance(failure, httpx.UnsupportedProtocol):
            raise Refused(f"{remote.url}: no address of the web: {failure}") from failure
        tries = 0 if progressed() else tries + 1
        asked = failure.wait if isinstance(failure, Unwell) else 0.0
        if tries >= patience.tries or asked > LONGEST_WAIT:
            raise _given_up(remote, failure, tries, asked) from failure
        if stop.wait(max(asked, patience.pause * 2 ** max(tries - 1, 0))):
            raise DataError(f"{remote.url}: stopped")


def _given_up(remote: Remote, failure: Exception, tries: int, asked: float) -> DataError:
    reason = str(failure) or type(failure).__name__
    if asked > LONGEST_WAIT:
        reason += f"; it asks to wait {asked:.0f} s"
    elif tries > 1:
        reason += f", {tries} times"
    return DataError(
        f"{remote.url}: {reason}. The received part is kept: the same command continues from there"
    )


class StallWatch:
    """Detects a connection that is alive but delivers almost nothing."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._begin(time.monotonic())

    def _begin(self, now: float) -> None:
        self._since, self._count = now, 0

    def count(self, received: int) -> None:
        """Count received bytes. Raises `Unwell` where too few came within the window."""
        self._count += received
        now = time.monotonic()
        if now - self._since < self._patience.window:
            return
        if self._count < self._patience.slowest * self._patience.window:
            raise Unwell(f"only {readable(self._count)} came in {now - self._since:.3g} s")
        self._begin(now)
