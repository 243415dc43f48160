"""Many jobs on this machine's slots. A worker that dies costs the run it was at, nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType

from bench.atomic import write_text
from bench.environment import cores
from bench.jobs import Event, Job, Work
from bench.records import Record
from bench.store import Store, slug
from bench.worker import INTERRUPTED

LOG_LINES = 40  # of a dead worker's log, kept in the record of the run it was at


@dataclass(frozen=True)
class Slot:
    """A share of the machine: one worker process at a time."""

    name: str
    device: str
    environment: dict[str, str]


@dataclass
class Outcome:
    """What became of a job."""

    job: Job
    interrupted: bool = False
    errors: list[str] = field(default_factory=list)
    """Failures of pre-trainings, one line each."""


Listen = Callable[[Job, Event], None]


class Dispatcher:
    """Runs jobs, each in a process of its own, on a fixed set of slots."""

    def __init__(self, store: Store, slots: Sequence[Slot], listen: Listen) -> None:
        self.store = store
        self.listen = listen
        self.stopping = threading.Event()
        self._slots = deque(slots)
        self._count = len(slots)
        self._alive: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Run all jobs; returns when every one has ended, whatever its end."""
        from joblib import Parallel, delayed

        if not jobs:
            return []
        # Threads only wait here: each task is a subprocess, so a crash is an ordinary return.
        parallel = Parallel(n_jobs=self._count, backend="threading", batch_size=1)
        return list(parallel(delayed(self._run_job)(job) for job in jobs))

    def stop(self) -> None:
        """Ask all workers to end after their epoch; the second call ends them at once."""
        again = self.stopping.is_set()
        self.stopping.set()
        with self._lock:
            alive = list(self._alive)
        for process in alive:
            if again:
                process.kill()
            else:
                process.send_signal(signal.SIGTERM)

    def _run_job(self, job: Job) -> Outcome:
        outcome = Outcome(job)
        if self.stopping.is_set():
            outcome.interrupted = True
            return outcome
        with self._lock:
            slot = self._slots.popleft()
        try:
            self._until_done(job.model_copy(update={"device": slot.device}), slot, outcome)
        finally:
            with self._lock:
                self._slots.append(slot)
        return outcome

    def _until_done(self, job: Job, slot: Slot, outcome: Outcome) -> None:
        """Run the job; when its worker dies, record the run it was at and go on with the rest."""
        left = list(job.runs)
        while True:
            attempt = _Attempt(job.model_copy(update={"runs": left}), slot, self)
            code = attempt.run()
            left = [work for work in left if work.spec.run_id not in attempt.ended]
            outcome.errors += attempt.errors
            if code == INTERRUPTED or (self.stopping.is_set() and code != 0):
                outcome.interrupted = True
                return
            if code == 0 or job.pretraining is not None:
                if code and not attempt.errors:
                    outcome.errors.append(f"{job.title}: {attempt.obituary(code)}")
                return
            lost = [work for work in left if work.spec.run_id == attempt.current] or left
            for work in lost:
                self._bury(job, work, attempt.obituary(code), attempt.tail())
            left = [work for work in left if work not in lost]
            if not left:
                return

    def _bury(self, job: Job, work: Work, reason: str, log: str) -> None:
        spec = work.spec
        record = Record(run_id=spec.run_id, status="failed", spec=spec, error=reason, traceback=log)
        self.store.write(record)
        self.listen(job, Event(kind="failed", run=spec.run_id, error=reason))

    def register(self, process: subprocess.Popen[str]) -> None:
        """Make a worker known to `stop`."""
        with self._lock:
            self._alive.add(process)
        if self.stopping.is_set():
            process.send_signal(signal.SIGTERM)

    def forget(self, process: subprocess.Popen[str]) -> None:
        """A worker has ended."""
        with self._lock:
            self._alive.discard(process)


class _Attempt:
    """One worker process working on a job."""

    def __init__(self, job: Job, slot: Slot, dispatcher: Dispatcher) -> None:
        self.job = job
        self.slot = slot
        self.dispatcher = dispatcher
        self.ended: set[str] = set()
        self.errors: list[str] = []
        self.current = ""
        logs = dispatcher.store.root / "logs"
        self.log = logs / f"{slug(job.title)}-{job.job_id}.log"

    def run(self) -> int:
        """Start the worker, pass on its events, and return its exit code."""
        path = self.dispatcher.store.root / "jobs" / f"{self.job.job_id}.json"
        write_text(path, self.job.model_dump_json(indent=1))
        self.log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "bench", "exec", str(path)]
        with self.log.open("a", encoding="utf-8") as log:
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **self.slot.environment},
                # Ctrl-C reaches the parent alone, which passes it on in order.
                start_new_session=True,
            )
            self.dispatcher.register(process)
            try:
                self._listen(process)
                return process.wait()
            finally:
                self.dispatcher.forget(process)
                path.unlink(missing_ok=True)

    def obituary(self, code: int) -> str:
        """Why the worker ended, in a line."""
        if code < 0:
            name = signal.Signals(-code).name
            hint = " (out of memory?)" if name == "SIGKILL" else ""
            return f"the worker process was killed by {name}{hint}"
        return f"the worker process ended with exit code {code}"

    def tail(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-LOG_LINES:])

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            try:
                event = Event.model_validate_json(line)
            except ValueError:  # a dying process may leave half a line
                continue
            if event.kind == "start":
                self.current = event.run
            elif event.kind in ("done", "failed", "skipped"):
                self.ended.add(event.run)
                self.current = ""
            if event.kind == "failed" and self.job.pretraining is not None:
                self.errors.append(f"{self.job.title}: {event.error}")
            self.dispatcher.listen(self.job, event)


def slots(device: str, jobs: int | None = None) -> list[Slot]:
    """The slots of this machine: one a GPU by default; on CPU they share the cores.

    `device` is resolved ('cpu', 'cuda' for all GPUs, 'cuda:N' for one). `jobs` is the number of
    workers at once.
    """
    if device == "cpu":
        available = cores()
        # Small steps gain little from many threads, so that several workers use cores better.
        count = jobs or max(1, min(available, 2 + available // 8))
        threads = str(max(1, available // count))
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        environment = {"CUDA_VISIBLE_DEVICES": "", **dict.fromkeys(names, threads)}
        return [Slot(f"cpu{index}", "cpu", environment) for index in range(count)]
    import torch

    gpus = [device] if ":" in device else [f"cuda:{n}" for n in range(torch.cuda.device_count())]
    count = jobs or len(gpus)
    threads = str(max(1, cores() // count))
    return [
        Slot(name, "cuda", {"CUDA_VISIBLE_DEVICES": _visible(name), "OMP_NUM_THREADS": threads})
        for name in (gpus[index % len(gpus)] for index in range(count))
    ]


def _visible(gpu: str) -> str:
    """The GPU's name for a child, through whatever mask this process itself is under."""
    index = int(gpu.partition(":")[2])
    mask = os.environ.get("CUDA_VISIBLE_DEVICES")
    return mask.split(",")[index].strip() if mask else str(index)


class Interrupt:
    """While active, Ctrl-C and SIGTERM stop a dispatcher in order; twice at once."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._previous = {
                number: signal.signal(number, self._handle)
                for number in (signal.SIGINT, signal.SIGTERM)
            }
        else:
            self._previous = {}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.dispatcher.stop()
