"""What is asked of a server of warm processes, and the processes that it gives."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any
from zlib import crc32

from bench import source

HEAD = struct.Struct("q")
MOST = 8
"""File descriptors that one request may carry."""


@dataclass(frozen=True)
class Request:
    """What a forked process is to become."""

    run: str
    """'worker', 'method', or 'server': another one, which has imported `modules` too."""
    modules: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    """Command line of a worker."""
    start: bytes = b""
    """The pickled `Start` of a method."""
    group: int = 0
    """The process group to join; 0: one of its own."""


@dataclass(frozen=True)
class Place:
    """What every process has of whoever asked for it."""

    environment: dict[str, str]
    folder: str
    path: list[str]
    server: str
    """Socket of the first server."""


class Forked:
    """A process of the server's: what the harness uses of `Popen`, and of `Process`."""

    def __init__(self, server: str, request: Request, place: Place, fds: Sequence[int]) -> None:
        self._line = socket.socket(socket.AF_UNIX)
        self._line.connect(server)
        payload = pickle.dumps((request, place))
        socket.send_fds(self._line, [HEAD.pack(len(payload))], list(fds))
        self._line.sendall(payload)
        self.pid: int = HEAD.unpack(self._line.recv(HEAD.size, socket.MSG_WAITALL))[0]
        self.returncode: int | None = None
        self.stdin: Any = None
        self.stdout: Any = None

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, negative for a signal. Raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            if not select.select([self._line], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a warm process", timeout or 0)
            said = self._line.recv(HEAD.size, socket.MSG_WAITALL)
            self.returncode = HEAD.unpack(said)[0] if said else -signal.SIGKILL
            self._line.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Signal it, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


class MethodFork:
    """`multiprocessing.Process`, as far as `MethodProcess` uses it."""

    def __init__(self, place: str, modules: tuple[str, ...], args: tuple[Any, ...]) -> None:
        self._place, self._modules, self._args = place, modules, args
        self._forked: Forked | None = None

    def start(self) -> None:
        """Fork it from a server that has imported `modules`, and nothing heavy besides."""
        pipe, lifeline, start = self._args
        place = Place(dict(os.environ), str(Path.cwd()), sys.path, self._place)
        request = Request("method", self._modules, (), _dumps(start), os.getpgrp())
        server = _server_of(self._place, self._modules, place)
        with Path(os.devnull).open() as nothing:
            fds = (nothing.fileno(), 1, 2, pipe.fileno(), lifeline.fileno())
            self._forked = Forked(server, request, place, fds)

    @property
    def pid(self) -> int:
        assert self._forked is not None
        return self._forked.pid

    @property
    def exitcode(self) -> int | None:
        assert self._forked is not None
        return self._forked.poll()

    def kill(self) -> None:
        assert self._forked is not None
        self._forked.kill()

    def join(self) -> None:
        assert self._forked is not None
        self._forked.wait()

    def close(self) -> None:
        """Nothing is left of it."""


@dataclass(frozen=True)
class MethodContext:
    """`multiprocessing.get_context`, as far as `MethodProcess` uses it."""

    server: str
    modules: tuple[str, ...]

    def Pipe(self, duplex: bool = True) -> tuple[Connection, Connection]:
        return multiprocessing.Pipe(duplex)

    def Process(self, target: Any, args: tuple[Any, ...], daemon: bool) -> MethodFork:
        return MethodFork(self.server, self.modules, args)


def method_context(server: str, method: str) -> MethodContext:
    """What starts a process for a method, forked from a server that has imported what it needs."""
    return MethodContext(server, tuple(source.heavy_imports(method)))


def _dumps(start: Any) -> bytes:
    return bytes(ForkingPickler.dumps(start))


def _server_of(first: str, modules: tuple[str, ...], place: Place) -> str:
    """The socket of the server that has imported `modules` and nothing heavy besides."""
    if not modules:
        return first
    # A socket's name has some 100 letters at most.
    address = f"{first}-{crc32(repr(modules).encode()):08x}"
    Forked(first, Request("server", modules, (address,)), place, ()).wait()
    return address
