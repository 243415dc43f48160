"""The inner levels of a network of timm, pooled over the image.

Early levels represent noise, blur and blocks, late ones the content; quality needs both (HyperIQA,
Re-IQA). A level is one entry of timm's `forward_intermediates` (for EfficientNets and their kin
each stage, the stem first); the last features, behind them all, are one level more.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from bench.api import BenchError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

Statistic = Literal["mean", "std"]
MOST = 8
"""Inner levels up to which all are taken; of more (the blocks of a ViT) `SPREAD` are."""
SPREAD = 4
"""Blocks taken of a deep stack: at a quarter, half and three quarters of its depth and its end."""
TINY = 1e-12


def levels(model: Any, pixels: Tensor) -> list[Tensor]:
    """Normalised pixels (B, 3, H, W) -> maps (B, C, h, w) of all levels, and the last features.

    The last features of a transformer are its pooled token, (B, C). They are left out if the
    last level is the same tensor (ResNets). BenchError for a network without
    `forward_intermediates`.
    """
    if not hasattr(model, "forward_intermediates"):
        raise BenchError(f"{type(model).__name__} of timm does not give its inner levels")
    known = inspect.signature(model.forward_intermediates).parameters
    options = {"extra_blocks": True} if "extra_blocks" in known else {}
    final, found = model.forward_intermediates(pixels, **options)
    if final is found[-1]:
        return list(found)
    if final.ndim == 3:
        final = model.forward_head(final, pre_logits=True)
    elif getattr(model, "output_fmt", "NCHW") == "NHWC":
        final = final.permute(0, 3, 1, 2)
    return [*found, final]


def chosen(found: Sequence[Tensor], stages: Sequence[int] | None) -> list[Tensor]:
    """The levels of the setting `stages`, or the default ones. UsageError for an unknown one."""
    count = len(found)
    if stages is None:
        inner = count - 1
        if inner > MOST:
            places = [round(inner * part / SPREAD) - 1 for part in range(1, SPREAD + 1)]
            return [found[place] for place in [*places, count - 1]]
        return list(found)
    for place in stages:
        if not -count <= place < count:
            raise UsageError(
                f"stages: there is no level {place}; this network has 0 to {count - 1}, the last "
                "features included"
            )
    return [found[place] for place in stages]


def pooled(found: Sequence[Tensor], statistics: Sequence[Statistic]) -> Tensor:
    """Means and standard deviations over each map, side by side, (B, d).

    A level that is already a vector is not changed.
    """
    import torch

    parts: list[Tensor] = []
    for level in found:
        if level.ndim == 2:
            parts.append(level)
            continue
        if "mean" in statistics:
            parts.append(level.mean(dim=(2, 3)))
        if "std" in statistics:
            # A constant map has no slope without `TINY`.
            parts.append((level.var(dim=(2, 3), correction=0) + TINY).sqrt())
    return torch.cat(parts, dim=1)
