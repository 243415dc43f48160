"""A web site on the loopback interface that behaves as badly as it is told to."""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.loopback_server import LoopbackServer

Status = tuple[int, dict[str, str]]


@dataclass
class Page:
    """One address, and how it answers."""

    content: bytes = b""
    ranges: bool = True
    """Whether parts are given; False: always all of it."""
    fail: list[Status] = field(default_factory=list)
    """Statuses of the first requests, one each."""
    always: Status | None = None
    """The status of every request."""
    cut: list[int] = field(default_factory=list)
    """After how many bytes the connection of each of the next bodies breaks off."""
    drip: float = 0.0
    """Seconds before each byte."""
    hold_after: int | None = None
    """Bodies beyond so many wait for `Site.go`."""
    redirect: str = ""
    tag: str = ""
    linked: str = ""
    """What the hub states as the digest where it redirects."""

    @property
    def etag(self) -> str:
        return self.tag or f'"{hashlib.md5(self.content).hexdigest()}"'


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    range: str
    authorization: str


class Site:
    """Pages by path, and what was asked of them."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[Asked] = []
        self.sent = 0
        """Bytes of bodies."""
        self.bodies = 0
        self.go = threading.Event()
        self.lock = threading.Lock()
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: Any) -> None:
                pass

            def do_GET(self) -> None:
                with contextlib.suppress(ConnectionError):
                    site.answer(self, body=True)

            def do_HEAD(self) -> None:
                site.answer(self, body=False)

        self.server = LoopbackServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server.server_address[1]}/{path}"

    def ranges(self) -> list[str]:
        return [one.range for one in self.asked if one.range not in ("", "bytes=0-0")]

    def close(self) -> None:
        self.go.set()
        self.server.shutdown()
        self.server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler, body: bool) -> None:
        asked = handler.headers.get("Range", "")
        path = handler.path.lstrip("/")
        with self.lock:
            self.asked.append(
                Asked(handler.command, path, asked, handler.headers.get("Authorization", ""))
            )
            page = self.pages.get(path)
            failure = page.always or (page.fail.pop(0) if page.fail else None) if page else None
        if page is None:
            return self._status(handler, 404, {})
        if failure is not None:
            return self._status(handler, *failure)
        if page.redirect:
            more = {"X-Linked-Etag": f'"{page.linked}"'} if page.linked else {}
            return self._status(handler, 302, {"Location": page.redirect, **more})
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", asked)
        size = len(page.content)
        start, end = 0, size
        if found and page.ranges:
            start, end = int(found[1]), min(int(found[2]) + 1, size)
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        else:
            handler.send_response(200)
        handler.send_header("Content-Length", str(end - start))
        handler.send_header("ETag", page.etag)
        handler.end_headers()
        if body:
            self._send(handler, page, page.content[start:end])
        return None

    def _send(self, handler: BaseHTTPRequestHandler, page: Page, data: bytes) -> None:
        probing = len(data) == 1
        with self.lock:
            number = self.bodies
            self.bodies += not probing
            cut = page.cut.pop(0) if page.cut and not probing else None
        if page.hold_after is not None and number >= page.hold_after and not probing:
            self.go.wait(30)
        if cut is not None:
            handler.wfile.write(data[:cut])
            handler.wfile.flush()
            handler.close_connection = True
            handler.connection.close()
            return
        if page.drip and not probing:
            for byte in data:
                time.sleep(page.drip)
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
            return
        handler.wfile.write(data)
        with self.lock:
            self.sent += len(data)

    def _status(self, handler: BaseHTTPRequestHandler, code: int, headers: dict[str, str]) -> None:
        handler.send_response(code)
        for key, value in headers.items():
            handler.send_header(key, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()


@contextlib.contextmanager
def serving() -> Iterator[Site]:
    site = Site()
    try:
        yield site
    finally:
        site.close()
