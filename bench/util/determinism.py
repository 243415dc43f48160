"""Restricting torch to deterministic operations (`--deterministic`).

On a CPU, runs with the same number of threads are bit-identical without it. Some operations on a
GPU add numbers in an order that differs between runs (docs/running.md, Determinism).
"""

from __future__ import annotations

import os
import sys

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


def enable() -> None:
    """Ask torch for deterministic operations only, in this process; call it before CUDA starts.

    An operation that has no deterministic form then raises an error that names it.
    """
    # cuBLAS reads this variable when it starts. A fixed workspace fixes the order of its sums.
    os.environ.setdefault(WORKSPACE, ":4096:8")
    import torch

    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def enabled() -> bool:
    """Whether torch may use deterministic operations only."""
    # Importing torch takes seconds; a process that has not done so answers no.
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.are_deterministic_algorithms_enabled())
