"""joblib's own backends: loky's processes on this machine, and a Dask cluster.

Neither survives the death of a process that runs a task (joblib aborts everything under loky, and
waits for ever under Dask once Dask gives a task up), so that a task is only a supervisor: small,
and its end an ordinary return value. Should one be killed all the same, its job counts as lost and
the dispatcher sends it again.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.model.jobs import Job
from bench.runs.dispatch.executors import Deliver, Desk, Place, remote, require
from bench.runs.dispatch.slots import Slot, allotted_cores, thread_limits
from bench.runs.dispatch.slots import slots as slots_of
from bench.runs.dispatch.supervise import Outcome
from bench.util.environment import resolve_device
from bench.util.errors import UsageError

if TYPE_CHECKING:
    from distributed import Client

CONNECT = 15
"""Seconds to wait for a scheduler to answer, or for its first worker."""


class Loky:
    """Processes of this machine, by joblib's backend 'loky'; each takes a free slot for a job."""

    def __init__(self, place: Place, desk: Desk) -> None:
        self.desktop = remote.Desktop(desk)
        self._slots = slots_of(resolve_device(place.device), place.jobs, place.threads)

    def run(self, jobs: Sequence[Job], deliver: Deliver) -> None:
        """As `Executor.run`."""
        from joblib import Parallel

        parallel = Parallel(n_jobs=len(self._slots), backend="loky", **_unordered("all"))
        # In the machine's own temporary folder, where file locks hold.
        with tempfile.TemporaryDirectory(prefix="iqa-bench-slots-") as locks:
            arguments = (self._slots, locks, os.getpid())
            _send(self.desktop, parallel, attend_on_a_slot, jobs, arguments, deliver)

    def attend(self, missing: int) -> bool:
        """As `Executor.attend`."""
        self.desktop.look()
        return True


class Dask:
    """A Dask cluster, by joblib's backend 'dask'."""

    def __init__(self, place: Place, desk: Desk) -> None:
        self.desktop = remote.Desktop(desk)
        self.place = place
        self._client: Client | None = None

    def run(self, jobs: Sequence[Job], deliver: Deliver) -> None:
        """As `Executor.run`."""
        from joblib import Parallel, parallel_config

        jobs = [job.model_copy(update={"device": self.place.device}) for job in jobs]
        with connect(self.place.scheduler) as self._client:
            options = _unordered(self.place.jobs or "all")
            settings = {"client": self._client, "wait_for_workers_timeout": CONNECT}
            with parallel_config("dask", **settings) as config:
                _never_alone(config["backend"])
                try:
                    parallel = Parallel(n_jobs=-1, **options)
                    arguments = (self.place.threads,)
                    _send(self.desktop, parallel, attend_on_dask, jobs, arguments, deliver)
                except TimeoutError:
                    raise UsageError(
                        f"the Dask scheduler {self._client.scheduler.address} has no workers; "
                        "start some (`dask worker ADDRESS`) and run the same command again"
                    ) from None

    def attend(self, missing: int) -> bool:
        """As `Executor.attend`; joblib never hears of a task that Dask has given up."""
        self.desktop.look()
        if self._client is None:
            return True
        given_up = [future for future in self._client.futures.values() if future.status == "error"]
        return len(given_up) < missing


def attend_on_a_slot(
    text: str,
    mailbox: str,
    environment: dict[str, str],
    slots: Sequence[Slot],
    locks: str,
    parent: int,
) -> Outcome:
    """Supervise a job in one of loky's processes, on a slot that no other of them has."""
    from filelock import FileLock, Timeout

    for slot in slots:
        lock = FileLock(Path(locks) / f"{slot.name}.lock")  # a killed process's lock is free
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        with lock:
            job = Job.model_validate_json(text).model_copy(update={"device": slot.device})
            own = {**environment, **slot.environment}
            return remote.attend(job.model_dump_json(), mailbox, own, parent)
    raise RuntimeError("more tasks than slots")


def attend_on_dask(
    text: str, mailbox: str, environment: dict[str, str], threads: int | None
) -> Outcome:
    """Supervise a job on a Dask worker: what runs at once on it shares the cores it has."""
    from distributed import get_worker

    at_once = get_worker().state.nthreads
    limits = thread_limits(threads or max(1, allotted_cores() // at_once))
    return remote.attend(text, mailbox, {**environment, **limits})


def connect(scheduler: str) -> Client:
    """A client of the scheduler at an address, or in a scheduler file, or of Dask's own settings.

    Raises `UsageError` where none answers.
    """
    distributed = require("distributed", "dask")
    import dask

    address = scheduler or dask.config.get("scheduler-address", None)
    if not address:
        raise UsageError("--executor dask needs --scheduler tcp://HOST:PORT (or a scheduler file)")
    where: dict[str, Any] = {"address": address}
    if "://" not in address and Path(address).is_file():
        where = {"scheduler_file": address}
    try:
        return distributed.Client(**where, timeout=CONNECT, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise UsageError(f"no Dask scheduler answers at {address}: {error}") from None


def _send(
    desktop: remote.Desktop,
    parallel: Any,
    task: Callable[..., Outcome],
    jobs: Sequence[Job],
    arguments: tuple[Any, ...],
    deliver: Deliver,
) -> None:
    from joblib import delayed

    desktop.open(jobs)
    common = (str(desktop.folder), remote.settings_for_elsewhere(), *arguments)
    try:
        for outcome in parallel(delayed(task)(job.model_dump_json(), *common) for job in jobs):
            desktop.look(everything=True)
            deliver(outcome)
    except BrokenProcessPool:
        return  # joblib has ended all others, too: the dispatcher sends what is missing again
    finally:
        desktop.close()


def _never_alone(backend: Any) -> None:
    """Keep joblib from running everything in this process where a cluster has one worker so far."""
    count = backend.effective_n_jobs
    backend.effective_n_jobs = lambda n_jobs: max(2, count(n_jobs))


def _unordered(dispatch: int | str) -> dict[str, Any]:
    return {
        "batch_size": 1,
        "pre_dispatch": dispatch,
        "return_as": "generator_unordered",
    }
