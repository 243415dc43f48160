"""This machine's slots: a thread each, which waits for the worker process of its job."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from bench.model.jobs import Job
from bench.runs.dispatch.executors import Deliver, Desk, Place
from bench.runs.dispatch.slots import slots
from bench.runs.dispatch.supervise import Supervisor
from bench.util.environment import resolve_device


class Local:
    """Jobs on a fixed set of slots."""

    def __init__(self, place: Place, desk: Desk) -> None:
        self.desk = desk
        self._slots = deque(slots(resolve_device(place.device), place.jobs, place.threads))
        self._count = len(self._slots)
        self._lock = threading.Lock()

    def run(self, jobs: Sequence[Job], deliver: Deliver) -> None:
        """As `Executor.run`."""
        from joblib import Parallel, delayed

        # Threads only wait here: each job is a process of its own, so a crash is an ordinary end.
        parallel = Parallel(n_jobs=self._count, backend="threading", batch_size=1)
        parallel(delayed(self._one)(job, deliver) for job in jobs)

    def attend(self, missing: int) -> bool:
        """As `Executor.attend`: supervisors of this process always come back."""
        return True

    def _one(self, job: Job, deliver: Deliver) -> None:
        with self._lock:
            slot = self._slots.popleft()
        try:
            job = job.model_copy(update={"device": slot.device})
            desk = self.desk
            deliver(Supervisor(job, slot.environment, desk.listen, lambda: desk.level).run())
        finally:
            with self._lock:
                self._slots.append(slot)
