"""Supervises one job on this machine, whatever happens to the process that works on it.

A `Supervisor` runs in a thread of `bench run` or on a node of a cluster. It starts `bench exec` in
a process of its own, follows its events, and returns a `JobOutcome`. A worker that dies is
replaced: the run it was at is tried once more, and recorded as failed when that kills a worker
again.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.model.jobs import Event, Job
from bench.model.records import Record, RunSpec
from bench.runs.worker import ATTENDED
from bench.store import Store
from bench.store.claims import Claims
from bench.util.atomic import write_text, writing
from bench.util.durations import readable
from bench.util.errors import INTERRUPTED, OutOfBudgetError, StoreError
from bench.util.filenames import slug

AFTER_EPOCH, NOW = 1, 2
"""How soon the user wants work to end."""
WORKER = (sys.executable, "-m", "bench", "exec", ATTENDED)
LOG_LINES = 40  # of a dead worker's log, kept in the record of the run it was at
TICK = 0.2
"""Seconds between two checks of the session's level and of the time limit."""
START_UP = 120.0
"""Seconds that a worker may take to start its first run, however short the time limit."""
LAST_WORDS = 2.0
"""Seconds that a worker over its time limit gets to log where its threads are."""
GRACE = 10.0
"""Seconds to wait for a killed process; a process that hangs in a driver never ends."""

Listen = Callable[[Job, Event], None]


@dataclass
class JobOutcome:
    """How a job ended."""

    interrupted: bool = False
    lost: bool = False
    """Whether its supervisor was lost, so that nothing is known of runs without a record."""
    errors: list[str] = field(default_factory=list)
    """Errors besides failed runs, one line each."""
    elsewhere: list[str] = field(default_factory=list)
    """Runs that another process was computing."""
    fatal: StoreError | OutOfBudgetError | None = None
    """Why nothing more can be computed: a full disk or a spent budget."""


class Supervisor:
    """Supervises one job; `level()` gives `Session.level`."""

    def __init__(self, job: Job, listen: Listen, level: Callable[[], int] = lambda: 0) -> None:
        self._job = job  # what is left of it
        self._listen = listen
        self._level = level
        self._outcome = JobOutcome()
        self._log = job.results / "logs" / f"{slug(job.title)}-{job.group}.log"
        self._deaths: Counter[str] = Counter()
        self._current = ""  # the worker's current run_id, or the key of its pre-training
        self._since = 0.0  # when that began
        self._overtime = False

    def run(self) -> JobOutcome:
        """Returns when every run has ended, or the user has stopped the work.

        Where results cannot be written no run fails: the work ends with `JobOutcome.fatal`. Any
        other error of the system (no new process, no temporary file) is an error of this job
        alone, and its remaining runs stay to do.
        """
        try:
            while self._attempt():
                pass
        except (StoreError, OutOfBudgetError) as error:
            self._outcome.fatal = error
        except OSError as error:
            self._outcome.errors.append(f"{self._job.title}: {error}")
        self._listen(self._job, Event(kind="ended"))
        return self._outcome

    def _attempt(self) -> bool:
        """Have a worker compute the remaining runs. Returns whether another one has to continue."""
        code = INTERRUPTED if self._level() else self._work()
        if code == INTERRUPTED or (self._level() and code != 0):
            self._outcome.interrupted = True
            return False
        return code != 0 and self._replace(code)

    def _replace(self, code: int) -> bool:
        """Retry or fail runs after a worker died. Returns whether another one has to continue."""
        reason, current = self._reason(code), self._current
        self._deaths[current] += 1
        # A signal may not hit the next worker; an error exit or the time limit would recur.
        if code < 0 and not self._overtime and self._deaths[current] == 1:
            self._job = self._job.with_last(current)
            note = Event(kind="note", run=current, title=f"{reason}; trying once more")
            self._listen(self._job, note)
            return True
        if self._job.pretraining is not None:
            # Usually the worker has reported the error itself.
            self._outcome.errors = self._outcome.errors or [f"{self._job.title}: {reason}"]
            return False
        # Without a current run all runs fail: the next worker would die before its first one, too.
        at_work = [work for work in self._job.runs if work.spec.run_id == current]
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        for work in at_work or self._job.runs:
            self._fail(work.spec, reason, "\n".join(lines[-LOG_LINES:]))
        return bool(self._job.runs)

    def _fail(self, spec: RunSpec, reason: str, log: str) -> None:
        run_id = spec.run_id
        record = Record(run_id=run_id, status="failed", spec=spec, error=reason, traceback=log)
        Store(self._job.results).write(record)
        self._job = self._job.without(run_id)
        self._listen(self._job, Event(kind="failed", run=run_id, error=reason))

    def _reason(self, code: int) -> str:
        """Why the worker ended, in a line."""
        if self._overtime:
            limit = readable(self._job.time_limit or 0)
            return f"no end within the time limit of {limit}: the worker process was killed"
        if code < 0:
            name = signal.Signals(-code).name
            hint = " (out of memory?)" if name == "SIGKILL" else ""
            return f"the worker process was killed by {name}{hint}"
        return f"the worker process ended with exit code {code}"

    def _work(self) -> int:
        """Start a worker and follow it. Returns its exit code (negative: a signal)."""
        self._current, self._overtime, self._since = "", False, time.monotonic()
        with writing(self._log):
            self._log.parent.mkdir(parents=True, exist_ok=True)
            log = self._log.open("a", encoding="utf-8")
        with log, tempfile.TemporaryDirectory(prefix="iqa-bench-") as folder:
            path = Path(folder) / "job.json"
            write_text(path, self._job.model_dump_json(indent=1))
            process = subprocess.Popen(
                [*WORKER, str(path)],
                stdin=subprocess.PIPE,  # end of file tells the worker that this process is gone
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **self._job.environment},
                # Ctrl-C only reaches the parent, which then stops its workers in order.
                start_new_session=True,
            )
            try:
                self._follow(process)
            finally:
                self._clean_up(process)
        return INTERRUPTED if process.returncode is None else process.returncode

    def _follow(self, process: subprocess.Popen[bytes]) -> None:
        """Handle the worker's events until it ends, or the user wants to end now."""
        told = 0
        for line in _lines(process):
            if line:
                self._take(line)
            self._watch_the_clock(process)
            level = self._level()
            if level >= NOW:
                return
            if level > told:
                told = level
                process.send_signal(signal.SIGTERM)
        process.wait()

    def _take(self, line: bytes) -> None:
        try:
            event = Event.model_validate_json(line)
        except ValueError:  # a dying process may leave half a line
            return
        if event.kind == "fatal":
            spent = event.code == OutOfBudgetError.exit_code
            raise (OutOfBudgetError if spent else StoreError)(event.error)
        if event.kind == "start":
            self._current = event.run
        elif event.kind in ("done", "failed", "skipped", "elsewhere"):
            self._job, self._current = self._job.without(event.run), ""
        if event.kind == "elsewhere":
            self._outcome.elsewhere.append(event.run)
        if event.kind == "failed" and self._job.pretraining is not None:
            self._outcome.errors.append(f"{self._job.title}: {event.error}")
        # The time limit covers all epochs of a run, but each single epoch of a pre-training.
        if event.kind != "epoch" or self._job.pretraining is not None:
            self._since = time.monotonic()
        self._listen(self._job, event)

    def _watch_the_clock(self, process: subprocess.Popen[bytes]) -> None:
        limit = self._job.time_limit
        if limit is None or process.poll() is not None:
            return
        if time.monotonic() - self._since < (limit if self._current else max(limit, START_UP)):
            return
        self._overtime = True
        # The worker answers by logging where each of its threads is.
        process.send_signal(signal.SIGUSR1)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LAST_WORDS)
        _kill_group(process)

    def _clean_up(self, process: subprocess.Popen[bytes]) -> None:
        """Leave no process and no claim behind."""
        if process.poll() is None:
            _kill_group(process)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        Claims(self._job.results).forget(process.pid)


def _lines(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """The lines that a worker prints, and an empty one after every `TICK` seconds of silence.

    Ends when the worker does. Its children may live on and hold the pipe: they are killed.
    """
    assert process.stdout is not None
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            ended = process.poll() is not None  # before reading, so that no later line is missed
            if selector.select(0 if ended else TICK):
                data = os.read(process.stdout.fileno(), 65536)
                if not data:
                    return
                *lines, rest = (rest + data).split(b"\n")
                yield from lines
            elif ended:
                _kill_group(process)
                return
            else:
                yield b""


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the worker and all its children: it leads a process group of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
