"""Quality-aware gradient regulation (GRMP-IQA §3.4, Eq. 8) and the two losses behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.api import BenchError

Scope = Literal["global", "per_tensor"]


def quality_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Eq. 3: −y log p(high) − (1 − y) log p(low), averaged; logits (B, 2), labels (B,) in 0–1."""
    high, low = F.log_softmax(logits, dim=-1).unbind(dim=-1)
    return -(labels * high + (1 - labels) * low).mean()


def semantic_loss(logits: Tensor, teacher: Tensor) -> Tensor:
    """Eq. 7 up to the teacher's entropy, which has no gradient: −Σ p_sem log p_qua, averaged.

    `logits` (B, 9) are the tuned model's scene logits, `teacher` (B, 9) untouched CLIP's scene
    probabilities.
    """
    return -(teacher * F.log_softmax(logits, dim=-1)).sum(dim=-1).mean()


@dataclass(frozen=True)
class Regulated:
    """The gradient to apply and what regulation did to it."""

    gradients: list[Tensor]
    """G_qgr, tensor by tensor."""
    angle_before: float
    """Degrees between G_qua and G_sem over all tensors together; NaN where one of them is zero."""
    angle_after: float
    """Degrees between G_qgr and G_sem; NaN where one of them is zero."""
    clipped: float
    """Share of the tensors where the two gradients agree, 0–1: what λ > 0 changes."""


def regulate(
    quality: Sequence[Tensor], semantic: Sequence[Tensor | None], strength: float, scope: Scope
) -> Regulated:
    """Eq. 8: take λ times the part of G_qua along G_sem out of G_qua where they agree.

    `quality` and `semantic` hold the gradients of the same parameters in the same order; None in
    `semantic` stands for a zero gradient. `scope` "global" treats all tensors as one vector, as
    the paper writes it, "per_tensor" each by itself, as the released code does. Products are taken
    in float64: float32 has no square of a gradient below 1e-23. `BenchError` where a gradient is
    not finite.
    """
    found = _products(quality, semantic)
    dots, squares = found.dots, found.squares
    if not math.isfinite(float(found.lengths.sum())) or not math.isfinite(float(squares.sum())):
        raise BenchError(
            "grmp: a gradient is not finite, so that Eq. 8 says nothing; a smaller lr, or "
            "autocast=off where training runs in half precision"
        )
    agreement = dots.sum().expand_as(dots) if scope == "global" else dots
    sizes = squares.sum().expand_as(squares) if scope == "global" else squares
    factors = _factor(agreement, sizes, strength)
    gradients = [
        a if b is None else _less(a, b, factor)
        for a, b, factor in zip(quality, semantic, factors.tolist(), strict=True)
    ]
    # Products of what is left follow from those before, without another pass over the gradients.
    left = Products(
        dots - factors * squares,
        squares,
        (found.lengths - 2 * factors * dots + factors.square() * squares).clamp_min(0),
    )
    changed = int(((agreement > 0) & (squares > 0)).sum())
    return Regulated(gradients, found.angle(), left.angle(), changed / max(len(gradients), 1))


def angle(quality: Sequence[Tensor], semantic: Sequence[Tensor | None]) -> float:
    """Degrees between two gradients with all their tensors joined; NaN where one is zero."""
    return _products(quality, semantic).angle()


@dataclass(frozen=True)
class Products:
    """Of two gradients, tensor by tensor, (n,) float64."""

    dots: Tensor
    """G_qua · G_sem."""
    squares: Tensor
    """‖G_sem‖²."""
    lengths: Tensor
    """‖G_qua‖²."""

    def angle(self) -> float:
        """Degrees between them with all tensors joined; NaN where one is zero."""
        sizes = float(self.lengths.sum()) ** 0.5, float(self.squares.sum()) ** 0.5
        return _angle(float(self.dots.sum()), *sizes)


def _products(quality: Sequence[Tensor], semantic: Sequence[Tensor | None]) -> Products:
    """None in `semantic` is a zero gradient."""
    rows = []
    for a, b in zip(quality, semantic, strict=True):
        wide = a.flatten().double()
        zero = wide.new_zeros(())
        other = None if b is None else b.flatten().double()
        dot = zero if other is None else torch.dot(wide, other)
        square = zero if other is None else torch.dot(other, other)
        rows.append(torch.stack([dot, square, torch.dot(wide, wide)]))
    return Products(*torch.stack(rows).unbind(dim=1))


def _factor(dot: Tensor, square: Tensor, strength: float) -> Tensor:
    """λ (G_qua · G_sem) / ‖G_sem‖² where the product is positive, else 0."""
    return torch.where(dot > 0, strength * dot / square.clamp_min(1e-300), torch.zeros_like(dot))


def _less(quality: Tensor, semantic: Tensor, factor: float) -> Tensor:
    """quality - factor · semantic, in float64: a factor can leave float32, and what is left of
    parallel gradients is a small difference."""
    if not factor:
        return quality
    return (quality.double() - factor * semantic.double()).to(quality.dtype)


def _angle(dot: float, left: float, right: float) -> float:
    if not left or not right:
        return math.nan
    return math.degrees(math.acos(max(-1.0, min(1.0, dot / (left * right)))))
