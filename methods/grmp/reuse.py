"""Frozen computations that are done once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reuse:
    """Computations that are done once. None changes a number by more than rounding."""

    prefix: bool = True
    """Keep each view's tokens behind the frozen image blocks."""
    teacher: bool = True
    """Keep each view's scene probabilities from untouched CLIP."""
    texts: bool = True
    """Keep the scene prompts behind the frozen text blocks."""
    shared_forward: bool = True
    """One forward pass for both gradients."""
    skip_unread: bool = True
    """Leave out token outputs that nothing reads (see `bench.methods.kit.clip_tower`)."""


NOTHING = Reuse(False, False, False, False, False)
