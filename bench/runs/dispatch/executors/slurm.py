"""Slurm, through submitit: one array of jobs, each of which supervises one group of runs.

Slurm decides when and where. The command that submitted follows the work through the results folder
and may be killed: jobs that are in the queue go on, and the same command later finds their records.
"""

from __future__ import annotations

import contextlib
import math
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import submitit
from submitit.core.utils import UncompletedJobError
from submitit.helpers import Checkpointable

from bench.model.jobs import Job
from bench.runs.dispatch import Executor, Session
from bench.runs.dispatch.executors import remote
from bench.runs.dispatch.supervise import NOW, JobOutcome
from bench.util import durations
from bench.util.errors import BenchError, UsageError, unknown

if TYPE_CHECKING:
    from bench.cli.options import Options

RENAMED = {"gpus": "gpus_per_node", "cpus": "cpus_per_task"}
DEFAULT_MINUTES = 240
TIMEOUTS = 20
"""How often a group may reach the job's time and be put into the queue again."""


class Supervision(Checkpointable):
    """What submitit calls on a node.

    On preemption, or when the job's time is up, it is put into the queue again as it is: the worker
    ends with its supervisor, and runs that have a record are skipped.
    """

    def __call__(self, job: Job, folder: Path, threads: int | None) -> JobOutcome:
        """Supervise a job to its end."""
        return remote.supervise(job, folder, threads)


class SlurmExecutor(Executor):
    """Jobs under Slurm."""

    def __init__(self, options: Options, session: Session) -> None:
        self._options = options
        self._session = session
        folder = session.results.absolute() / "logs" / "slurm"
        try:
            self._slurm = submitit.SlurmExecutor(folder, max_num_timeout=TIMEOUTS)
        except RuntimeError:
            raise UsageError(
                "--executor slurm: 'srun' is not on the PATH; run this on a login node of a Slurm "
                "cluster"
            ) from None
        self._slurm.update_parameters(**parameters(options))
        self._batch: dict[Future[JobOutcome], submitit.Job[JobOutcome]] = {}
        self._submitted: dict[Future[JobOutcome], submitit.Job[JobOutcome]] = {}
        self._monitor = remote.RemoteMonitor(session, self._look)

    def submit(self, job: Job) -> Future[JobOutcome]:
        """As `Executor.submit`, within `batch`; a job is lost when it ends without an answer."""
        job = self._monitor.follow(job, self._options.device)
        future: Future[JobOutcome] = Future()
        self._batch[future] = self._slurm.submit(
            Supervision(),  # type: ignore[no-untyped-call]  # its base class is submitit's
            job,
            self._monitor.folder,
            self._options.threads,
        )
        return future

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """As `Executor.batch`: one array. Raises `BenchError` where Slurm refuses it."""
        self._batch = {}
        try:
            with self._slurm.batch():
                yield
        except (subprocess.CalledProcessError, OSError, RuntimeError) as error:
            raise BenchError(f"sbatch refused the jobs: {error}") from error
        self._submitted |= self._batch

    def close(self) -> None:
        """As `Executor.close`."""
        self._monitor.close()

    def _look(self) -> None:
        """Resolve the futures of jobs that have ended: Slurm itself tells nobody.

        submitit looks for a job's result; it asks `sacct` for its state ever more rarely.
        """
        for future, handle in list(self._submitted.items()):
            try:
                if outcome := self._outcome(handle):
                    future.set_result(outcome)
            except Exception as error:  # nobody else sees errors of this thread
                future.set_exception(error)
            if future.done():
                del self._submitted[future]

    def _outcome(self, handle: submitit.Job[JobOutcome]) -> JobOutcome | None:
        """The outcome of a job that has ended or is not to start; None while it goes on."""
        level = self._session.level
        # Jobs that have begun hear of the wish to stop, and end after their epoch.
        unwanted = level >= NOW or (level > 0 and handle.state == "PENDING")
        if unwanted:
            handle.cancel(check=False)
        elif not handle.done():
            return None
        if level and not handle.paths.result_pickle.exists():
            return JobOutcome(interrupted=True)
        try:
            return handle.result()
        except UncompletedJobError:  # a node that failed, a job that was cancelled or killed
            raise BenchError(
                f"Slurm job {handle.job_id} ended without an answer (state {handle.state}); see "
                f"{handle.paths.stderr}"
            ) from None


def parameters(options: Options) -> dict[str, Any]:
    """submitit's parameters of `--slurm KEY=VALUE` and `--jobs`, which limits the array.

    Keys are sbatch's (partition, account, qos, constraint, gres, mem, ...), with `gpus` and `cpus`
    for those of the one node. Raises `UsageError` for a key that sbatch does not have.
    """
    known = {*submitit.SlurmExecutor._valid_parameters(), *RENAMED} - {"array_parallelism"}
    values: dict[str, Any] = {"time": DEFAULT_MINUTES, "job_name": "iqa-bench"}
    for text in options.slurm or ():
        key, _, value = text.partition("=")
        if not value:
            raise UsageError(f"--slurm {text}: expected key=value")
        if key not in known:
            raise unknown("key", key, known, "--slurm")
        plain = int(value) if value.isdecimal() else value
        values[RENAMED.get(key, key)] = minutes(value) if key == "time" else plain
    if options.jobs:
        values["array_parallelism"] = options.jobs
    return values


def minutes(text: str) -> int:
    """Minutes of a job's time, as sbatch writes it, or with units.

    >>> minutes("90"), minutes("1:30:00"), minutes("1-12"), minutes("2d"), minutes("30:30")
    (90, 90, 2160, 2880, 31)

    Raises `UsageError` for anything else.
    """
    if not re.fullmatch(r"(\d+-)?\d+(:\d+){0,2}", text):
        return math.ceil(durations.seconds(text) / 60)
    days, _, clock = text.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    # Hours come first after days, and where there are three numbers.
    first = 60 if days or len(parts) == 3 else 1
    minutes: float = sum(n * first / 60**i for i, n in enumerate(parts))
    return 1440 * int(days or 0) + math.ceil(minutes)
