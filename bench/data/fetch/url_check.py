"""Checks which of the listed addresses answer; needs a network."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx

from bench.data.fetch.http import Patience, Remote, client
from bench.data.fetch.hub import remote_of
from bench.data.fetch.sources import SourceFile, Sources, known, readable

ASKING = Patience(connections=8, silence=15.0)


@dataclass(frozen=True)
class UrlStatus:
    """What one address answered to HEAD."""

    name: str
    """The database, or the method whose checkpoint it is."""
    url: str
    said: str
    """Its status and size, or why there was no answer."""
    good: bool
    """Whether it answered, and with a size that agrees with the published one."""


def ask_all(names: Sequence[str] = (), patience: Patience = ASKING) -> list[UrlStatus]:
    """Ask every listed address (of these databases and methods alone, where given) with HEAD."""
    listed = [
        (name, remote_of(file)) for name, file in _files(known()) if not names or name in names
    ]
    with client(patience) as http, ThreadPoolExecutor(patience.connections) as pool:
        return list(pool.map(lambda item: _reply(http, *item), listed))


def _files(sources: Sources) -> list[tuple[str, SourceFile]]:
    databases = [
        (name, file)
        for name, listed in sources.databases.items()
        for source in listed.sources
        for file in source.files
    ]
    weights = [(name, one.source_file) for name, one in sources.weights.items()]
    return [*databases, *weights]


def _reply(http: httpx.Client, name: str, remote: Remote) -> UrlStatus:
    try:
        response = http.head(remote.url, headers=dict(remote.headers))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return UrlStatus(name, remote.url, f"no answer: {error or type(error).__name__}", False)
    said = f"{response.status_code} {response.reason_phrase}".strip()
    if not response.is_success:
        return UrlStatus(name, remote.url, said, False)
    length = response.headers.get("content-length", "")
    if not length.isdigit():
        return UrlStatus(name, remote.url, f"{said}, no size", True)
    fits = remote.rough is None or remote.rough.fits(int(length))
    published = f", published are {remote.rough.text}" if remote.rough else ""
    return UrlStatus(name, remote.url, f"{said}, {readable(int(length))}{published}", fits)
