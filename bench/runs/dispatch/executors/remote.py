"""Supervising a job on another machine, through the results folder.

Events and the wish to stop travel through `jobs/SESSION/` of the results folder, which every
machine sees: a log of events for each job, appended to by its supervisor and followed by the
command, and a file that says when to stop.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from bench.model.jobs import Event, Job
from bench.registry import OWN_FOLDERS
from bench.runs.dispatch import Session
from bench.runs.dispatch.supervise import NOW, JobOutcome, Supervisor
from bench.runs.slots import thread_limits
from bench.util.atomic import write_text, writing
from bench.util.environment import cores
from bench.util.errors import StoreError

LOOK = 1.0
"""Seconds between two checks of the folder."""
FORGOTTEN = 7 * 86400.0
"""Seconds after which the folder of a command that was killed is removed."""


def supervise(job: Job, folder: Path, threads: int | None, at_once: int = 1) -> JobOutcome:
    """Supervise a job on a cluster's machine.

    A worker gets the CPU threads that its row needs, or `threads`; by default `at_once` jobs share
    the cores of this machine, or those that Slurm has allotted.
    """
    given = os.environ.get("SLURM_CPUS_PER_TASK", "")
    share = (int(given) if given.isdecimal() else cores()) // at_once
    variables = {**job.environment, **thread_limits(job.needs.cpus or threads or share)}
    log = EventLog(folder)
    job = job.model_copy(update={"environment": variables})
    return Supervisor(job, log.append, log.level).run()


class EventLog:
    """The supervisor's side of the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known = folder.is_dir()
        self._looked = 0.0
        self._level = 0

    def append(self, job: Job, event: Event) -> None:
        """Send an event to the command. Errors are ignored, since only the display needs events."""
        with contextlib.suppress(OSError), (self.folder / f"{job.group}.events").open("a") as file:
            file.write(event.model_dump_json(exclude_defaults=True) + "\n")

    def level(self) -> int:
        """The last known `Session.level`."""
        if time.monotonic() - self._looked > LOOK:
            self._looked = time.monotonic()
            with contextlib.suppress(OSError, ValueError):
                self._level = int((self.folder / "stop").read_text(encoding="utf-8"))
            if self._known and not self.folder.is_dir():  # the command ended without us
                self._level = NOW
        return self._level


class RemoteMonitor:
    """The command's side: a thread that shows events and passes on requests to stop."""

    def __init__(self, session: Session, look: Callable[[], None] = lambda: None) -> None:
        """`look` is called at every check of the folder. Raises `StoreError` if the disk is
        full."""
        self.session = session
        self.folder = session.results.absolute() / "jobs" / session.name
        with writing(self.folder):
            self.folder.mkdir(parents=True)
        for other in self.folder.parent.iterdir():
            with contextlib.suppress(OSError):  # its own command may be removing it
                newest = max(path.stat().st_mtime for path in (other, *other.iterdir()))
                if time.time() - newest > FORGOTTEN:
                    shutil.rmtree(other)
        self._look = look
        self._jobs: dict[str, Job] = {}
        self._read: defaultdict[str, int] = defaultdict(int)
        self._told = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="monitor")
        self._thread.start()

    def follow(self, job: Job, device: str) -> Job:
        """Show the events of a job from now on. Returns the job for its machine.

        `device` is what `--device` says.
        """
        self._jobs[job.group] = job
        folders = filter(None, os.environ.get(OWN_FOLDERS, "").split(os.pathsep))
        own = os.pathsep.join(str(Path(folder).absolute()) for folder in folders)
        environment = {**job.environment, **({OWN_FOLDERS: own} if own else {})}
        changes = {"device": job.needs.device_for(device), "environment": environment}
        return job.model_copy(update=changes)

    def close(self) -> None:
        """Show the last events and remove the folder, which ends supervisors still at work."""
        self._closing.set()
        self._thread.join()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self) -> None:
        closing = False
        while not closing:
            closing = self._closing.wait(LOOK)  # one more check after it is set
            if self.session.level > self._told:
                with contextlib.suppress(StoreError):  # tried again at the next check
                    write_text(self.folder / "stop", str(self.session.level))
                    self._told = self.session.level
            for job in list(self._jobs.values()):
                self._show_new(job)
            self._look()

    def _show_new(self, job: Job) -> None:
        try:
            with (self.folder / f"{job.group}.events").open("rb") as file:
                file.seek(self._read[job.group])
                data = file.read()
        except OSError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._read[job.group] += len(whole)
        for line in whole.splitlines():
            # A supervisor that was cut off and its successor may write into each other's lines.
            with contextlib.suppress(ValueError, OSError):
                self.session.listen(job, Event.model_validate_json(line))
