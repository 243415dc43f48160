"""This machine: a thread for each running job supervises its worker process."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from bench.model.jobs import Job
from bench.model.resources import Resources
from bench.runs.dispatch import Executor, Session
from bench.runs.dispatch.supervise import JobOutcome, Supervisor
from bench.runs.slots import Machine, Place
from bench.util.environment import resolve_device

if TYPE_CHECKING:
    from bench.cli.options import Options

MOST = 4096
"""Largest number of threads; there is one for each running job."""


class LocalExecutor(Executor):
    """Jobs on the places of this machine, in order among those on GPUs and among the others."""

    def __init__(self, options: Options, session: Session, machine: Machine | None = None) -> None:
        super().__init__(options, session)
        self._machine = machine or _machine(options)
        self._pool = ThreadPoolExecutor(MOST)
        self._lock = threading.Lock()
        self._waiting: list[tuple[Job, Future[JobOutcome]]] = []

    @classmethod
    def refusals(cls, options: Options, rows: Mapping[str, Resources]) -> dict[str, str]:
        """As `Executor.refusals`."""
        machine = _machine(options)
        return {title: machine.refusal(needs) for title, needs in rows.items()}

    def submit(self, job: Job) -> Future[JobOutcome]:
        """As `Executor.submit`; supervisors in this process are never lost."""
        future: Future[JobOutcome] = Future()
        with self._lock:
            self._waiting.append((job, future))
        self._start()
        return future

    def close(self) -> None:
        """As `Executor.close`."""
        self._pool.shutdown()

    def _start(self) -> None:
        """Start waiting jobs on the free places.

        The first on GPUs, and the first of the others, is never overtaken by its own kind: small
        jobs would keep one that needs a whole GPU waiting for ever.
        """
        with self._lock:
            full: set[bool] = set()
            for job, future in list(self._waiting):
                kind = self._machine.on_gpu(job.needs)
                place = None if kind in full else self._machine.take(job.needs)
                if place is None:
                    full.add(kind)
                    continue
                self._waiting.remove((job, future))
                self._pool.submit(self._supervise, job, future, place)

    def _supervise(self, job: Job, future: Future[JobOutcome], place: Place) -> None:
        environment = {**job.environment, **place.environment}
        job = job.model_copy(update={"device": place.device, "environment": environment})
        try:
            outcome = Supervisor(job, self._session.listen, lambda: self._session.level).run()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(outcome)
        finally:
            with self._lock:
                self._machine.give_back(place)
            self._start()


def _machine(options: Options) -> Machine:
    return Machine.here(resolve_device(options.device), options.jobs, options.threads)
