"""The labelled images that form the prompt (ISPP), and ways of spoiling it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bench.api import Pixels

if TYPE_CHECKING:
    from bench.methods.promptiqa.settings import Perturbation, Selection

Indices = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]


def interval_positions(total: int, size: int) -> list[int]:
    """Positions in ascending order of score, by the released code's rule.

    Steps of (total - 2) // (size - 2) from the worst until size - 1 positions are there, then the
    best. If the steps end just before the best, the two best images are neighbours.

    >>> interval_positions(8058, 10)
    [0, 1007, 2014, 3021, 4028, 5035, 6042, 7049, 8056, 8057]
    """
    if size >= total:
        return list(range(total))
    if size <= 2:
        return [0, total - 1][-size:]
    step = (total - 2) // (size - 2)
    return [*range(0, step * (size - 1), step), total - 1]


def even_positions(total: int, size: int) -> list[int]:
    """Positions at equal steps from the worst to the best.

    >>> even_positions(9, 3)
    [0, 4, 8]
    """
    if size >= total:
        return list(range(total))
    if size == 1:
        return [(total - 1) // 2]
    return [int(np.floor(place + 0.5)) for place in np.linspace(0, total - 1, size)]


def select(
    scores: npt.NDArray[np.floating[Any]],
    names: Sequence[str],
    size: int,
    selection: Selection,
    rng: np.random.Generator,
) -> Indices:
    """Rows of the ISPs; all rows if `size` exceeds their number. Ties in score go by name."""
    order = np.array(sorted(range(len(names)), key=lambda row: (float(scores[row]), names[row])))
    if selection == "random":
        positions = sorted(rng.permutation(len(names))[:size].tolist())
    elif selection == "interval":
        positions = interval_positions(len(names), size)
    else:
        positions = even_positions(len(names), size)
    return order[np.array(positions, dtype=np.intp)]


def perturb(
    pixels: Sequence[Pixels], scores: Floats, kind: Perturbation, rng: np.random.Generator
) -> tuple[list[Pixels], Floats]:
    """The prompt's images and 0-1 scores with one or both replaced (paper, Table 5).

    Random images are uniform noise of the same size, random scores uniform in 0 to 1.
    """
    images = list(pixels)
    if kind in ("images", "both"):
        images = [rng.integers(0, 256, image.shape, dtype=np.uint8) for image in images]
    if kind in ("scores", "both"):
        scores = rng.random(len(scores))
    if kind == "inverted":
        scores = 1 - scores
    return images, scores
