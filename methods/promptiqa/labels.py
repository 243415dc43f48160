"""Labels as PromptIQA sees them: their scale and direction in each database."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
LabelScale = Literal["minmax", "constants", "given"]

DMOS_SETS = frozenset({"live", "csiq"})
"""Databases whose labels grow with damage; paper and released code leave them so."""
METRICS_DOWN: dict[str, bool] = {"ssim": False, "fsim": False, "lpips": True}
"""Metrics that relabel databases (`NAME@METRIC`), and whether they grow with damage."""

CONSTANTS: dict[str, tuple[float, float]] = {
    "livec": (1.0, -0.01),  # (MOS - 1) / 100
    "live": (1.0, -0.01),  # (DMOS - 1) / 100
    "kadid10k": (0.8, 0.0),  # (MOS - 1) / 5 of 1 to 5
    "bid": (5 / 9, 0.0),  # MOS / 9 of 0 to 5
}
"""The released code's label is factor x (label over the database's range) + offset; else 1, 0."""


def native(source: str, keep: bool) -> bool:
    """Whether labels of `source` run downwards for the model.

    >>> native("live", True), native("live@ssim", True), native("tid2013@lpips", True)
    (True, False, True)
    """
    name, _, version = source.partition("@")
    return keep and METRICS_DOWN.get(version, name in DMOS_SETS)


def model_labels(
    scores: npt.NDArray[np.floating[Any]], source: str, scale: LabelScale, keep_direction: bool
) -> Floats:
    """Quality labels of one database -> what the model is trained on and prompted with.

    `constants` takes labels normalised over the database's range (0 its worst, 1 its best).
    """
    labels = np.asarray(scores, dtype=np.float64)
    if scale == "minmax":
        low, high = (labels.min(), labels.max()) if len(labels) else (0.0, 1.0)
        labels = (labels - low) / (high - low) if high > low else np.full_like(labels, 0.5)
    if native(source, keep_direction):
        labels = 1 - labels
    if scale == "constants":
        factor, offset = CONSTANTS.get(source.partition("@")[0], (1.0, 0.0))
        labels = factor * labels + offset
    return labels


def random_scaling(
    scores: Floats, kind: Literal["none", "max", "uniform"], p: float, rng: np.random.Generator
) -> Floats:
    """Divide lists of scores (rows) with probability `p` each.

    'max': by the largest of the list (paper, Eq. 4). 'uniform': by a number between the largest
    and 1 (released code). Lists without a positive score stay.
    """
    if kind == "none":
        return scores
    largest = scores.max(axis=1)
    divisor = largest if kind == "max" else largest + rng.random(len(scores)) * (1 - largest)
    chosen = (rng.random(len(scores)) < p) & (largest > 0)
    return scores / np.where(chosen, divisor, 1.0)[:, None]


def random_flipping(scores: Floats, p: float, rng: np.random.Generator) -> Floats:
    """Turn lists of scores (rows) from MOS to DMOS, s -> 1 - s, with probability `p` each."""
    chosen = rng.random(len(scores)) < p
    return np.where(chosen[:, None], 1 - scores, scores)
