"""What happens to a job, from `Executor.submit` to its `JobOutcome`.

A job is a pre-training, or a group of runs of one method (`bench.model.jobs`; `bench.runs.sweep`
makes jobs of a plan).

1. `run` submits all jobs to the executor: this machine, a Dask cluster or Slurm (`executors/`).
   The answer to each submission is a future.
2. Once there is room, a `Supervisor` (`supervise.py`) takes the job: in a thread of the command, on
   a Dask worker or on a node of Slurm. It starts a worker process, `bench exec`
   (`bench.runs.worker`), and passes the worker's events on to `Session.listen`, the display.
3. The worker claims each run, computes it and writes its record. When it dies, the supervisor
   starts another worker. The run at which it died is tried once more and then recorded as failed.
4. When no run is left, the supervisor returns a `JobOutcome`, which is the result of the future.
5. When the supervisor itself is lost with its machine, the future has an exception, and `run`
   submits the job once more.

Ctrl-C raises `Session.level`. Every supervisor looks at it and ends its worker, after the current
epoch or at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from bench.model.jobs import Event, Job
from bench.model.resources import Resources
from bench.runs.dispatch.supervise import AFTER_EPOCH, NOW, JobOutcome, Listen
from bench.util.filenames import slug

if TYPE_CHECKING:
    from bench.cli.options import Options


@dataclass
class Session:
    """State that one command and its executor share."""

    results: Path
    """The results folder."""
    listen: Listen
    """Called with each event of a job, from several threads."""
    say: Callable[[str], None] = lambda text: None
    """Shows the user a line."""
    level: int = 0
    """How soon the user wants work to end: 0 (not before it is done), `AFTER_EPOCH` or `NOW`."""
    name: str = field(
        default_factory=lambda: f"{slug(socket.gethostname())}-{os.getpid()}-{uuid4().hex[:6]}"
    )
    """Unique on all machines, and valid in file names."""


class Executor(ABC):
    """Runs jobs on one or more machines; close it after use."""

    def __init__(self, options: Options, session: Session) -> None:
        """Raises `UsageError` if no cluster answers."""
        self._options = options
        self._session = session

    @classmethod
    def refusals(cls, options: Options, rows: Mapping[str, Resources]) -> dict[str, str]:
        """Row -> why no machine of the executor can ever run it. '' or no entry: it can."""
        return {}

    @abstractmethod
    def submit(self, job: Job) -> Future[JobOutcome]:
        """Have a job supervised. An exception in the future means that its supervisor was lost.

        When `Session.level` rises, all futures end, after the epoch or within seconds. Raises
        `BenchError` if nothing can run.
        """

    def batch(self) -> contextlib.AbstractContextManager[None]:
        """A context for jobs that are sent together at its end, if the executor does so."""
        return contextlib.nullcontext()

    @abstractmethod
    def close(self) -> None:
        """Release what the executor holds, once all futures have ended."""


def run(jobs: Sequence[Job], executor: Executor, session: Session) -> dict[str, JobOutcome]:
    """Run all jobs. Returns the outcome of each, by group, when every one has ended.

    Supervisors handle failed runs and dead workers. A job whose supervisor itself was lost (a node
    failed, a worker of the cluster was killed) is submitted once more, after the others; its runs
    that have a record are not computed again. Once all workers have ended, raises `StoreError`
    where results cannot be written and `OutOfBudgetError` where a budget is spent.
    """
    outcomes = {job.group: JobOutcome(interrupted=True) for job in jobs}
    for retry in (False, True):
        if session.level or not jobs:
            break
        for job in jobs if retry else ():
            text = "its supervisor was lost; trying once more"
            session.listen(job, Event(kind="note", title=text))
        with executor.batch():
            futures = {executor.submit(job): job for job in jobs}
        for future in as_completed(futures):
            job = futures[future]
            outcomes[job.group] = outcome = _outcome(future, job, session)
            if outcome.fatal:  # a full disk is full for all jobs
                session.level = max(session.level, AFTER_EPOCH)
        jobs = [job for job in jobs if outcomes[job.group].lost]
    for outcome in outcomes.values():
        if outcome.fatal:
            raise outcome.fatal
    return outcomes


def _outcome(future: Future[JobOutcome], job: Job, session: Session) -> JobOutcome:
    try:
        return future.result()
    except Exception as error:  # each library has its own error for a lost task
        session.listen(job, Event(kind="ended"))
        if session.level:
            return JobOutcome(interrupted=True)
        reason = f"{job.title}: its supervisor was lost: {str(error) or type(error).__name__}"
        return JobOutcome(lost=True, errors=[reason])


@contextlib.contextmanager
def stopping_on_signals(session: Session) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the session's work after the epoch, a second one ends it at once.

    A third one has its default effect. An exception in the block ends the work at once, too.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        session.level = min(session.level + 1, NOW)
        if session.level == NOW:
            signal.signal(number, previous[number])
        else:
            # In a thread, since the handler may have interrupted a thread that is printing.
            text = "ending after the current epoch; Ctrl-C again ends at once"
            threading.Thread(target=session.say, args=(text,)).start()

    previous: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, handle)
    try:
        yield
    except BaseException:
        session.level = NOW
        raise
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)
