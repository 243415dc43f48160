"""What a user sees of jobs at work."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from bench.model.jobs import Event, Job
from bench.runs.dispatch.progress import Display


def shown(terminal: bool) -> str:
    """What a display prints of a run that is done, one that failed and one that is elsewhere."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=120)
    job = Job(title="grmp on livec", results=Path(), group="g")
    with Display(console, 3) as display:
        display.show(job, Event(kind="start", run="a", title="50 #1"))
        display.show(job, Event(kind="epoch", run="a", epoch=1, total=4, loss=0.5))
        if terminal:
            display._progress.refresh()
        display.show(job, Event(kind="done", run="a", value=0.25))
        display.show(job, Event(kind="failed", run="b", error="boom [b]"))
        display.show(job, Event(kind="elsewhere", run="c"))
        display.elsewhere(1)
        display.show(job, Event(kind="ended"))
        assert display.done == 3
        assert len(display._progress.tasks) == 1
    return file.getvalue()


def test_plain_lines_where_there_is_no_terminal() -> None:
    assert shown(terminal=False).splitlines() == [
        "[1/3] grmp on livec, 50 #1: SRCC 0.2500",
        "[2/3] grmp on livec: FAILED boom [b]",
    ]


def test_bars_on_a_terminal() -> None:
    text = shown(terminal=True)
    assert "grmp on livec 50 #1" in text
    assert "1/4" in text
    assert "loss 0.5000" in text
    assert "FAILED boom [b]" in text
    assert "SRCC" not in text
    assert "3/3" in text
