"""Progress of runs: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.model.jobs import Event, Job


class Display:
    """One overall bar, and one line for each running job."""

    def __init__(self, console: Console, total: int) -> None:
        self.console = console
        self.total = total
        self.done = 0
        self._lock = threading.Lock()
        self._tasks: dict[str, Any] = {}
        self._runs: dict[str, str] = {}
        """Group of a job -> budget and repeat of its current run."""
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            console=console,
            disable=not console.is_terminal,
        )
        self._all = self._progress.add_task("runs", total=total, detail="")

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, job: Job, event: Event) -> None:
        """Show one event; called from several threads."""
        with self._lock:
            self._update(job, event)

    def say(self, text: str) -> None:
        """Print one line above the bars."""
        self.console.print(text, markup=False, highlight=False)

    def elsewhere(self, count: int) -> None:
        """Count runs that another process has finished."""
        with self._lock:
            self._count(count)

    def _update(self, job: Job, event: Event) -> None:
        if event.kind == "start":
            self._start(job, event)
        elif event.kind == "epoch":
            loss = "" if event.loss is None else f"loss {event.loss:.4f}"
            self._set(job, completed=event.epoch, total=event.total, detail=loss)
        elif event.kind == "waiting":
            self._set(job, detail=f"waiting for {event.title}")
        elif event.kind == "note":
            self.say(f"{job.title}: {event.title}")
        elif event.kind == "ended":
            self._remove(job)
        elif event.kind != "elsewhere":
            self._end(job, event)

    def _start(self, job: Job, event: Event) -> None:
        description = f"{job.title} {event.title}"
        self._runs[job.group] = event.title
        if job.group not in self._tasks:
            self._tasks[job.group] = self._progress.add_task("", total=None, detail="")
        self._set(job, description=description, completed=0, total=None, detail="")
        if job.pretraining is not None and not self.console.is_terminal:
            self.say(f"{description} …")

    def _end(self, job: Job, event: Event) -> None:
        if job.pretraining is None:
            self._count(1)
        run = self._runs.pop(job.group, "")
        text = f"[{self.done}/{self.total}] {job.title}{', ' * bool(run)}{run}: "
        if event.kind == "failed":
            self.say(f"{text}FAILED {event.error}")
        elif not self.console.is_terminal and event.kind == "done":
            self.say(f"{text}{'done' if event.value is None else f'SRCC {event.value:.4f}'}")

    def _count(self, more: int) -> None:
        self.done += more
        self._progress.update(self._all, completed=self.done)

    def _remove(self, job: Job) -> None:
        if job.group in self._tasks:
            self._progress.remove_task(self._tasks.pop(job.group))

    def _set(self, job: Job, **values: Any) -> None:
        if job.group in self._tasks:
            self._progress.update(self._tasks[job.group], **values)
