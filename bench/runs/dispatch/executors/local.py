"""This machine: a thread for each slot supervises the worker process of one job at a time."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING

from bench.model.jobs import Job
from bench.runs.dispatch import Executor, Session
from bench.runs.dispatch.slots import Slot, slots
from bench.runs.dispatch.supervise import JobOutcome, Supervisor
from bench.util.environment import resolve_device

if TYPE_CHECKING:
    from bench.cli.options import Options


class LocalExecutor(Executor):
    """Jobs on a fixed set of slots."""

    def __init__(self, options: Options, session: Session) -> None:
        found = slots(resolve_device(options.device), options.jobs, options.threads)
        self._session = session
        self._pool = ThreadPoolExecutor(len(found))
        self._free: SimpleQueue[Slot] = SimpleQueue()
        for slot in found:
            self._free.put(slot)

    def submit(self, job: Job) -> Future[JobOutcome]:
        """As `Executor.submit`; supervisors in this process are never lost."""
        return self._pool.submit(self._supervise, job)

    def close(self) -> None:
        """As `Executor.close`."""
        self._pool.shutdown()

    def _supervise(self, job: Job) -> JobOutcome:
        slot = self._free.get()  # there is one: the pool has as many threads as there are slots
        try:
            environment = {**job.environment, **slot.environment}
            job = job.model_copy(update={"device": slot.device, "environment": environment})
            return Supervisor(job, self._session.listen, lambda: self._session.level).run()
        finally:
            self._free.put(slot)
