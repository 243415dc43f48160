"""Switching torch to operations that give the same bits every time, or refuse.

Without it a run on a CPU already repeats bit for bit, given as many threads; some of a GPU's
operations add in an order that changes from one time to the next (docs/running.md, Determinism).
"""

from __future__ import annotations

import os
import sys

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


def enable() -> None:
    """Ask torch for deterministic operations only, in this process; call it before CUDA starts.

    An operation that has no deterministic form then raises an error that names it.
    """
    # cuBLAS reads it when it starts: with workspaces of a fixed size its sums keep their order.
    os.environ.setdefault(WORKSPACE, ":4096:8")
    import torch

    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def enabled() -> bool:
    """Whether torch may use deterministic operations only."""
    # A process that never imported torch need not do so to say no.
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.are_deterministic_algorithms_enabled())
