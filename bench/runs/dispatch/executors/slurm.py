"""Slurm, through submitit: one array of jobs, each of which supervises one group of runs.

Slurm decides when and where. The command that submitted follows the work through the results folder
and may be killed: jobs that are in the queue go on, and the same command later finds their records.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.model.jobs import Job
from bench.runs.dispatch.executors import Deliver, Desk, Place, remote, require
from bench.runs.dispatch.slots import allotted_cores, thread_limits
from bench.runs.dispatch.supervise import Outcome
from bench.util import durations
from bench.util.errors import BenchError, UsageError, unknown

if TYPE_CHECKING:
    from submitit import SlurmJob
    from submitit.helpers import DelayedSubmission

RENAMED = {"gpus": "gpus_per_node", "cpus": "cpus_per_task"}
DEFAULT_MINUTES = 240
TIMEOUTS = 20
"""How often a group may reach the job's time and be put into the queue again."""
LOOK = 1.0
"""Seconds between two looks for results; Slurm itself is asked ever more rarely."""


class Slurm:
    """Jobs under Slurm."""

    def __init__(self, place: Place, desk: Desk) -> None:
        submitit = require("submitit", "slurm")
        self.desktop = remote.Desktop(desk)
        self.place = place
        folder = desk.results.absolute() / "logs" / "slurm"
        try:
            self._executor = submitit.SlurmExecutor(folder, max_num_timeout=TIMEOUTS)
        except RuntimeError:
            raise UsageError(
                "--executor slurm: 'srun' is not on the PATH; run this on a login node of a Slurm "
                "cluster"
            ) from None
        self._executor.update_parameters(**parameters(place.slurm, place.jobs))

    def run(self, jobs: Sequence[Job], deliver: Deliver) -> None:
        """As `Executor.run`."""
        self.desktop.open(jobs)
        try:
            waiting = self._submit(jobs)
            while waiting:
                for handle in [handle for handle in waiting if handle.done()]:
                    outcome = self._outcome(handle, waiting.pop(handle))
                    self.desktop.look(everything=True)
                    deliver(outcome)
                self._obey(waiting)
                time.sleep(LOOK)
        finally:
            self.desktop.close()

    def attend(self, missing: int) -> bool:
        """As `Executor.attend`."""
        self.desktop.look()
        return True

    def _submit(self, jobs: Sequence[Job]) -> dict[SlurmJob[Outcome], Job]:
        place, mailbox = self.place, str(self.desktop.folder)
        variables = remote.settings_for_elsewhere()
        tasks = [
            Group(
                job.model_copy(update={"device": place.device}).model_dump_json(),
                mailbox,
                variables,
                place.threads,
            )
            for job in jobs
        ]
        try:
            with self._executor.batch():
                handles = [self._executor.submit(task) for task in tasks]
        except (subprocess.CalledProcessError, OSError, RuntimeError) as error:
            raise BenchError(f"sbatch refused the jobs: {error}") from error
        return dict(zip(handles, jobs, strict=True))

    def _outcome(self, handle: SlurmJob[Outcome], job: Job) -> Outcome:
        from submitit.core.utils import UncompletedJobError

        if self.desktop.desk.level and not handle.paths.result_pickle.exists():
            return Outcome(job.group, interrupted=True)
        try:
            return handle.result()
        except UncompletedJobError:  # a node that failed, a job that was cancelled or killed
            reason = (
                f"{job.title}: Slurm job {handle.job_id} ended without an answer "
                f"(state {handle.state}); see {handle.paths.stderr}"
            )
            return Outcome(job.group, lost=True, errors=[reason])

    def _obey(self, waiting: Mapping[SlurmJob[Outcome], Job]) -> None:
        """Jobs that did not start yet need not; others hear of it through the mailbox."""
        level = self.desktop.desk.level
        for handle in waiting if level else ():
            if level > 1 or handle.state == "PENDING":
                handle.cancel(check=False)


@dataclass
class Group:
    """What submitit calls on a node."""

    text: str
    mailbox: str
    variables: dict[str, str]
    threads: int | None

    def __call__(self) -> Outcome:
        """Supervise the job to its end."""
        limits = thread_limits(self.threads or allotted_cores())
        return remote.attend(self.text, self.mailbox, {**self.variables, **limits})

    def checkpoint(self) -> DelayedSubmission:
        """On preemption, or when the job's time is up: the rest goes into the queue again.

        The supervisor ends with this process, its worker with it; what has a record is skipped.
        """
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def parameters(assignments: Sequence[str], at_once: int | None) -> dict[str, Any]:
    """`--slurm KEY=VALUE` texts -> submitit's parameters; `at_once` limits the array.

    Keys are sbatch's (partition, account, qos, constraint, gres, mem, ...), with `gpus` and `cpus`
    for those of the one node. Raises `UsageError` for a key that sbatch does not have.
    """
    submitit = require("submitit", "slurm")
    known = {*submitit.SlurmExecutor._valid_parameters(), *RENAMED} - {"array_parallelism"}
    values: dict[str, Any] = {"time": DEFAULT_MINUTES, "job_name": "iqa-bench"}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not value:
            raise UsageError(f"--slurm {text}: expected key=value")
        if key not in known:
            raise unknown("key", key, known, "--slurm")
        values[RENAMED.get(key, key)] = minutes(value) if key == "time" else _plain(value)
    if at_once:
        values["array_parallelism"] = at_once
    return values


def minutes(text: str) -> int:
    """Minutes of a job's time, as sbatch writes it, or with units.

    >>> minutes("90"), minutes("1:30:00"), minutes("1-12"), minutes("2d"), minutes("30:30")
    (90, 90, 2160, 2880, 31)

    Raises `UsageError` for anything else.
    """
    if text.isdigit():
        return int(text)
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if found is None:
        return max(1, round(durations.seconds(text) / 60))
    days, *parts = found.groups()
    numbers = [int(part) for part in parts if part is not None]
    # Without days two numbers are minutes and seconds; otherwise hours come first.
    if days is None and len(numbers) == 2:
        numbers = [0, *numbers]
    hours, mins, secs = (*numbers, 0, 0)[:3]
    return int(days or 0) * 1440 + hours * 60 + mins + (1 if secs else 0)


def _plain(value: str) -> int | str:
    return int(value) if value.isdigit() else value
