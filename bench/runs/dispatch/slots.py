"""The slots of a machine: one for each GPU, or a few cores each."""

from __future__ import annotations

import os
from typing import NamedTuple

from bench.util.environment import cores


class Slot(NamedTuple):
    """A share of the machine: one worker process at a time."""

    device: str
    environment: dict[str, str]
    """Variables by which the worker learns its share."""


def slots(device: str, jobs: int | None = None, threads: int | None = None) -> list[Slot]:
    """The slots of this machine: by default one for each GPU; on the CPU they share the cores.

    `device` is resolved ('cpu', 'cuda' for all GPUs, 'cuda:N' for one). `jobs` is the number of
    workers at once (several may share a GPU), `threads` the CPU threads of each; by default what
    OMP_NUM_THREADS says, and where it is not set, the slots divide the cores among them.
    """
    if device == "cpu":
        # Small steps gain little from many threads, so that several workers use cores better.
        masks, count = [""], jobs or min(cores(), 2 + cores() // 8)
    else:
        masks = _gpus(device)
        count = jobs or len(masks)
    limits = thread_limits(threads or _said_threads() or cores() // count)
    return [
        Slot(device.partition(":")[0], {"CUDA_VISIBLE_DEVICES": masks[n % len(masks)], **limits})
        for n in range(count)
    ]


def thread_limits(threads: int) -> dict[str, str]:
    """The variables by which numerical libraries learn how many threads to use, at least one."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return dict.fromkeys(names, str(max(1, threads)))


def _said_threads() -> int:
    """OMP_NUM_THREADS of this process, 0 for none; it may be a list, one number a level."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdecimal() else 0


def _gpus(device: str) -> list[str]:
    """The names of the GPUs for child processes, within the mask of this process."""
    import torch

    mask = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    names = [name.strip() for name in mask.split(",")] if mask else list(map(str, range(count)))
    _, _, index = device.partition(":")
    return [names[int(index)]] if index else names[:count]
