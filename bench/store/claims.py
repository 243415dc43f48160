"""Claims: which process computes which run, in a results folder that many processes may share.

A claim is a small file, `claims/NAME.json`, that names its holder. Claims use no file locks, since
network file systems implement them unevenly. They rely on three operations that work alike on NFS
and on local file systems:

- Taking a claim is creating a hard link to a finished file. It succeeds for one process only, and
  no reader sees half a claim. Without hard links, a file opened with `O_EXCL` takes its place.
- Evicting a dead holder is guarded by a second link of this kind. The process that holds the guard
  reads the claim again, and removes it only if it still names the dead holder.
- Every `BEAT` seconds a holder updates the modification time of its claim. Other processes compare
  it with the modification time of a file that they create in the same folder. Both times come from
  the file server, so the clocks of the machines do not matter.

A claim is dead if its holder was a process of this machine that no longer exists, if it belongs to
the group of runs that asks (a group is started again only after its worker has ended), or if it was
not updated for `STALE` seconds. After a longer network failure two machines may compute the same
run; this costs time but no result, since records are written whole and named by their content.
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
"""Seconds between two updates of a claim by its holder."""
STALE = 300.0
"""Seconds without an update after which a holder on another machine counts as dead: well above
`BEAT`, and above the minute for which NFS clients may show an old time."""
POLL = 2.0
"""Seconds between two attempts to take a claim that another process holds."""
GUARD_POLL = 0.01
"""Seconds to wait while another process evicts a dead holder."""


class Holder(BaseModel):
    """The process that holds a claim."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    token: str
    """Unique to this claim."""
    machine: str
    """Host, boot and process namespace; process ids are comparable only within one of these."""
    host: str
    """Host name, for messages."""
    pid: int
    """Process id."""
    group: str = ""
    """The group of runs that the process computes; '' for none."""


class Claims:
    """The claims of one process in one results folder."""

    def __init__(self, root: Path, group: str = "") -> None:
        self.folder = root / "claims"
        self.group = group
        self._held: dict[str, Holder] = {}
        self._lock = threading.Lock()
        self._heartbeat: threading.Thread | None = None

    def take(self, name: str) -> bool:
        """Claim `name`. False if another live process holds it.

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
        # A failed attempt may mean a dead holder: evict it and try again.
        while not self._create(path, holder.model_dump_json()):
            other = _read(path)
            if other is not None and self._alive(path, other):
                return False
            if other is not None:
                with writing(path):
                    _evict(path, other)
        with self._lock:
            self._held[name] = holder
        self._start_heartbeat()
        return True

    def release(self, name: str) -> None:
        """Give a claim back. Does nothing if another process has taken it over."""
        with self._lock:
            mine = self._held.pop(name, None)
        if mine is not None and _read(self._path(name)) == mine:
            with writing(self._path(name)):
                self._path(name).unlink(missing_ok=True)

    def holder(self, name: str) -> Holder | None:
        """The live holder of a claim, which may be this process. None if the claim is free."""
        path = self._path(name)
        other = _read(path)
        return other if other is not None and self._alive(path, other) else None

    def holders(self) -> dict[str, Holder]:
        """The holders of all claims whose holder is alive, by name of the claim."""
        names = [path.stem for path in self.folder.glob("[!.]*.json")]
        found = {name: self.holder(name) for name in names}
        return {name: holder for name, holder in found.items() if holder is not None}

    def forget(self, pid: int) -> None:
        """Remove the claims of a process of this machine that has ended."""
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
        """Hold `name` inside a `with` block. Yields whether this process is to do the work.

        Waits while another process holds the claim, and calls `waiting` before each attempt, which
        may raise an exception to give up. Yields False once `ready` says that the work is done.
        """
        mine = False
        while not ready() and not (mine := self.take(name)):
            holder = self.holder(name)
            if holder is not None:
                waiting(holder)
                time.sleep(poll)
        try:
            # The previous holder may have finished after `ready` was asked and before `take`.
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

    def _start_heartbeat(self) -> None:
        if self._heartbeat is None:
            self._heartbeat = threading.Thread(target=self._beat, daemon=True, name="claims")
            self._heartbeat.start()

    def _beat(self) -> None:
        while True:
            time.sleep(BEAT)
            with self._lock:
                names = list(self._held)
            for name in names:
                with contextlib.suppress(OSError):  # the file server may be away for a moment
                    os.utime(self._path(name))


@cache
def machine() -> str:
    """Identifies this host, its boot and its process namespace: the scope of a process id."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with contextlib.suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def _link(path: Path, text: str) -> bool:
    """Create `path` with this content in one step. False if it exists already."""
    own = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.tmp")
    try:
        own.write_text(text, encoding="utf-8")
        return _link_to(own, path) or _write_new(path, text)
    except FileExistsError:
        # NFS may lose the reply to a successful link and then refuse the retry.
        return own.stat().st_nlink == 2
    finally:
        own.unlink(missing_ok=True)


def _link_to(own: Path, path: Path) -> bool:
    """False on a file system without hard links. Raises `FileExistsError` if `path` exists."""
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
    except OSError:  # The disk is full. An empty claim would count as another machine's.
        path.unlink(missing_ok=True)
        raise
    return True


def _read(path: Path) -> Holder | None:
    """The holder of a claim, None if there is no claim.

    A claim that cannot be read counts as held by an unknown machine until it is stale.
    """
    try:
        return Holder.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        return Holder(token="", machine="", host="another machine", pid=0)


def _evict(path: Path, holder: Holder) -> None:
    """Remove the claim of a dead holder, and no other holder's.

    The guard admits one process at a time. Without it, a second process that saw the same dead
    holder could remove the claim that the first process has taken since.
    """
    guard = path.with_name(f".{path.stem}.evicting")
    if not _link(guard, ""):
        if _expired(guard):  # Its process was killed before it could remove the guard.
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
        # Opening a file asks the server; `stat` may answer from the client's cache.
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return None


def _server_time(folder: Path) -> float:
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".clock-", suffix=".tmp") as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:  # Without write permission, this machine's clock is the best there is.
        return time.time()


def _process_exists(pid: int) -> bool:
    if os.name != "posix":  # On Windows `os.kill` would end the process.
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
