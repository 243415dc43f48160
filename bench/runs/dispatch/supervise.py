"""One job to its end on this machine, whatever happens to the process that works on it.

What runs here, in a thread of `bench run` or on a cluster's node, starts `bench exec` in a process
of its own, reads its events and turns its end into an ordinary `Outcome`. A process that dies is
replaced: the run it was at is tried once more, and recorded as failed when that kills it again.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.model.jobs import Event, Job, RunJob
from bench.model.records import Record
from bench.runs.dispatch.worker import ATTENDED, INTERRUPTED
from bench.store import Store, slug
from bench.store.claims import Claims
from bench.util.atomic import write_text, writing
from bench.util.durations import readable
from bench.util.errors import StoreError

WORKER = (sys.executable, "-m", "bench", "exec", ATTENDED)
LOG_LINES = 40  # of a dead worker's log, kept in the record of the run it was at
TICK = 0.2
"""Seconds between two looks at what the user wants and at the clock."""
PATIENCE = 25
"""Looks at a dead worker's pipe before giving up on its end."""
START_UP = 120.0
"""Seconds that a worker has to start its first run, however short the time limit."""
LAST_WORDS = 2.0
"""Seconds that a worker over its time has to write down where it is."""

Listen = Callable[[Job, Event], None]


@dataclass
class Outcome:
    """What became of a job."""

    group: str
    interrupted: bool = False
    lost: bool = False
    """What supervised it vanished: nothing is known about the runs without a record."""
    errors: list[str] = field(default_factory=list)
    """What went wrong beside failed runs, one line each."""
    elsewhere: list[str] = field(default_factory=list)
    """Runs that another process was computing."""
    fatal: str = ""
    """Why there can be no result at all (a full disk), where that is so."""


class Supervisor:
    """Attends one job. `level` says what the user wants: 0 go on, 1 end after the epoch, 2 now."""

    def __init__(
        self,
        job: Job,
        environment: Mapping[str, str],
        listen: Listen,
        level: Callable[[], int] = lambda: 0,
    ) -> None:
        self.job = job
        self.environment = environment
        self.listen = listen
        self.level = level
        self.outcome = Outcome(job.group)
        self._store = Store(job.results)
        self._deaths: Counter[str] = Counter()

    def run(self) -> Outcome:
        """Work until every run has ended, one way or another, or the user stops it.

        That results cannot be written is no run's failure: it ends the work as `Outcome.fatal`.
        What else this machine refuses (a process, a temporary file) is an error of the job alone,
        whose other runs stay to do.
        """
        try:
            self._work(self.job)
        except StoreError as error:
            self.outcome.fatal = str(error)
        except OSError as error:
            self.outcome.errors.append(f"{self.job.title}: {error}")
        return self.outcome

    def _work(self, job: Job) -> None:
        while True:
            if self.level():
                self.outcome.interrupted = True
                break
            attempt = _Attempt(job, self)
            code = attempt.run()
            job = job.less(attempt.ended)
            self.outcome.elsewhere += attempt.elsewhere
            self.outcome.errors += attempt.errors
            if attempt.fatal:
                raise StoreError(attempt.fatal)
            if code == INTERRUPTED or (self.level() and code != 0):
                self.outcome.interrupted = True
                break
            if code == 0:
                break
            remaining = self._after_death(job, attempt, code)
            if remaining is None:
                break
            job = remaining

    def _after_death(self, job: Job, attempt: _Attempt, code: int) -> Job | None:
        """What is left to do after a worker died; None for nothing."""
        reason = attempt.obituary(code)
        self._deaths[attempt.current] += 1
        # Whatever kills a process from outside may not do so again; an error of its own would.
        again = code < 0 and not attempt.overtime and self._deaths[attempt.current] == 1
        if again:
            event = Event(kind="note", run=attempt.current, title=f"{reason}; trying once more")
            self.listen(job, event)
            return _last(job, attempt.current)
        if job.pretraining is not None:
            if not attempt.errors:
                self.outcome.errors.append(f"{job.title}: {reason}")
            return None
        lost = [work for work in job.runs if work.spec.run_id == attempt.current] or job.runs
        for work in lost:
            self._bury(job, work, reason, attempt.tail())
        left = job.less(work.spec.run_id for work in lost)
        return left if left.runs else None

    def _bury(self, job: Job, work: RunJob, reason: str, log: str) -> None:
        spec = work.spec
        record = Record(run_id=spec.run_id, status="failed", spec=spec, error=reason, traceback=log)
        self._store.write(record)
        self.listen(job, Event(kind="failed", run=spec.run_id, error=reason))


def _last(job: Job, run_id: str) -> Job:
    """The job with one of its runs at the end: the others are not to wait for it."""
    runs = sorted(job.runs, key=lambda work: work.spec.run_id == run_id)
    return job.model_copy(update={"runs": runs})


class _Attempt:
    """One worker process working on a job."""

    def __init__(self, job: Job, supervisor: Supervisor) -> None:
        self.job = job
        self.ended: set[str] = set()
        self.elsewhere: list[str] = []
        self.errors: list[str] = []
        self.current = ""
        self.fatal = ""
        self.overtime = False
        self._supervisor = supervisor
        self._told = 0
        self._since = time.monotonic()
        self._log = job.results / "logs" / f"{slug(job.title)}-{job.group}.log"

    def run(self) -> int:
        """Start the worker, pass on its events, and return its exit code (negative: a signal)."""
        with tempfile.TemporaryDirectory(prefix="iqa-bench-") as folder:
            path = Path(folder) / "job.json"
            write_text(path, self.job.model_dump_json(indent=1))
            with writing(self._log):
                self._log.parent.mkdir(parents=True, exist_ok=True)
                log = self._log.open("a", encoding="utf-8")
            with log:
                process = subprocess.Popen(
                    [*WORKER, str(path)],
                    stdin=subprocess.PIPE,  # its end of file tells the worker that we are gone
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    env={**os.environ, **self._supervisor.environment},
                    # Ctrl-C reaches the parent alone, which passes it on in order.
                    start_new_session=True,
                )
            try:
                self._attend(process)
                return process.wait()
            finally:
                self._end(process)

    def obituary(self, code: int) -> str:
        """Why the worker ended, in a line."""
        if self.overtime:
            limit = readable(self.job.time_limit or 0)
            return f"no end within the time limit of {limit}: the worker process was killed"
        if code < 0:
            name = signal.Signals(-code).name
            hint = " (out of memory?)" if name == "SIGKILL" else ""
            return f"the worker process was killed by {name}{hint}"
        return f"the worker process ended with exit code {code}"

    def tail(self) -> str:
        """The end of its log."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-LOG_LINES:])

    def _attend(self, process: subprocess.Popen[str]) -> None:
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=_pump, args=(process, lines), daemon=True).start()
        silent = 0
        while silent < PATIENCE:
            try:
                line = lines.get(timeout=TICK)
            except queue.Empty:
                line = ""
            if line is None:
                return
            if line:
                self._take(line)
            self._obey(process)
            self._watch_the_clock(process)
            if not line and process.poll() is not None:
                # A child of the worker may outlive it and keep the pipe open.
                _signal_group(process, signal.SIGKILL)
                silent += 1

    def _take(self, line: str) -> None:
        try:
            event = Event.model_validate_json(line)
        except ValueError:  # a dying process may leave half a line
            return
        if event.kind == "fatal":
            self.fatal = event.error
            return
        if event.kind == "start":
            self.current = event.run
        elif event.kind in ("done", "failed", "skipped", "elsewhere"):
            self.ended.add(event.run)
            self.current = ""
        if event.kind == "elsewhere":
            self.elsewhere.append(event.run)
        if event.kind == "failed" and self.job.pretraining is not None:
            self.errors.append(f"{self.job.title}: {event.error}")
        if event.kind != "epoch" or self.job.pretraining is not None:
            self._since = time.monotonic()
        self._supervisor.listen(self.job, event)

    def _obey(self, process: subprocess.Popen[str]) -> None:
        level = self._supervisor.level()
        if level > self._told:
            if level > 1:
                _signal_group(process, signal.SIGKILL)
            else:
                process.send_signal(signal.SIGTERM)
            self._told = level

    def _watch_the_clock(self, process: subprocess.Popen[str]) -> None:
        limit = self.job.time_limit
        if limit is None or process.poll() is not None:
            return
        if time.monotonic() - self._since < (limit if self.current else max(limit, START_UP)):
            return
        self.overtime = True
        # The worker answers by writing to its log where each of its threads is.
        process.send_signal(signal.SIGUSR1)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LAST_WORDS)
        _signal_group(process, signal.SIGKILL)

    def _end(self, process: subprocess.Popen[str]) -> None:
        """No process and no claim stays behind, however this ended."""
        if process.poll() is None:
            _signal_group(process, signal.SIGKILL)
            process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        Claims(self.job.results).forget(process.pid)


def _pump(process: subprocess.Popen[str], lines: queue.SimpleQueue[str | None]) -> None:
    assert process.stdout is not None
    # Closing the pipe at the very end may meet a read.
    with contextlib.suppress(ValueError, OSError):
        for line in process.stdout:
            lines.put(line)
    lines.put(None)


def _signal_group(process: subprocess.Popen[str], number: int) -> None:
    """Signal the worker and all its children: it leads a process group of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
