"""Where jobs run: on this machine's slots, in loky's processes, on a Dask cluster, under Slurm.

Each executor does the same: it brings every job to a `Supervisor` somewhere and delivers its
`Outcome`. A job that it does not deliver counts as lost. They differ in who decides where and when.
"""

from __future__ import annotations

import importlib
import os
import socket
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bench.model.jobs import Job
from bench.runs.dispatch.supervise import Listen, Outcome
from bench.util.errors import UsageError, unknown

NAMES = ("local", "loky", "dask", "slurm")
Deliver = Callable[[Outcome], None]


@dataclass
class Desk:
    """What the command and its executor share."""

    results: Path
    listen: Listen
    say: Callable[[str], None] = lambda text: None
    """Shows a line to the user."""
    level: int = 0
    """What the user wants: 0 go on, 1 end after the epoch, 2 now."""
    session: str = field(default_factory=lambda: new_session())


@dataclass(frozen=True)
class Place:
    """What the command line says about where to run."""

    executor: str = "local"
    device: str = "auto"
    jobs: int | None = None
    threads: int | None = None
    scheduler: str = ""
    slurm: tuple[str, ...] = ()


class Executor(Protocol):
    """Runs jobs somewhere."""

    def run(self, jobs: Sequence[Job], deliver: Deliver) -> None:
        """Run all jobs and deliver each one's outcome; called in a thread of its own.

        What is not delivered when it returns is lost. Raises `BenchError` where nothing can run.
        """

    def attend(self, missing: int) -> bool:
        """Called a few times a second meanwhile; False when the `missing` jobs will never come."""


def check(place: Place) -> None:
    """Raise `UsageError` for an executor that does not exist or an option that it does not take."""
    if place.executor not in NAMES:
        raise unknown("executor", place.executor, NAMES, "--executor")
    if place.scheduler and place.executor != "dask":
        raise UsageError(f"--scheduler belongs to --executor dask, not to '{place.executor}'")
    if place.slurm and place.executor != "slurm":
        raise UsageError(f"--slurm belongs to --executor slurm, not to '{place.executor}'")
    if place.executor == "dask":
        require("distributed", "dask")
    if place.executor == "slurm":
        from bench.runs.dispatch.executors import slurm

        slurm.parameters(place.slurm, place.jobs)


def make(place: Place, desk: Desk) -> Executor:
    """The executor that a command line asks for. Raises as `check` does."""
    check(place)
    if place.executor == "slurm":
        from bench.runs.dispatch.executors.slurm import Slurm

        return Slurm(place, desk)
    if place.executor == "dask":
        from bench.runs.dispatch.executors.pools import Dask

        return Dask(place, desk)
    if place.executor == "loky":
        from bench.runs.dispatch.executors.pools import Loky

        return Loky(place, desk)
    from bench.runs.dispatch.executors.local import Local

    return Local(place, desk)


def require(module: str, extra: str) -> Any:
    """Import an optional package. Raises `UsageError` with what to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(
            f"--executor {extra} needs the package '{error.name or module}': "
            f"pip install 'iqa-bench[{extra}]'"
        ) from None


def new_session() -> str:
    """A name for one command at work, safe in file names."""
    host = "".join(c if c.isalnum() else "-" for c in socket.gethostname())
    return f"{host}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
