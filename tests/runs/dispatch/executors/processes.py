"""Commands in the background, and the processes that they start."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.model.records import Record
from bench.store import Store
from tests.conftest import Bench

PROTOCOL = """
title: Toy protocol
datasets: [toy, toy2]
labels: [10]
repeats: 3
evaluate_every: 2
methods: [toy_counted]
"""


def start(bench: Bench, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    """`bench run` on the CPU into `results`, in the background."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench", "run", *map(str, arguments), "--device", "cpu",
         "--results", str(bench.results)],
        cwd=bench.folder,
        env=bench.environment(TOY_CALLS=str(bench.folder / "calls"), **environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for its end; its output."""
    try:
        output, _ = process.communicate(timeout=900)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return output


def until(
    condition: Callable[[], object], process: subprocess.Popen[str], seconds: float = 600
) -> None:
    """Wait for something to become true while a command is at work."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, finish(process)
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def records(bench: Bench) -> list[Record]:
    """All records of the results folder."""
    return list(Store(bench.results).records())


def calls(bench: Bench) -> list[str]:
    """The runs that were begun, each as often as it was."""
    path = bench.folder / "calls"
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


def supervisors(bench: Bench) -> list[int]:
    """The processes that supervise the runs that were begun."""
    path = bench.folder / "calls"
    return [int(line.split()[1]) for line in path.read_text().splitlines()] if path.exists() else []


def alive(pid: int) -> bool:
    """Whether a process exists and is not just waiting to be collected."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"
