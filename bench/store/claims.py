"""Who is computing what in a results folder that several processes and machines share.

A claim is one small file, `claims/NAME.json`, that names its holder. It needs no file locks, which
network file systems implement unevenly, only three things that NFS and every local file system do
atomically or by the server's own clock:

- giving a finished file a second name (a hard link) that must not exist succeeds for one process
  only, and nobody ever sees half a claim (where there are no hard links, `O_EXCL` does);
- by the same means one process at a time evicts a dead holder, having looked again that it is the
  one it took for dead;
- a holder touches its claim every `BEAT` seconds, and whoever asks compares that time with the
  modification time of a file it has just made in the same folder: both are the file server's, so
  that clocks of machines that disagree do no harm.

A claim is dead when its holder was a process of this machine that is gone, when it is held for the
same group of runs (the dispatcher starts a group again only after it ended), or when it was not
touched for `STALE` seconds. At worst, after a network failure longer than that, two machines
compute one run: records are written whole and named by their content, so that nothing is spoiled.
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.util.atomic import writing

BEAT = 20.0
"""Seconds between two touches of a claim."""
STALE = 300.0
"""Seconds without a touch after which a holder on another machine counts as dead; well above
`BEAT` and the minute for which NFS clients may show an old time."""
POLL = 2.0
"""Seconds between two looks at a claim that is waited for."""
GUARD_POLL = 0.01
"""Seconds between two looks while another process evicts a dead holder."""


class Holder(BaseModel):
    """Who holds a claim."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    token: str
    """Unique."""
    machine: str
    """Host, boot and process namespace: within one of these, process ids mean something."""
    host: str
    """For messages."""
    pid: int
    """Process id."""
    group: str = ""
    """The group of runs it is at work on; '' for none."""


class Claims:
    """The claims of one process in one results folder."""

    def __init__(self, root: Path, group: str = "") -> None:
        self.folder = root / "claims"
        self.group = group
        self._held: dict[str, Holder] = {}
        self._lock = threading.Lock()
        self._heart: threading.Thread | None = None

    def take(self, name: str) -> bool:
        """Claim `name`; False where another live process holds it.

        Raises `StoreError` where the results folder cannot be written.
        """
        path = self._path(name)
        holder = Holder(
            token=uuid.uuid4().hex,
            machine=machine(),
            host=socket.gethostname(),
            pid=os.getpid(),
            group=self.group,
        )
        while not self._create(path, holder.model_dump_json()):
            other = _read(path)
            if other is not None and self._alive(path, other):
                return False
            if other is not None:
                with writing(path):
                    _evict(path, other)
        with self._lock:
            self._held[name] = holder
        self._beat_from_now_on()
        return True

    def release(self, name: str) -> None:
        """Give a claim back; nothing where another process has taken it over."""
        with self._lock:
            mine = self._held.pop(name, None)
        if mine is not None and _read(self._path(name)) == mine:
            with writing(self._path(name)):
                self._path(name).unlink(missing_ok=True)

    def holder(self, name: str) -> Holder | None:
        """The live holder of a claim, this process included; None where it is free."""
        path = self._path(name)
        other = _read(path)
        return other if other is not None and self._alive(path, other) else None

    def holders(self) -> dict[str, Holder]:
        """All claims that live processes hold."""
        names = [path.stem for path in self.folder.glob("[!.]*.json")]
        found = {name: self.holder(name) for name in names}
        return {name: holder for name, holder in found.items() if holder is not None}

    def forget(self, pid: int) -> None:
        """Remove what a process of this machine held that has ended."""
        for path in self.folder.glob("[!.]*.json"):
            holder = _read(path)
            if holder is not None and (holder.machine, holder.pid) == (machine(), pid):
                with writing(path):
                    _evict(path, holder)

    @contextlib.contextmanager
    def holding(
        self,
        name: str,
        ready: Callable[[], bool] = lambda: False,
        waiting: Callable[[Holder], None] = lambda holder: None,
        poll: float = POLL,
    ) -> Iterator[bool]:
        """Wait until `name` is ours (True) or `ready` says that it needs nobody any more (False).

        `waiting` is called at every look while another holds it, and may raise to give up.
        """
        mine = False
        while not ready() and not (mine := self.take(name)):
            holder = self.holder(name)
            if holder is not None:
                waiting(holder)
                time.sleep(poll)
        try:
            # Whoever held it may have finished between the two looks.
            yield mine and not ready()
        finally:
            if mine:
                self.release(name)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _create(self, path: Path, text: str) -> bool:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            return _link(path, text)

    def _alive(self, path: Path, holder: Holder) -> bool:
        mine = self._held.get(path.stem)
        if holder == mine:
            return True
        if holder.group and holder.group == self.group:
            return False
        if holder.machine == machine() and not _process_exists(holder.pid):
            return False
        touched = _touched(path)
        return touched is not None and _server_time(path.parent) - touched < STALE

    def _beat_from_now_on(self) -> None:
        if self._heart is None:
            self._heart = threading.Thread(target=self._beat, daemon=True, name="claims")
            self._heart.start()

    def _beat(self) -> None:
        while True:
            time.sleep(BEAT)
            with self._lock:
                names = list(self._held)
            for name in names:
                with contextlib.suppress(OSError):  # a server that is away for a moment
                    os.utime(self._path(name))


@cache
def machine() -> str:
    """A name for everything within which a process id means one process."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with contextlib.suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def _link(path: Path, text: str) -> bool:
    """Make `path` with this content, whole; False where it is there already."""
    own = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.tmp")
    try:
        own.write_text(text, encoding="utf-8")
        return _link_to(own, path) or _write_new(path, text)
    except FileExistsError:
        # Over NFS the answer to a link that succeeded may be lost, and the repetition refused.
        return own.stat().st_nlink == 2
    finally:
        own.unlink(missing_ok=True)


def _link_to(own: Path, path: Path) -> bool:
    """False on a file system without hard links; raises where `path` is there already."""
    try:
        os.link(own, path)
    except FileExistsError:
        raise
    except OSError:
        return False
    return True


def _write_new(path: Path, text: str) -> bool:
    try:
        file = path.open("x", encoding="utf-8")
    except FileExistsError:
        return False
    try:
        with file:
            file.write(text)
    except OSError:  # a full disk; an empty claim would be taken for another machine's
        path.unlink(missing_ok=True)
        raise
    return True


def _read(path: Path) -> Holder | None:
    """The holder that a claim file names; None where there is no file.

    A file that cannot be read stands for an unknown process on another machine.
    """
    try:
        return Holder.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        return Holder(token="", machine="", host="another machine", pid=0)


def _evict(path: Path, holder: Holder) -> None:
    """Remove the claim of a dead holder, and nobody else's.

    One process at a time: without the guard, a second one that had seen the dead holder as well
    would remove the claim that the first has made in the meantime.
    """
    guard = path.with_name(f".{path.stem}.evicting")
    if not _link(guard, ""):
        if _expired(guard):  # its maker was killed within these few lines
            guard.unlink(missing_ok=True)
        time.sleep(GUARD_POLL)
        return
    try:
        if _read(path) == holder:
            path.unlink(missing_ok=True)
    finally:
        guard.unlink(missing_ok=True)


def _expired(path: Path) -> bool:
    touched = _touched(path)
    return touched is not None and _server_time(path.parent) - touched >= STALE


def _touched(path: Path) -> float | None:
    try:
        # Opening asks the server; a bare stat may answer from the client's cache.
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return None


def _server_time(folder: Path) -> float:
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".clock-", suffix=".tmp") as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:  # somebody who may only look; our own clock is the next best
        return time.time()


def _process_exists(pid: int) -> bool:
    if os.name != "posix":  # elsewhere signal 0 is not a question
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
