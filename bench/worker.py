"""The worker process: reads a job, executes it, prints one event a line on standard output."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TextIO

from bench.errors import UsageError
from bench.jobs import Event, Job

if TYPE_CHECKING:
    from bench.library import Library
    from bench.store import Store

Emit = Callable[[Event], None]

INTERRUPTED = 130
PRETRAINING_FAILED = 3


def run_job(path: Path) -> int:
    """Execute the job in a file. 0: done (runs may have failed, their records say so);
    130: interrupted; 3: a pre-training failed.

    SIGINT and SIGTERM end it after the current epoch, the second signal at once.
    """
    try:
        job = Job.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"job file '{path}' cannot be read: {error}") from error
    stop = threading.Event()
    _stop_on_signals(stop)
    events = _take_stdout()

    from bench.fitting import Interrupted

    def emit(event: Event) -> None:
        try:
            print(event.model_dump_json(exclude_defaults=True), file=events, flush=True)
        except OSError:  # the parent is gone: not the run's failure, but the end of the work
            stop.set()
            raise Interrupted from None

    try:
        return _execute(job, emit, stop)
    except Interrupted:
        return INTERRUPTED


def _execute(job: Job, emit: Emit, stop: threading.Event) -> int:
    from bench import kept, registry
    from bench.execute import Executor
    from bench.library import Library
    from bench.store import Store

    store = Store(job.results)
    library = Library(job.data_roots)
    if job.pretraining is not None:
        return _pretrain(job, store, library, emit, stop)
    executor = Executor(
        store,
        library,
        device=job.device,
        batch_size=job.batch_size,
        keep=tuple(job.keep),
        emit=emit,
        stopping=stop.is_set,
    )
    for work in job.runs:
        if stop.is_set():
            return INTERRUPTED
        run_id = work.spec.run_id
        # Another process may have computed it since this job was written.
        existing = store.get(work.spec)
        method = registry.load(registry.split_name(work.spec.method)[0])
        whole = kept.complete(store, work.spec, method, job.keep)
        if existing is not None and existing.status == "done" and whole:
            emit(Event(kind="skipped", run=run_id))
            continue
        title = f"{work.spec.task.budget} #{work.spec.repeat + 1}"
        emit(Event(kind="start", run=run_id, title=title))
        record = executor.execute(work)
        if record.status == "done":
            emit(Event(kind="done", run=run_id, value=record.value("srcc")))
        else:
            emit(Event(kind="failed", run=run_id, error=record.error or ""))
    return 0


def _pretrain(job: Job, store: Store, library: Library, emit: Emit, stop: threading.Event) -> int:
    from bench.fitting import Interrupted
    from bench.pretraining import pretrain

    assert job.pretraining is not None
    key = job.pretraining.spec.key
    emit(Event(kind="start", run=key, title="pre-training"))
    try:
        pretrain(job.pretraining, store, library, job.device, emit, stop.is_set)
    except Interrupted:
        raise
    except Exception as error:  # reported to the parent, which records it for the runs
        traceback.print_exc()
        first = (str(error).splitlines() or [""])[0]
        emit(Event(kind="failed", run=key, error=f"{type(error).__name__}: {first}"))
        return PRETRAINING_FAILED
    emit(Event(kind="done", run=key))
    return 0


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
