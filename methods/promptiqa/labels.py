"""Labels as PromptIQA sees them: their scale and direction in each database."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
LabelScale = Literal["minmax", "constants", "given"]
Scaling = Literal["none", "max", "uniform"]

DMOS_SETS = frozenset({"live", "csiq"})
"""Databases whose labels grow with damage; paper and released code leave them so."""
METRICS_DOWN: dict[str, bool] = {"ssim": False, "fsim": False, "lpips": True}
"""Metrics that relabel databases (`NAME@METRIC`), and whether they grow with damage."""

CONSTANTS: dict[str, tuple[float, float]] = {
    "live": (1, 100),
    "live@dmos": (1, 100),
    "csiq": (0, 1),
    "tid2013": (0, 9),
    "kadid10k": (1, 5),
    "bid": (0, 9),
    "livec": (1, 100),
    "livec@1169": (1, 100),
    "spaq": (0, 100),
    "koniq10k@100": (0, 100),
    "gfiqa20k": (0, 1),
    "agiqa3k": (0, 5),
    "aigciqa2023": (0, 100),
    "aigciqa3w": (0, 1),
    "uhdiqa": (0, 1),
    "uwiqa": (0, 1),
}
"""The released code's labels by database: (score as its authors ship it - first) / second."""


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
    """Quality labels of one database -> labels for training and prompts.

    `constants` takes scores as the database's authors ship them, DMOS negated, since labels run
    upwards here; databases that the released code has no constants for span 0 to 1, as there.
    """
    labels = np.asarray(scores, dtype=np.float64)
    downwards = native(source, keep_direction)
    if scale == "constants" and source in CONSTANTS:
        first, width = CONSTANTS[source]
        if native(source, True):
            labels = -labels
        labels = (labels - first) / width
        return labels if downwards == native(source, True) else 1 - labels
    if scale != "given":
        low, high = (labels.min(), labels.max()) if len(labels) else (0.0, 1.0)
        labels = (labels - low) / (high - low) if high > low else np.full_like(labels, 0.5)
    return 1 - labels if downwards else labels


class Draws(Protocol):
    """The source of random numbers: numpy's or Python's generator."""

    def random(self) -> float:
        """A number from 0 to 1, 1 excluded."""


def random_scaling(scores: Floats, kind: Scaling, p: float, rng: Draws) -> Floats:
    """Divide the scores (n,) of one prompt and its queries with probability `p`.

    'max': by the largest of them (paper, Eq. 4). 'uniform': by m + (1 - m) u, m the largest and u
    uniform (released code). The gate is drawn first, u only where the gate opens. Scores without a
    positive divisor stay.
    """
    if kind == "none" or rng.random() >= p:
        return scores
    largest = float(scores.max())
    divisor = largest if kind == "max" else largest + (1 - largest) * rng.random()
    return scores / divisor if divisor > 0 else scores


def random_flipping(scores: Floats, p: float, rng: Draws) -> Floats:
    """Turn the scores (n,) of one prompt and its queries, s -> 1 - s, with probability `p`."""
    return 1 - scores if rng.random() < p else scores
