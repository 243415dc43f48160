"""Which methods the suite asks about the contract, and which of them only `make test-slow` asks.

Every registered method is a case without being named here: the project's, those in the folders that
`IQA_BENCH_METHODS` names when the suite is started, and those of installed packages.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest

from bench import registry
from bench.methods.pyiqa_trained.networks import ARCHITECTURES

OWN = os.environ.get(registry.OWN_FOLDERS)
"""The folders of whoever started the suite; tests see the toy methods instead."""

ARGUMENTS: dict[str, Sequence[str]] = {
    "pyiqa": ("piqe", "entropy"),  # the metrics without weights; test_pyiqa.py turns all others
    "pyiqa_trained": tuple(ARCHITECTURES),
    "oracle": ("toy",),
    "scores": ("given",),
    "vlm": (),  # needs a server: tests/methods/vlm
}
"""What stands behind the colon."""

LONG = frozenset(f"pyiqa_trained:{arch}" for arch in set(ARCHITECTURES) - {"cnniqa"})
"""Cases of a minute and more, which `make test-slow` runs."""
FEW = 4
"""Images for networks that take seconds an image."""


def names() -> list[str]:
    """All registered methods, without arguments; a short name is no method of its own."""
    return [name for name, entry in registry.entries().items() if not entry.stands_for]


def cases() -> list[str]:
    """NAME or NAME:ARGUMENT of all that the suite is asked of."""
    return [
        name if argument is None else f"{name}:{argument}"
        for name in names()
        for argument in ARGUMENTS.get(name, (None,))
    ]


def marked() -> list[Any]:
    """The cases as pytest's parameters."""
    slow = pytest.mark.slow
    return [pytest.param(case, marks=slow) if case in LONG else case for case in cases()]


def options(case: str) -> dict[str, Any]:
    """How a case is made a `Subject`: too few steps of four images only bend what they start with,
    but for a network of small crops."""
    if case not in LONG:
        return {}
    return {"strict": False} if case == "pyiqa_trained:paq2piq" else {"strict": False, "count": FEW}
