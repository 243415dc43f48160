"""The hardware and software that a run is computed with."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import Field

from bench.util import determinism
from bench.util.strict import StrictModel

PACKAGES = ("torch", "open_clip_torch", "timm", "pyiqa", "numpy", "scipy", "pillow", "iqa-bench")
CLONE = Path(__file__).resolve().parents[2]
"""The folder of the clone; of an installed package, that of all packages."""


class Environment(StrictModel):
    """The hardware and software that a run was computed with; part of its record."""

    commit: str = ""
    """Git commit of the project; '' outside a checkout."""
    dirty: bool = False
    """Whether the checkout had uncommitted changes."""
    python: str = ""
    """Python version."""
    platform: str = ""
    """Operating system and processor."""
    device: str = ""
    """Name of the GPU or of the CPU."""
    threads: int = 0
    """CPU threads of the process."""
    deterministic: bool = False
    """Whether torch was restricted to deterministic operations (`--deterministic`)."""
    packages: dict[str, str] = Field(default_factory=dict)
    """Versions of packages that results depend on."""


@cache
def machine() -> Environment:
    """Facts that hold for all processes of this machine: checkout, processor, versions of packages.

    It calls git and takes a tenth of a second, so a fork server calls it once for the
    processes that it forks.
    """
    commit, dirty = checkout()
    return Environment(
        commit=commit,
        dirty=dirty,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        device=platform.processor() or platform.machine(),
        packages={package: version for package in PACKAGES if (version := _version(package))},
    )


@cache
def environment(device: str) -> Environment:
    """The environment of this process on `device`."""
    own: dict[str, Any] = {"threads": _threads(), "deterministic": determinism.enabled()}
    if device.startswith("cuda"):
        import torch

        own["device"] = torch.cuda.get_device_name(torch.device(device))
    return machine().model_copy(update=own)


def on_gpu(where: Environment) -> bool:
    """Whether an environment names a GPU. A CPU is named by its architecture."""
    name = where.device.lower()
    architectures = ("x86", "amd64", "i386", "i686", "arm", "aarch64", "ppc", "riscv", "intel64")
    return bool(name) and not name.startswith(architectures)


def peak_memory_mb(device: str) -> float | None:
    """Peak memory in MiB: of the GPU since the last reset, or of the process so far."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(torch.device(device)) / 2**20
    try:
        import resource
    except ImportError:  # Windows has no such call
        return None
    # macOS gives bytes, Linux KiB.
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage / (2**20 if platform.system() == "Darwin" else 2**10)


def resolve_device(wanted: str) -> str:
    """The device for `--device`: 'auto' is 'cuda' if there is a GPU and 'cpu' otherwise.

    Raises `UsageError` for a name that torch does not know or a GPU that does not exist.
    """
    import re

    from bench.util.errors import UsageError

    if wanted != "auto" and not re.fullmatch(r"cpu|cuda(:\d+)?", wanted):
        raise UsageError(f"--device {wanted}: expected auto, cpu, cuda or cuda:N")
    if wanted == "cpu" or (wanted == "auto" and not _may_have_gpu()):
        return "cpu"
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        return "cuda" if count else "cpu"
    # Not left to torch, whose error would come after the plan.
    index = int(wanted.partition(":")[2] or 0)
    if index >= count:
        raise UsageError(f"--device {wanted}: this machine has {count} CUDA devices")
    return wanted


def _may_have_gpu() -> bool:
    """Whether there may be a GPU, so that torch, which takes seconds to import, is asked."""
    if platform.system() != "Linux":
        return True
    devices = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd", "/proc/driver/nvidia")
    return any(Path(device).exists() for device in devices)


def cores() -> int:
    """CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _threads() -> int:
    # Importing torch takes seconds; a run that has not done so does not need to.
    torch = sys.modules.get("torch")
    return int(torch.get_num_threads()) if torch else int(os.environ.get("OMP_NUM_THREADS", 0))


def checkout(folder: Path = CLONE) -> tuple[str, bool]:
    """Commit of the checkout at `folder` and whether it has changes; ("", False) without one."""
    # git would look for a repository in the folders above too, and find, for a package that is
    # installed in an environment inside somebody's project, that project's.
    if not (folder / ".git").exists():
        return "", False
    try:
        head = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "HEAD"],
            capture_output=True, text=True, timeout=10, check=True,
        ).stdout.strip()  # fmt: skip
        status = subprocess.run(
            ["git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no"],
            capture_output=True, text=True, timeout=10, check=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "", False
    return head, bool(status.strip())


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
