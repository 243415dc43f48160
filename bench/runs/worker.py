"""The worker process: reads a job, executes it, and prints events, one line each."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TextIO

from bench.model.jobs import Event, Job, Pretraining, RunJob
from bench.util import determinism
from bench.util.atomic import refusal
from bench.util.errors import INTERRUPTED, OutOfBudgetError, StoreError, UsageError

if TYPE_CHECKING:
    from bench.runs.execute import RunExecutor
    from bench.store.claims import Claims

ATTENDED = "--attended"
"""Option of `bench exec`: end when standard input ends."""
PRETRAINING_FAILED = 3


def run_job(path: Path, attended: bool = False) -> int:
    """Execute the job in a file. 0: done (runs may have failed, their records say so);
    130: interrupted; 3: a pre-training failed; 4: results cannot be written; 5: a budget is spent.

    SIGINT and SIGTERM end it after the current epoch, the second signal at once. When `attended`,
    the end of standard input ends it at once: whoever started it is gone.
    """
    try:
        job = Job.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"job file '{path}' cannot be read: {error}") from error
    stop = threading.Event()
    _stop_on_signals(stop)
    if attended:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    _leave_traces()
    # Libraries print to standard output, which would break the stream of events.
    events = _take_stdout()

    from bench.runs.execute.fitting import Interrupted
    from bench.runs.isolation import MethodDied

    def emit(event: Event) -> None:
        try:
            print(event.model_dump_json(exclude_defaults=True), file=events, flush=True)
        except OSError:  # the parent is gone, which ends the work but fails no run
            stop.set()
            raise Interrupted from None

    if job.deterministic:
        determinism.enable()
    try:
        return _execute(job, emit, stop)
    except Interrupted:
        return INTERRUPTED
    except MethodDied as death:
        return _die_alike(death.code)
    except (StoreError, OutOfBudgetError) as error:
        # Through the pipe: on a full disk the log cannot be written either.
        emit(Event(kind="fatal", error=str(error), code=error.exit_code))
        return error.exit_code


def _execute(job: Job, emit: Callable[[Event], None], stop: threading.Event) -> int:
    import bench.data.images  # noqa: F401  # before the clock of the first run starts
    from bench.data.data_cache import DataCache
    from bench.runs.execute import RunExecutor
    from bench.store import Store
    from bench.store.claims import Claims
    from bench.util.environment import resolve_device

    store = Store(job.results)
    claims = Claims(store.root, job.group)
    executor = RunExecutor(
        store,
        DataCache(job.data_roots),
        device=resolve_device(job.device),
        batch_size=job.batch_size,
        cuda_graphs=job.cuda_graphs,
        compiled=job.compiled,
        exact=job.exact or job.deterministic,
        deterministic=job.deterministic,
        keep=tuple(job.keep),
        metrics=tuple(job.metrics),
        emit=emit,
        stopping=stop.is_set,
        claims=claims,
    )
    if job.pretraining is not None:
        return _pretrain(job.pretraining, executor, claims)
    with closing(executor):  # the process of the last fit
        for work in job.runs:
            if stop.is_set():
                return INTERRUPTED
            _claimed(work, executor, claims)
    return 0


def _claimed(work: RunJob, executor: RunExecutor, claims: Claims) -> None:
    """Compute a run unless another process is computing it."""
    run_id = work.spec.run_id
    if not claims.take(run_id):
        executor.emit(Event(kind="elsewhere", run=run_id))
        return
    try:
        _run(work, executor)
    finally:
        claims.release(run_id)


def _run(work: RunJob, executor: RunExecutor) -> None:
    """Compute a run unless another process has done so since the job was written."""
    run_id = work.spec.run_id
    executor.store.refresh(work.spec)
    if _settled(work, executor):
        executor.emit(Event(kind="skipped", run=run_id))
        return
    title = f"{work.spec.task.budget} #{work.spec.repeat + 1}"
    executor.emit(Event(kind="start", run=run_id, title=title))
    record = executor.execute(work)
    if record.status == "done":
        executor.emit(Event(kind="done", run=run_id, value=record.value("srcc")))
    else:
        executor.emit(Event(kind="failed", run=run_id, error=record.error or ""))


def _settled(work: RunJob, executor: RunExecutor) -> bool:
    record = executor.store.settled(work.spec)
    if record is None:
        return False
    if record.status == "failed":
        return record.created != work.replaces
    return executor.kept_all(work)


def _pretrain(work: Pretraining, executor: RunExecutor, claims: Claims) -> int:
    from bench.runs.execute.fitting import Interrupted
    from bench.runs.execute.pretraining import pretrain

    store, emit, key = executor.store, executor.emit, work.spec.key
    emit(Event(kind="start", run=key, title="pre-training"))
    try:
        pretrain(work, store, claims, executor.data_cache, executor.device, emit, executor.stopping)
    except (Interrupted, StoreError):
        raise
    except Exception as error:  # reported to the parent, which records it for the runs
        if reason := refusal(error):
            raise StoreError(f"cannot write '{store.root / 'pretrained'}': {reason}") from error
        traceback.print_exc()
        first = (str(error).splitlines() or [""])[0]
        emit(Event(kind="failed", run=key, error=f"{type(error).__name__}: {first}"))
        return PRETRAINING_FAILED
    emit(Event(kind="done", run=key))
    return 0


def _end_with_stdin() -> None:
    """End this process when standard input ends: the process that started it is gone."""
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    # At once, without clean-up: nobody reads what this process would still compute.
    os._exit(INTERRUPTED)


def _leave_traces() -> None:
    """On a crash, and on SIGUSR1 at the time limit, log where every thread is."""
    from bench.runs.isolation import trace_running

    faulthandler.enable()
    if hasattr(faulthandler, "register"):
        signal.signal(signal.SIGUSR1, lambda number, frame: trace_running())
        faulthandler.register(signal.SIGUSR1, chain=True)


def _die_alike(code: int) -> int:
    """End in the same way as the method's process, so that the supervisor treats both alike."""
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL has no handler to take off
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def _stop_on_signals(stop: threading.Event) -> None:
    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(INTERRUPTED)
        stop.set()

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)


def _take_stdout() -> TextIO:
    """Events own standard output; whatever a library prints goes to standard error."""
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    sys.stdout.flush()
    os.dup2(2, 1)
    return own
