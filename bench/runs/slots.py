"""The GPUs and cores of a machine, and the part of them that each running job has taken."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from bench.model.resources import Resources
from bench.util.environment import cores

ROUNDING = 1e-9
"""Tolerance, since shares are added and subtracted again and again."""


@dataclass(frozen=True)
class Gpu:
    """One GPU that this process may use."""

    name: str
    """Its name in CUDA_VISIBLE_DEVICES."""
    memory: float
    """GiB."""


@dataclass(frozen=True)
class Place:
    """A part of the machine, taken by one worker process."""

    device: str
    environment: dict[str, str]
    """Environment variables that tell the worker its part."""
    gpu: int | None = None
    """Number of its GPU; None for a place on the CPU."""
    share: float = 0.0
    """Share of the GPU, or number of cores."""


class Machine:
    """Gives jobs their places: on GPUs by memory, on the CPU by cores.

    Jobs without stated needs get a whole GPU each, or an equal share of the cores. Jobs that need
    no GPU have separate places, so that neither kind waits for the other.
    """

    def __init__(
        self,
        gpus: Sequence[Gpu] = (),
        jobs: int | None = None,
        threads: int | None = None,
        n_cores: int | None = None,
    ) -> None:
        """`jobs` is the number of workers at once (several may share a GPU), `threads` the CPU
        threads of each; the default is OMP_NUM_THREADS, else an equal share of the cores."""
        self.gpus = tuple(gpus)
        self.cores = n_cores or cores()
        self._most = jobs
        # Small steps gain little from many threads, so that several workers use cores better.
        usual = min(self.cores, 2 + self.cores // 8)
        beside = max(1, self.cores // 8)
        self._cpu_places = beside if gpus else jobs or usual
        self.places = jobs or len(gpus) or usual
        """Number of jobs without stated needs that run at once."""
        self._threads = threads or _said_threads()
        self._used = [0.0] * len(gpus)
        self._on_gpus = 0
        self._on_cpu: list[float] = []

    @classmethod
    def here(cls, device: str, jobs: int | None = None, threads: int | None = None) -> Machine:
        """This machine; `device` is resolved: 'cpu', 'cuda' for all GPUs, 'cuda:N' for one."""
        return cls(_gpus(device) if device != "cpu" else (), jobs, threads)

    def refusal(self, needs: Resources) -> str:
        """Why a job can never run here; '' if it can."""
        if not self.on_gpu(needs):
            text = "needs a GPU (device: cuda), and there is none here; --device cpu does without"
            return text if needs.device == "cuda" else ""
        most = max(gpu.memory for gpu in self.gpus)
        if needs.vram is None or needs.vram <= most:
            return ""
        return f"needs {needs.vram:g} GiB of GPU memory, and the largest GPU here has {most:.1f}"

    def on_gpu(self, needs: Resources) -> bool:
        """Whether a job runs on a GPU here."""
        return bool(self.gpus) and needs.device != "cpu"

    def take(self, needs: Resources) -> Place | None:
        """A place for a job; None while no place is free."""
        place = self._on_a_gpu(needs) if self.on_gpu(needs) else self._on_the_cpu(needs)
        if place is None:
            return None
        if place.gpu is None:
            self._on_cpu.append(place.share)
        else:
            self._used[place.gpu] += place.share
            self._on_gpus += 1
        return place

    def give_back(self, place: Place) -> None:
        """Free the place of a job that has ended."""
        if place.gpu is None:
            self._on_cpu.remove(place.share)
        else:
            self._used[place.gpu] -= place.share
            self._on_gpus -= 1

    def _on_a_gpu(self, needs: Resources) -> Place | None:
        if self._most is not None and self._on_gpus >= self._most:
            return None
        each = -(-self.places // len(self.gpus))
        # The emptiest GPU first, so that small jobs share one only if no other is free.
        for number in sorted(range(len(self.gpus)), key=lambda number: self._used[number]):
            gpu = self.gpus[number]
            share = 1 / each if needs.vram is None else needs.vram / gpu.memory
            if self._used[number] + share <= 1 + ROUNDING:
                each_one = self.cores // self.places
                return Place("cuda", self._variables(gpu.name, needs, each_one), number, share)
        return None

    def _on_the_cpu(self, needs: Resources) -> Place | None:
        share = float(needs.cpus or self.cores / self._cpu_places)
        full = sum(self._on_cpu) + share > self.cores + ROUNDING
        # The first job always gets a place, even if it asks for more cores than there are.
        if self._on_cpu and (full or len(self._on_cpu) >= self._cpu_places):
            return None
        return Place("cpu", self._variables("", needs, int(share)), None, share)

    def _variables(self, mask: str, needs: Resources, share: int) -> dict[str, str]:
        threads = needs.cpus or self._threads or max(share, 1)
        return {"CUDA_VISIBLE_DEVICES": mask, **thread_limits(threads)}


def thread_limits(threads: int) -> dict[str, str]:
    """The environment variables that limit the threads of numerical libraries, to at least one."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return dict.fromkeys(names, str(max(1, threads)))


def _said_threads() -> int:
    """OMP_NUM_THREADS of this process, 0 if unset; of a list (one number for each level) the
    first."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdecimal() else 0


def _gpus(device: str) -> list[Gpu]:
    """The GPUs, by their names for child processes, within the mask of this process."""
    import torch

    mask = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    names = [name.strip() for name in mask.split(",")] if mask else list(map(str, range(count)))
    _, _, index = device.partition(":")
    chosen = [int(index)] if index else range(count)
    sizes = (torch.cuda.get_device_properties(number).total_memory for number in chosen)
    return [Gpu(names[number], size / 2**30) for number, size in zip(chosen, sizes, strict=True)]
