"""Many jobs through an executor: what is lost is sent once more, and Ctrl-C ends it in order."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Sequence
from types import FrameType

from bench.model.jobs import Event, Job
from bench.runs.dispatch.executors import Desk, Executor
from bench.runs.dispatch.supervise import Outcome
from bench.util.errors import StoreError

TICK = 0.1
"""Seconds between two looks at what the executor does."""
GRACE = 10.0
"""Seconds to end at once, or to tidy up, before workers and executors are left behind."""


class Dispatcher:
    """Brings jobs to their end on an executor."""

    def __init__(self, executor: Executor, desk: Desk) -> None:
        self.executor = executor
        self.desk = desk
        self._losses: Counter[str] = Counter()

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Run all jobs; returns when every one has ended, whatever its end.

        A job whose supervisor vanished (a node that failed, a worker of the cluster that was
        killed) is run once more; runs with a record are not run again.

        Raises `StoreError` where results cannot be written, once all workers have ended.
        """
        outcomes: list[Outcome] = []
        while jobs:
            ended = self._round(jobs)
            lost = [job for job in jobs if ended[job.group].lost]
            self._losses.update(job.group for job in lost)
            jobs = [job for job in lost if self._losses[job.group] == 1 and not self.desk.level]
            again = {job.group for job in jobs}
            for job in jobs:
                text = "what supervised its worker was lost; trying once more"
                self.desk.listen(job, Event(kind="note", title=text))
            outcomes += [outcome for group, outcome in ended.items() if group not in again]
        fatal = next((outcome.fatal for outcome in outcomes if outcome.fatal), "")
        if fatal:
            raise StoreError(fatal)
        return outcomes

    def _round(self, jobs: Sequence[Job]) -> dict[str, Outcome]:
        """Each job's outcome, by group."""
        ended: dict[str, Outcome] = {}
        by_group = {job.group: job for job in jobs}
        problems: list[Exception] = []
        if self.desk.level:
            return {job.group: Outcome(job.group, interrupted=True) for job in jobs}

        def deliver(outcome: Outcome) -> None:
            ended[outcome.group] = outcome
            if outcome.fatal:
                self.desk.level = max(1, self.desk.level)
            self.desk.listen(by_group[outcome.group], Event(kind="ended"))

        def drive() -> None:
            try:
                self.executor.run(jobs, deliver)
            except Exception as error:  # raised again where the command can show it
                problems.append(error)

        # A daemon, so that a cluster that no longer answers cannot keep the command alive.
        thread = threading.Thread(target=drive, daemon=True, name="executor")
        thread.start()
        patience = _Patience(self.desk)
        while thread.is_alive() and patience.lasts():
            thread.join(TICK)
            missing = len(jobs) - len(ended)
            if not missing:  # nothing to wait for but its tidying up
                thread.join(GRACE)
                break
            if not self.executor.attend(missing):
                break
        if problems:
            raise problems[0]
        return {job.group: ended.get(job.group) or self._missing(job) for job in jobs}

    def _missing(self, job: Job) -> Outcome:
        stopped = bool(self.desk.level)
        error = f"{job.title}: what supervised its worker was lost twice; the same command goes on"
        return Outcome(job.group, stopped, not stopped, [] if stopped else [error])


class _Patience:
    """Without end until the user wants it now; then `GRACE` seconds."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._since: float | None = None
        self._told = False

    def lasts(self) -> bool:
        if self.desk.level and not self._told:
            self._told = True
            self.desk.say("ending after the current epoch; Ctrl-C again ends at once")
        if self.desk.level < 2:
            return True
        if self._since is None:
            self._since = time.monotonic()
        return time.monotonic() - self._since < GRACE


class Interrupt:
    """While active, Ctrl-C and SIGTERM ask for an end after the epoch; a second one for one now."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def __enter__(self) -> Interrupt:
        self._previous = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # Only a number changes here: whoever runs jobs looks at it a few times a second.
        self.desk.level = min(2, self.desk.level + 1)
