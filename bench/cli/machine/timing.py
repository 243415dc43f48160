"""How much to do to measure one rate, and the best of several rounds of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.util.errors import UsageError

RunJob = Callable[[], int]
"""Does something once; returns how many items it did."""


@dataclass(frozen=True)
class Effort:
    """How much is done to measure."""

    device: str = "cpu"
    seconds: float = 4.0
    """Least time of one measurement, warm-up aside."""
    rounds: int = 3
    """Least number of rounds."""
    inference: int = 8
    """Images a batch of inference."""
    training: int = 4
    """Images a training step."""
    images: int = 64
    """Image files that are decoded."""
    matmul: int = 8192
    """Rows and columns of the matrix product."""
    cpu_time: bool = False
    """Count this process's own time on one thread, which other processes do not lengthen."""

    @property
    def gpu(self) -> bool:
        """Whether the networks run on a GPU."""
        return self.device.startswith("cuda")


@dataclass(frozen=True)
class Timing:
    """One line."""

    name: str
    rate: float
    """Items a second."""
    unit: str
    """What an item is."""
    seconds: float
    """Of one round, the best one."""
    gflop: float | None = None
    """Arithmetic an item, in 10⁹ operations (a multiply-add is two)."""
    share: float | None = None
    """Of the measured ceiling, 0-1; None on a CPU."""


def effort(device: str, quick: bool = False, cpu_time: bool = False) -> Effort:
    """How much to measure: a few minutes, or with `quick` as little as says something.

    Raises `UsageError` for CPU time on a GPU.
    """
    sizes: dict[str, Any] = {"seconds": 0.3, "rounds": 1, "images": 16} if quick else {}
    sizes["cpu_time"] = cpu_time
    if cpu_time and device != "cpu":
        raise UsageError("--cpu-time measures the processor; give --device cpu with it")
    if device.startswith("cuda"):
        return Effort(device, inference=128, training=32, **sizes)
    if quick:
        sizes |= {"inference": 2, "training": 1}
    return Effort(device, **sizes)


def clock(effort: Effort) -> Callable[[], float]:
    """What gives the time in seconds."""
    return time.process_time if effort.cpu_time else time.perf_counter


def timed(work: RunJob, effort: Effort, warm_up: bool = True) -> tuple[float, float]:
    """(items a second, seconds) of the best round."""
    if warm_up:
        work()
    settle(effort)
    now = clock(effort)
    best, started, rounds = (0.0, 0.0), now(), 0
    while rounds < effort.rounds or now() - started < effort.seconds:
        start = now()
        items = work()
        settle(effort)
        took = now() - start
        best = max(best, (items / took, took))
        rounds += 1
    return best


def settle(effort: Effort) -> None:
    """Wait until the device has done what it was given."""
    if effort.gpu:
        import torch

        torch.cuda.synchronize(effort.device)
