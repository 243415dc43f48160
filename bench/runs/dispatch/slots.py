"""How a machine is shared out: one slot a GPU, or a few cores each."""

from __future__ import annotations

import os
from dataclasses import dataclass

from bench.util.environment import cores


@dataclass(frozen=True)
class Slot:
    """A share of the machine: one worker process at a time."""

    name: str
    device: str
    environment: dict[str, str]


def slots(device: str, jobs: int | None = None, threads: int | None = None) -> list[Slot]:
    """The slots of this machine: one a GPU by default; on CPU they share the cores.

    `device` is resolved ('cpu', 'cuda' for all GPUs, 'cuda:N' for one). `jobs` is the number of
    workers at once (several may share a GPU), `threads` the CPU threads of each; by default what
    OMP_NUM_THREADS says, and where it is not set, the slots divide the cores among them.
    """
    threads = threads or said_threads()
    if device == "cpu":
        count = jobs or cpu_slots()
        environment = {"CUDA_VISIBLE_DEVICES": "", **thread_limits(threads or _share(count))}
        return [Slot(f"cpu{index}", "cpu", environment) for index in range(count)]
    import torch

    gpus = [device] if ":" in device else [f"cuda:{n}" for n in range(torch.cuda.device_count())]
    count = jobs or len(gpus)
    limits = thread_limits(threads or _share(count))
    return [
        Slot(f"{name}-{index}", "cuda", {"CUDA_VISIBLE_DEVICES": _visible(name), **limits})
        for index, name in ((index, gpus[index % len(gpus)]) for index in range(count))
    ]


def cpu_slots() -> int:
    """How many slots the cores make by default."""
    # Small steps gain little from many threads, so that several workers use cores better.
    available = cores()
    return max(1, min(available, 2 + available // 8))


def thread_limits(threads: int) -> dict[str, str]:
    """The variables by which numerical libraries learn how many threads to use."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return dict.fromkeys(names, str(threads))


def said_threads() -> int | None:
    """What OMP_NUM_THREADS says of this process; of a list, one number a level, the first."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None


def _share(count: int) -> int:
    return max(1, cores() // count)


def _visible(gpu: str) -> str:
    """The GPU's name for a child, through whatever mask this process itself is under."""
    index = int(gpu.partition(":")[2])
    mask = os.environ.get("CUDA_VISIBLE_DEVICES")
    return mask.split(",")[index].strip() if mask else str(index)


def allotted_cores() -> int:
    """The cores that the scheduler of the machine gave this job, or those it may use."""
    given = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return int(given) if given.isdigit() else cores()
