"""Rank and linear correlation, and the error in the units of the scores."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from bench.metrics.inputs import finite_pair, is_constant, unit_scale
from bench.metrics.ranks import mean_ranks, tau_b


def srcc(prediction: npt.ArrayLike, quality: npt.ArrayLike) -> float:
    """Spearman's rank correlation (Spearman 1904) of (n,) predictions and (n,) quality.

    In [-1, 1], higher is better; blind to any increasing change of scale. Ties share their mean
    rank. The same bits as `scipy.stats.spearmanr`. NaN when either side is constant: then no order
    exists, and the caller marks the cell. Raises `ValueError` for NaN or infinite input, different
    lengths, n < 3.

    >>> round(srcc([1.0, 2.0, 3.0, 10.0], [10, 30, 20, 40]), 12)
    0.8
    >>> srcc([5, 5, 5], [1, 2, 3])
    nan
    """
    first, second = finite_pair(prediction, quality)
    if _one_value(first) or _one_value(second):
        return math.nan
    ranks = np.column_stack([mean_ranks(first), mean_ranks(second)])  # laid out as scipy does
    return _bounded(np.asarray(np.corrcoef(ranks, rowvar=False))[1, 0])


def plcc(prediction: npt.ArrayLike, quality: npt.ArrayLike) -> float:
    """Pearson's linear correlation of (n,) raw predictions and (n,) quality, with no mapping.

    In [-1, 1], higher is better; blind to scale and offset. This is what most deep BIQA papers
    report; the VQEG practice of fitting a logistic first is `plcc_logistic4`, `plcc_logistic5`.
    NaN when either side is constant or varies only by rounding (relative deviation under 1e-13,
    where scipy warns). Raises as `srcc`.

    >>> round(plcc([1, 2, 3, 4], [2, 4, 6, 9]), 4)
    0.9944
    """
    first, second = finite_pair(prediction, quality)
    if is_constant(first) or is_constant(second):
        return math.nan
    x, y = unit_scale(first), unit_scale(second)
    return _bounded(float(x @ y) / math.sqrt(float(x @ x) * float(y @ y)))


def krcc(prediction: npt.ArrayLike, quality: npt.ArrayLike) -> float:
    """Kendall's tau-b (Kendall 1945) of (n,) predictions and (n,) quality.

    In [-1, 1], higher is better: pairs ordered alike minus pairs ordered against each other, with
    tau-b's correction for ties, as `scipy.stats.kendalltau`. NaN when either side is constant.
    Raises as `srcc`.

    >>> round(krcc([1, 2, 3, 4], [10, 30, 20, 40]), 4)
    0.6667
    """
    first, second = finite_pair(prediction, quality)
    if _one_value(first) or _one_value(second):
        return math.nan
    return _bounded(tau_b(first, second))


def rmse(prediction: npt.ArrayLike, quality: npt.ArrayLike) -> float:
    """Root mean square error of (n,) predictions against (n,) quality, in the units of quality.

    In [0, inf), lower is better. It means something only for predictions on the scale of the
    scores; for others use `rmse_logistic4`, `rmse_logistic5`. Divides by n (no correction for
    degrees of freedom). Defined for constants. Raises as `srcc`.

    >>> rmse([1, 2, 3], [1, 2, 6])
    1.7320508075688772
    """
    first, second = finite_pair(prediction, quality)
    return root_mean_square(first - second)


def root_mean_square(error: npt.NDArray[np.float64]) -> float:
    """sqrt(mean(error**2)) of an (n,) array, without overflow of the squares.

    >>> root_mean_square(np.array([5e200, -5e200]))
    5e+200
    """
    largest = float(np.abs(error).max())
    if largest == 0 or math.isinf(largest):
        return largest
    return largest * math.sqrt(float(np.mean((error / largest) ** 2)))


def _one_value(values: npt.NDArray[np.float64]) -> bool:
    # Ranks see any difference, however small, so only equality makes a rank correlation undefined.
    return bool((values == values[0]).all())


def _bounded(value: float) -> float:
    # Rounding can leave 1.0000000000000002, which breaks arccos and surprises a reader.
    return min(1.0, max(-1.0, float(value)))
