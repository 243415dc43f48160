"""A Dask cluster: one task for each job. Dask restarts the tasks of a Dask worker that dies."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import dask
import distributed

from bench.model.jobs import Job
from bench.model.resources import Resources
from bench.runs.dispatch import Executor, Session
from bench.runs.dispatch.executors import remote
from bench.runs.dispatch.supervise import NOW, JobOutcome
from bench.util.errors import UsageError

if TYPE_CHECKING:
    from bench.cli.options import Options

VRAM = "VRAM"
"""The resource of Dask workers that a row's `vram` takes, in GiB."""
CONNECT = 15
"""Seconds to wait for a scheduler to answer, or for its first worker."""
MANY = 1000
"""Jobs submitted at once without `--jobs`: more than a cluster runs at once."""


class DaskExecutor(Executor):
    """Jobs on a Dask cluster."""

    def __init__(self, options: Options, session: Session) -> None:
        super().__init__(options, session)
        self._client = connect(options.scheduler)
        # One thread for each submitted job, which only waits for Dask's answer.
        self._pool = ThreadPoolExecutor(options.jobs or MANY)
        self._running: set[Future[JobOutcome]] = set()
        self._monitor = remote.RemoteMonitor(session, self._cancel)

    @classmethod
    def refusals(cls, options: Options, rows: Mapping[str, Resources]) -> dict[str, str]:
        """As `Executor.refusals`, of the workers that are there now. Raises as `connect`."""
        asked = {title: needs.vram for title, needs in rows.items() if needs.gpu and needs.vram}
        if not asked:
            return {}
        with connect(options.scheduler) as client:
            workers = client.scheduler_info()["workers"].values()
            most = max((worker["resources"].get(VRAM, 0.0) for worker in workers), default=0.0)
        largest = f"the largest Dask worker declares {most:g}"
        has = largest if most else "no Dask worker declares any"
        return {
            title: (
                f"needs {vram:g} GiB of GPU memory (vram), and {has}: start workers on GPUs by "
                f"dask worker ADDRESS --resources '{VRAM}=GIB' with what their GPU has, or leave "
                "vram out of the row's needs"
            )
            for title, vram in asked.items()
            if vram > most
        }

    def submit(self, job: Job) -> Future[JobOutcome]:
        """As `Executor.submit`; a job is lost when Dask gives its task up (`KilledWorker`)."""
        return self._pool.submit(self._supervise, job)

    def close(self) -> None:
        """As `Executor.close`."""
        self._monitor.close()
        self._pool.shutdown()
        self._client.close()

    def _supervise(self, job: Job) -> JobOutcome:
        if self._session.level:
            return JobOutcome(interrupted=True)
        job = self._monitor.follow(job, self._options.device)
        # Dask starts the task on a worker with this much GPU memory that no other task has taken.
        on_gpu = job.needs.gpu and self._options.device != "cpu"
        wanted = {"resources": {VRAM: job.needs.vram}} if on_gpu and job.needs.vram else {}
        dask = self._client.get_executor(pure=False, **wanted)
        task = dask.submit(supervise, job, self._monitor.folder, self._options.threads)
        self._running.add(task)
        try:
            outcome: JobOutcome = task.result()
            return outcome
        finally:
            self._running.discard(task)

    def _cancel(self) -> None:
        """Stop waiting for tasks once the user wants to end now; their supervisors stop by
        themselves."""
        for task in list(self._running) if self._session.level >= NOW else ():
            task.cancel()


def supervise(job: Job, folder: Path, threads: int | None) -> JobOutcome:
    """Supervise a job on a Dask worker, whose threads share its cores."""
    return remote.supervise(job, folder, threads, distributed.get_worker().state.nthreads)


def connect(scheduler: str) -> distributed.Client:
    """A client of the scheduler at an address, or in a scheduler file, or of Dask's own settings.

    Raises `UsageError` if no scheduler with a worker answers.
    """
    address = scheduler or dask.config.get("scheduler-address", None)
    if not address:
        raise UsageError("--executor dask needs --scheduler tcp://HOST:PORT (or a scheduler file)")
    is_file = "://" not in address and Path(address).is_file()
    where = {"scheduler_file" if is_file else "address": address}
    try:
        client = distributed.Client(**where, timeout=CONNECT, set_as_default=False)
        client.wait_for_workers(1, timeout=CONNECT)
    except (OSError, TimeoutError, ValueError) as error:
        raise UsageError(
            f"no Dask scheduler with workers answers at {address}: {error}; "
            "`dask worker ADDRESS` starts a worker"
        ) from None
    return client
