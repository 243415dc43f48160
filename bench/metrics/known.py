"""Facts on test images besides their scores, which some metrics need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from bench.metrics.inputs import FloatArray

Need = Literal["", "ratings", "five levels", "validation"]
"""The inputs of a metric besides predictions and quality."""
NEEDS: dict[str, str] = {
    "ratings": "the spread and number (at least two) of the ratings of every test image",
    "five levels": "scores that are plain means on a scale of five levels, from 1 to 5",
    "validation": "validation images of the tested database (`selection: val`)",
}
"""The same in words, for the message that a metric is not available."""


@dataclass(frozen=True)
class Known:
    """Facts on n test images; None if they are not known."""

    std: FloatArray | None = None
    """(n,) standard deviations of the single ratings of each image (not of their mean)."""
    raters: FloatArray | None = None
    """(n,) numbers of ratings."""
    five_levels: bool = False
    """Whether quality is a mean of ratings from 1 to 5."""
    validation: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None
    """Predictions and quality of validation images of the same database."""

    def of(self, rows: npt.NDArray[np.bool_] | Sequence[int]) -> Known:
        """The facts of some of the images, by a mask or by their places."""
        chosen = np.asarray(rows)
        std = None if self.std is None else self.std[chosen]
        raters = None if self.raters is None else self.raters[chosen]
        return replace(self, std=std, raters=raters)

    def has(self, need: Need) -> bool:
        """Whether a metric that needs this can be computed.

        >>> Known(std=np.array([1.0, 0.5]), raters=np.array([9.0, 1.0])).has("ratings")
        False
        """
        if need == "ratings":
            # One rating has no spread: what a table says of it would be taken for certainty.
            return (
                self.std is not None
                and self.raters is not None
                and bool(np.isfinite(self.std).all() and (self.raters >= 2).all())
            )
        if need == "five levels":
            return self.five_levels
        return self.validation is not None if need == "validation" else True


NOTHING = Known()
