"""Single ratings of a database, and what is known of how sure its scores are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ratings:
    """How often each rating was given to each image."""

    images: tuple[str, ...]
    levels: FloatArray
    """(l,) ratings that occur, ascending, on the scale of the default label version."""
    counts: npt.NDArray[np.int64]
    """(n, l) how many raters gave each."""

    def of(self, images: Sequence[str]) -> Ratings:
        """The ratings of some images, in their order. Raises `KeyError` for others."""
        place = {name: row for row, name in enumerate(self.images)}
        rows = [place[name] for name in images]
        return Ratings(tuple(images), self.levels, self.counts[rows])

    @property
    def raters(self) -> FloatArray:
        """(n,) numbers of ratings."""
        return np.asarray(self.counts.sum(axis=1), dtype=np.float64)

    @property
    def mean(self) -> FloatArray:
        """(n,) mean ratings; NaN without ratings."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.counts @ self.levels / self.raters)

    @property
    def std(self) -> FloatArray:
        """(n,) standard deviations of the single ratings (n - 1); NaN for fewer than two."""
        squares = self.counts @ self.levels**2 - self.raters * self.mean**2
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.sqrt(np.clip(squares, 0, None) / (self.raters - 1))
        return np.where(self.raters > 1, spread, np.nan)


def of_rows(images: Sequence[str], rows: Sequence[npt.ArrayLike]) -> Ratings:
    """`Ratings` of lists of single ratings, image by image; NaN are ratings not given.

    >>> of_rows(["a", "b"], [[1, 2, 2], [3, float("nan")]]).counts.tolist()
    [[1, 2, 0], [0, 0, 1]]
    """
    arrays = [np.asarray(row, dtype=np.float64) for row in rows]
    arrays = [row[np.isfinite(row)] for row in arrays]
    levels, codes = np.unique(np.concatenate([*arrays, np.empty(0)]), return_inverse=True)
    counts = np.zeros((len(arrays), levels.size), dtype=np.int64)
    owners = np.repeat(np.arange(len(arrays)), [row.size for row in arrays])
    np.add.at(counts, (owners, codes), 1)
    return Ratings(tuple(images), levels, counts)


def rating_std(spread: FloatArray, raters: FloatArray, kind: str) -> FloatArray:
    """(n,) standard deviations of single ratings from what a database ships as `spread`.

    `kind` is `DatasetInfo.spread_kind`: deviation, variance, or error of the mean (which needs the
    number of raters). NaN where it is not known which, and where a number is missing or negative.
    """
    known = np.where(spread >= 0, spread, np.nan)
    if kind == "std":
        return known
    if kind == "variance":
        return np.asarray(np.sqrt(known))
    if kind == "error":
        return np.asarray(known * np.sqrt(raters))
    return np.full(spread.shape, np.nan)
