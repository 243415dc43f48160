"""Slurm, through submitit: one array of jobs, each of which supervises one group of runs.

Slurm decides when and where. The command that submitted follows the work through the results folder
and may be killed: jobs that are in the queue go on, and the same command later finds their records.
"""

from __future__ import annotations

import contextlib
import math
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import submitit
from submitit.core.utils import UncompletedJobError
from submitit.helpers import Checkpointable

from bench.model.jobs import Job
from bench.model.resources import Resources
from bench.runs.dispatch import Executor, Session
from bench.runs.dispatch.executors import remote
from bench.runs.dispatch.supervise import NOW, JobOutcome
from bench.util import durations
from bench.util.errors import BenchError, UsageError, unknown

if TYPE_CHECKING:
    from bench.cli.options import Options

T = TypeVar("T")
Waiting = tuple[Job, Future[JobOutcome]]
RENAMED = {"gpus": "gpus_per_node", "cpus": "cpus_per_task"}
DEFAULT_MINUTES = 240
GPU_KEYS = ("gpus_per_node", "gpus_per_task", "num_gpus", "gres")
KIND_KEYS = ("constraint", "gres", "partition", "nodelist")
"""Keys that name a kind of GPU."""
ARRAY_LIMIT = 1000
"""Default length of the longest array; Slurm's own `MaxArraySize` is 1001 by default."""
TIMEOUTS = 20
"""How often a group may reach the time limit and go back into the queue."""


class Supervision(Checkpointable):
    """What submitit calls on a node: a bundle of groups, one after the other.

    On preemption, or when the job's time is up, it is put into the queue again as it is: the worker
    ends with its supervisor, and runs that have a record are skipped.
    """

    def __call__(self, jobs: Sequence[Job], folder: Path, threads: int | None) -> list[JobOutcome]:
        """Supervise each to its end."""
        return [remote.supervise(job, folder, threads) for job in jobs]


class SlurmExecutor(Executor):
    """Jobs under Slurm."""

    def __init__(self, options: Options, session: Session) -> None:
        super().__init__(options, session)
        self._slurm()  # raises early if there is no Slurm
        self._batch: list[Waiting] = []
        self._submitted: list[tuple[submitit.Job[list[JobOutcome]], list[Future[JobOutcome]]]] = []
        self._monitor = remote.RemoteMonitor(session, self._look)

    @classmethod
    def refusals(cls, options: Options, rows: Mapping[str, Resources]) -> dict[str, str]:
        """As `Executor.refusals`. Raises as `parameters`."""
        return {title: refusal(options, needs) for title, needs in rows.items()}

    def submit(self, job: Job) -> Future[JobOutcome]:
        """As `Executor.submit`, within `batch`; a job is lost when it ends without an answer."""
        future: Future[JobOutcome] = Future()
        self._batch.append((self._monitor.follow(job, self._options.device), future))
        return future

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """As `Executor.batch`: an array for all that need the same, cut at `--array-limit`.

        Raises `BenchError` where Slurm refuses one.
        """
        self._batch = []
        yield
        kinds: dict[Resources, list[Waiting]] = {}
        for job, future in self._batch:
            kinds.setdefault(job.needs, []).append((job, future))
        for needs, waiting in kinds.items():
            bundles = bundled(waiting, lambda pair: pair[0].estimate, self._options.bundle)
            limit = self._options.array_limit or ARRAY_LIMIT
            arrays = [bundles[at : at + limit] for at in range(0, len(bundles), limit)]
            for array in arrays:
                self._send(array, parameters(self._options, needs, len(arrays)))

    def _send(self, array: Sequence[Sequence[Waiting]], values: dict[str, Any]) -> None:
        slurm = self._slurm()
        slurm.update_parameters(**values)
        sent: list[submitit.Job[list[JobOutcome]]] = []
        try:
            with slurm.batch():
                for bundle in array:
                    work = Supervision()  # type: ignore[no-untyped-call]  # its base is submitit's
                    jobs = [job for job, _ in bundle]
                    sent.append(
                        slurm.submit(work, jobs, self._monitor.folder, self._options.threads)
                    )
        except (subprocess.CalledProcessError, OSError, RuntimeError) as error:
            raise BenchError(f"sbatch refused the jobs: {error}") from error
        for handle, bundle in zip(sent, array, strict=True):
            self._submitted.append((handle, [future for _, future in bundle]))

    def _slurm(self) -> submitit.SlurmExecutor:
        """A new one for each array: parameters stay with it."""
        folder = self._session.results.absolute() / "logs" / "slurm"
        try:
            return submitit.SlurmExecutor(folder, max_num_timeout=TIMEOUTS)
        except RuntimeError:
            raise UsageError(
                "--executor slurm: 'srun' is not on the PATH; run this on a login node of a Slurm "
                "cluster"
            ) from None

    def close(self) -> None:
        """As `Executor.close`."""
        self._monitor.close()

    def _look(self) -> None:
        """Resolve the futures of jobs that have ended: Slurm itself tells nobody.

        submitit looks for a job's result; it asks `sacct` for its state ever more rarely.
        """
        for entry in list(self._submitted):
            handle, futures = entry
            try:
                outcomes = self._outcomes(handle, len(futures))
            except Exception as error:  # nobody else sees errors of this thread
                for future in futures:
                    future.set_exception(error)
            else:
                if outcomes is None:
                    continue
                for future, outcome in zip(futures, outcomes, strict=True):
                    future.set_result(outcome)
            self._submitted.remove(entry)

    def _outcomes(
        self, handle: submitit.Job[list[JobOutcome]], count: int
    ) -> list[JobOutcome] | None:
        """The outcomes of a job that has ended or is not to start; None while it goes on."""
        level = self._session.level
        # Jobs that have begun hear of the wish to stop, and end after their epoch.
        unwanted = level >= NOW or (level > 0 and handle.state == "PENDING")
        if unwanted:
            handle.cancel(check=False)
        elif not handle.done():
            return None
        if level and not handle.paths.result_pickle.exists():
            return [JobOutcome(interrupted=True) for _ in range(count)]
        try:
            return handle.result()
        except UncompletedJobError:  # a node that failed, a job that was cancelled or killed
            raise BenchError(
                f"Slurm job {handle.job_id} ended without an answer (state {handle.state}); see "
                f"{handle.paths.stderr}"
            ) from None


def bundled(
    waiting: Sequence[T], seconds: Callable[[T], float | None], most: float | None
) -> list[list[T]]:
    """Neighbours whose seconds together are at most `most`; what is not known stays alone.

    >>> bundled([5, 4, 3, 9], float, 8), bundled([5, 4], float, None)
    ([[5], [4, 3], [9]], [[5], [4]])
    """
    bundles: list[list[T]] = []
    room = 0.0
    for one in waiting:
        known = None if most is None else seconds(one)
        if known is not None and bundles and known <= room:
            bundles[-1].append(one)
            room -= known
            continue
        bundles.append([one])
        room = 0.0 if most is None or known is None else most - known
    return bundles


def parameters(options: Options, needs: Resources | None = None, arrays: int = 1) -> dict[str, Any]:
    """submitit's parameters of `--slurm KEY=VALUE`, of what a row needs, and of `--jobs`.

    Keys are sbatch's (partition, account, qos, constraint, gres, mem, ...), with `gpus` and `cpus`
    for those of the one node; a row's `slurm`, `cpus` and `device: cpu` come before them. `--jobs`
    is the limit of all `arrays` together. Raises `UsageError` for a key that sbatch does not have.
    """
    known = {*submitit.SlurmExecutor._valid_parameters(), *RENAMED} - {"array_parallelism"}
    values: dict[str, Any] = {"time": DEFAULT_MINUTES, "job_name": "iqa-bench"}
    for text in [*(options.slurm or ()), *(needs.slurm if needs else ())]:
        key, _, value = text.partition("=")
        if not value:
            raise UsageError(f"--slurm {text}: expected key=value")
        if key not in known:
            raise unknown("key", key, known, "--slurm")
        plain = int(value) if value.isdecimal() else value
        values[RENAMED.get(key, key)] = minutes(value) if key == "time" else plain
    if needs is not None and needs.cpus:
        values["cpus_per_task"] = needs.cpus
    if needs is not None and needs.device == "cpu":
        values = {key: value for key, value in values.items() if key not in GPU_KEYS}
    if options.jobs:
        values["array_parallelism"] = max(1, options.jobs // arrays)
    return values


def refusal(options: Options, needs: Resources) -> str:
    """Why no job can give a row what it needs; '' where one can. Raises as `parameters`.

    Slurm knows no memory of GPUs, so that a row with `vram` has to name GPUs that have it.
    """
    values = parameters(options, needs)
    if not needs.gpu or options.device == "cpu":
        return ""
    if needs.device == "cuda" and not any(key in values for key in GPU_KEYS):
        return "needs a GPU (device: cuda), and its jobs ask for none: --slurm gpus=1"
    # As in gpus=a100:1: a number alone names no kind.
    counted = (str(values.get(key, 0)) for key in GPU_KEYS)
    named = any(key in values for key in KIND_KEYS) or not all(one.isdigit() for one in counted)
    if needs.vram is not None and not named:
        return (
            f"needs {needs.vram:g} GiB of GPU memory, of which Slurm knows nothing: name GPUs that "
            "have it, by needs: {slurm: [constraint=NAME]} of the row or --slurm constraint=NAME"
        )
    return ""


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
