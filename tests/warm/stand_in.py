"""Puts warm processes in the place of cold ones while a test runs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.runs.dispatch import supervise
from bench.runs.dispatch.supervise import WORKER
from bench.runs.isolation import process
from bench.runs.slots import thread_limits
from tests.warm.forks import Forked, Place, Request, method_context

READ_ON_IMPORT = ("HF_", "PYTHONPATH", "TORCH_HOME", "TRANSFORMERS_", "XDG_CACHE_HOME")
"""How variables begin that Python, or a library of the server's, reads once."""


def cold(environment: Mapping[str, str]) -> bool:
    """Whether a process needs an interpreter of its own, since variables say otherwise."""
    names = {name for name in (*environment, *os.environ) if name.startswith(READ_ON_IMPORT)}
    return any(environment.get(name) != _AT_START.get(name) for name in names)


_AT_START = dict(os.environ)


class Warm:
    """The server of one process of pytest's, and what puts it in the place of cold starts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._address = ""
        self._starting = threading.Lock()  # workers are started by several threads at once
        self._cold_context = process._context

    def put_in_place(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Workers and methods start warm while a test runs."""
        popen = subprocess.Popen

        def start(command: Sequence[str], **given: Any) -> Any:
            if tuple(command[:-1]) != WORKER or cold(given["env"]):
                return popen(command, **given)
            return self._worker(command[3:], given["env"], given["stderr"].fileno())

        # The module's own name for it: other processes that the harness starts are none of ours.
        stand_in = _Subprocess(start)
        monkeypatch.setattr(supervise, "subprocess", stand_in)
        monkeypatch.setattr(process, "_context", self._context)

    def _context(self, method: str) -> Any:
        if cold(os.environ):
            return self._cold_context(method)
        return method_context(self.address, method)

    @property
    def address(self) -> str:
        """The server's socket; it is started when it is first wanted."""
        with self._starting:
            if not self._address:
                self._address = self._start_server()
        return self._address

    def _start_server(self) -> str:
        address = str(self._folder / "warm")
        ours, self._alive = os.pipe()
        command = [sys.executable, "-c", "from tests.warm.server import main; main()"]
        self._process = subprocess.Popen(
            [*command, address, str(ours)],
            cwd=Path(__file__).parents[2],
            env={**_AT_START, **thread_limits(1)},  # a process with threads cannot fork safely
            pass_fds=(ours,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        os.close(ours)
        assert self._process.stdout is not None
        assert self._process.stdout.read(1), "the server of warm processes did not start"
        return address

    def close(self) -> None:
        """End the server, and with it those that it has made."""
        if self._address:
            os.close(self._alive)
            self._process.wait()

    def _worker(self, arguments: Sequence[str], environment: dict[str, str], log: int) -> Forked:
        folder = str(Path.cwd())
        place = Place(environment, folder, [folder, *sys.path], self.address)
        (their_in, our_in), (our_out, their_out) = os.pipe(), os.pipe()
        request = Request("worker", (), tuple(arguments))
        forked = Forked(self.address, request, place, (their_in, their_out, log))
        os.close(their_in)
        os.close(their_out)
        forked.stdin, forked.stdout = os.fdopen(our_in, "wb"), os.fdopen(our_out, "rb")
        return forked


class _Subprocess:
    """The module `subprocess` with another `Popen`."""

    def __init__(self, popen: Callable[..., Any]) -> None:
        self.Popen = popen

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)
