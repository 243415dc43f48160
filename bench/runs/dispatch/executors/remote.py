"""Supervising a job in another process, perhaps on another machine, through the results folder.

Jobs travel as text. Events and the wish to stop travel through `jobs/SESSION/` of the results
folder, which every machine sees: one file of events a job, appended to by its supervisor and
followed by the command, and one file that says how urgently to stop.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.model.jobs import Event, Job
from bench.registry import OWN_FOLDERS
from bench.runs.dispatch.executors import Desk
from bench.runs.dispatch.supervise import Outcome, Supervisor
from bench.util.atomic import write_text
from bench.util.errors import StoreError

LOOK = 1.0
"""Seconds between two looks at a file that says what is new."""
FORGOTTEN = 7 * 86400.0
"""Seconds after which the mailbox of a command that was killed is removed."""


def attend(
    text: str, mailbox: str, environment: Mapping[str, str], parent: int | None = None
) -> Outcome:
    """Supervise one job (its JSON text): what an executor runs elsewhere.

    `parent` is the process to outlive no longer, where that is on this machine.
    """
    box = Mailbox(Path(mailbox), parent)
    return Supervisor(Job.model_validate_json(text), environment, box.post, box.level).run()


def settings_for_elsewhere() -> dict[str, str]:
    """The environment variables that a job's meaning depends on, with absolute paths."""
    folders = [part for part in os.environ.get(OWN_FOLDERS, "").split(os.pathsep) if part]
    if not folders:
        return {}
    return {OWN_FOLDERS: os.pathsep.join(str(Path(part).absolute()) for part in folders)}


@dataclass
class Mailbox:
    """The supervisor's side."""

    folder: Path
    parent: int | None = None
    _looked: float = 0.0
    _level: int = 0

    def __post_init__(self) -> None:
        self._met = self.folder.is_dir()

    def post(self, job: Job, event: Event) -> None:
        """Tell the command what happens; a display is not worth a failure."""
        with contextlib.suppress(OSError):
            path = self.folder / f"{job.group}.events"
            with path.open("a", encoding="utf-8") as file:
                file.write(event.model_dump_json(exclude_defaults=True) + "\n")

    def level(self) -> int:
        """What the user wants, as far as it is known here."""
        # joblib runs a single job in the command's own process.
        if self.parent not in (None, os.getpid(), os.getppid()):
            return 2
        if time.monotonic() - self._looked > LOOK:
            self._looked = time.monotonic()
            with contextlib.suppress(OSError, ValueError):
                self._level = int((self.folder / "stop").read_text(encoding="utf-8"))
            if self._met and not self.folder.is_dir():  # the command ended without us
                self._level = 2
        return self._level


@dataclass
class Desktop:
    """The command's side: follows events, passes on the wish to stop."""

    desk: Desk
    jobs: dict[str, Job] = field(default_factory=dict)
    _read: dict[str, int] = field(default_factory=dict)
    _looked: float = 0.0
    _told: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def folder(self) -> Path:
        """Where both sides meet."""
        return self.desk.results.absolute() / "jobs" / self.desk.session

    def open(self, jobs: Sequence[Job]) -> None:
        """Make the mailbox for these jobs; those that killed commands left are removed in time."""
        self._read, self._told = {}, 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot write '{self.folder}': {error.strerror}") from error
        for other in self.folder.parent.iterdir():
            with contextlib.suppress(OSError):
                if time.time() - _newest(other) > FORGOTTEN:
                    shutil.rmtree(other)
        self.jobs = {job.group: job for job in jobs}

    def close(self) -> None:
        """Remove it; supervisors that are still at work elsewhere need none."""
        self.look(everything=True)
        with self._lock:
            self.jobs = {}
        shutil.rmtree(self.folder, ignore_errors=True)

    def look(self, everything: bool = False) -> None:
        """Take in what is new, and pass on what the user wants."""
        with self._lock:
            if not self.jobs:  # not yet open, or closed
                return
            if self.desk.level > self._told:
                self._told = self.desk.level
                write_text(self.folder / "stop", str(self._told))
            if everything or time.monotonic() - self._looked > LOOK:
                self._looked = time.monotonic()
                for group, job in self.jobs.items():
                    self._follow(group, job)

    def _follow(self, group: str, job: Job) -> None:
        start = self._read.get(group, 0)
        try:
            with (self.folder / f"{group}.events").open("rb") as file:
                file.seek(start)
                data = file.read()
        except OSError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._read[group] = start + len(whole)
        for line in whole.splitlines():
            # Two supervisors of one job, the first being cut off, may write into one another.
            with contextlib.suppress(ValueError):
                self.desk.listen(job, Event.model_validate_json(line))


def _newest(folder: Path) -> float:
    return max(path.stat().st_mtime for path in [folder, *folder.iterdir()])
