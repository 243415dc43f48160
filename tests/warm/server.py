"""The server of warm processes: imports once, forks whatever is asked for."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import pickle
import random
import selectors
import signal
import socket
import sys
import threading
import traceback
from multiprocessing.connection import Connection

from tests.warm.forks import HEAD, MOST, Place, Request, method_context

IMPORTED = (
    "bench.cli",
    "bench.data.data_cache",
    "bench.data.images",
    "bench.metrics.logistic",
    "bench.runs.execute.pretraining",
    "bench.runs.execute.whole",
    "bench.runs.isolation.child",
    "bench.runs.isolation.known_once",
    "bench.runs.worker",
    "bench.store.claims",
    "pandas",
    "pyarrow.parquet",
    "scipy.optimize",
    "scipy.stats",
)
"""What a worker process has imported by the end of a run."""


def main() -> None:
    """`python -c ... SOCKET FD`: serve until the other end of FD is closed."""
    address, alive = sys.argv[1], int(sys.argv[2])
    sys.path.remove("")
    for name in IMPORTED:
        importlib.import_module(name)
    listener = _listener(address)
    os.write(1, b".")  # pytest waits for it
    _serve(listener, alive)


def _listener(address: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    return listener


def _serve(listener: socket.socket, alive: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest, which ends this
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(alive, selectors.EVENT_READ)
    servers: set[str] = set()
    while not any(key.fd == alive for key, _ in selector.select()):  # its end is readable
        _collect()
        line, _ = listener.accept()
        head, fds, _, _ = socket.recv_fds(line, HEAD.size, MOST)
        request, place = pickle.loads(_read(line, HEAD.unpack(head)[0]))
        if request.run == "server":
            _another(request, servers, alive)
            line.sendall(HEAD.pack(0) + HEAD.pack(0))
        elif os.fork() == 0:
            listener.close()
            selector.close()
            _keep(request, place, fds, line)
        line.close()
        for fd in fds:
            os.close(fd)
    _collect()


def _collect() -> None:
    """Let the system forget the keepers that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _another(request: Request, servers: set[str], alive: int) -> None:
    """Fork a server that has imported more, once."""
    address = request.arguments[0]
    if address in servers:
        return
    servers.add(address)
    listener = _listener(address)  # so that whoever asked can ask it at once
    if os.fork():
        listener.close()
        return
    for name in request.modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    _serve(listener, alive)
    os._exit(0)


def _read(line: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        found += line.recv(size - len(found))
    return found


def _keep(request: Request, place: Place, fds: list[int], line: socket.socket) -> None:
    """Fork the process that was asked for, and tell its number, and later how it ended."""
    pid = os.fork()
    if pid == 0:
        line.close()
        _become(request, place, fds)
    for fd in fds:
        os.close(fd)
    with contextlib.suppress(OSError):  # whoever asked may be gone
        line.sendall(HEAD.pack(pid))
        _, status = os.waitpid(pid, 0)
        line.sendall(HEAD.pack(os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _become(request: Request, place: Place, fds: list[int]) -> None:
    """Run as a fresh interpreter would that had been started with these variables and files."""
    code = 1
    try:
        with contextlib.suppress(OSError):  # the group may be gone already
            os.setpgid(0, request.group)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for fd, other in enumerate(fds[:3]):
            os.dup2(other, fd)
            os.close(other)
        os.environ.clear()
        os.environ.update(place.environment)
        os.chdir(place.folder)
        sys.path[:] = place.path
        _reseed()
        code = _worker(request, place) if request.run == "worker" else _method(request, fds[3:])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _reseed() -> None:
    import numpy as np

    random.seed()
    np.random.seed()  # noqa: NPY002  # or all forks draw the same numbers from it


def _worker(request: Request, place: Place) -> int:
    from bench.cli import main as command
    from bench.runs.isolation import process

    process._context = lambda method: method_context(place.server, method)
    sys.argv = ["bench", *request.arguments]
    command()
    return 0


def _method(request: Request, fds: list[int]) -> int:
    from bench.runs.isolation import child

    pipe, lifeline = Connection(fds[0]), Connection(fds[1], writable=False)
    child.serve(pipe, lifeline, pickle.loads(request.start))
    return 0
