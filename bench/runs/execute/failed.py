"""The record of a run that failed."""

from __future__ import annotations

from bench.model.records import Record, RunSpec
from bench.util.environment import environment
from bench.util.errors import BenchError


def failure(spec: RunSpec, error: str, trace: str) -> Record:
    """The record of a run that failed."""
    return Record(
        run_id=spec.run_id,
        status="failed",
        spec=spec,
        error=error,
        traceback=trace,
        environment=environment("cpu"),
    )


def first_line(error: BaseException) -> str:
    """An error in one line, with its type unless it is a `BenchError`."""
    text = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {text}" if not isinstance(error, BenchError) else text
