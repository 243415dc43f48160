"""What a user sees while runs are computed: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.jobs import Event, Job


class Display:
    """One overall bar, and one line for each job at work."""

    def __init__(self, console: Console, total: int) -> None:
        self.console = console
        self.total = total
        self.done = 0
        self.failed: list[str] = []
        self._lock = threading.Lock()
        self._tasks: dict[str, Any] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._all = self._progress.add_task("[bold]runs", total=total, detail="")

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, job: Job, event: Event) -> None:
        """Take in one event; called from several threads."""
        with self._lock:
            self._update(job, event)

    def _update(self, job: Job, event: Event) -> None:
        if event.kind == "start":
            self._start(job, event)
        elif event.kind == "epoch":
            loss = "" if event.loss is None else f"loss {event.loss:.4f}"
            self._set(job, completed=event.epoch, total=event.total, detail=loss)
        elif event.kind == "note":
            self.console.print(f"{job.title}: {event.title}", markup=False, highlight=False)
        else:
            self._end(job, event)

    def _start(self, job: Job, event: Event) -> None:
        description = f"{job.title} {event.title}"
        # By title: what is left of a job after its worker died is still that job.
        if job.title not in self._tasks:
            self._tasks[job.title] = self._progress.add_task("", total=None, detail="")
        self._set(job, description=description, completed=0, total=None, detail="")
        if job.pretraining is not None and not self.console.is_terminal:
            self.console.print(f"{description} …", markup=False, highlight=False)

    def _end(self, job: Job, event: Event) -> None:
        if job.pretraining is None:
            self.done += 1
            self._progress.update(self._all, completed=self.done)
        text = f"[{self.done}/{self.total}] {job.title}: "
        if event.kind == "failed":
            self.failed.append(event.error)
            self.console.print(f"{text}FAILED {event.error}", markup=False, highlight=False)
        elif not self.console.is_terminal and event.value is not None:
            self.console.print(f"{text}SRCC {event.value:.4f}", markup=False, highlight=False)
        last = job.pretraining is not None or event.run == job.runs[-1].spec.run_id
        if last and job.title in self._tasks:
            self._progress.remove_task(self._tasks.pop(job.title))

    def _set(self, job: Job, **values: Any) -> None:
        if job.title in self._tasks:
            self._progress.update(self._tasks[job.title], **values)
