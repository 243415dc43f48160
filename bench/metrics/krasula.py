"""Krasula's analysis: can a metric tell which pairs differ, and which of two is better?

L. Krasula, K. Fliegel, P. Le Callet, M. Klima, "On the accuracy of objective image and video
quality models: New methodology for performance evaluation", QoMEX 2016. Unlike a correlation it
knows that a human score has an uncertainty, and asks nothing where the observers did not agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from bench.metrics.inputs import FloatArray, finite_pair, finite_vector
from bench.metrics.known import Known


@dataclass(frozen=True)
class Krasula:
    """The two areas under the ROC curve, and what they rest on."""

    auc_different_similar: float
    """In [0, 1], 0.5 is chance: is |difference of predictions| larger for pairs that differ?"""
    auc_better_worse: float
    """In [0, 1], 0.5 is chance: does the sign and size of the difference tell the better image?"""
    correct_sign_rate: float
    """In [0, 1]: share of different pairs ordered as the observers did (C0); a tie counts half."""
    n_different: int
    """Pairs that observers told apart."""
    n_similar: int
    """Pairs that they did not."""
    threshold_z: float
    """Pairs with |z| above this count as different."""


def krasula(
    prediction: npt.ArrayLike,
    mos: npt.ArrayLike,
    std: npt.ArrayLike,
    raters: npt.ArrayLike,
    confidence: float = 0.95,
) -> Krasula:
    """Different/similar and better/worse AUC of (n,) predictions.

    `mos` is (n,), higher is better; `std` (n,) the standard deviation of the single ratings of an
    image (not of their mean; for a set that publishes variances take the root); `raters` the number
    of ratings, one number or (n,). A pair is different when
    |mos_i - mos_j| / sqrt(std_i^2 / raters_i + std_j^2 / raters_j) exceeds the two-sided normal
    quantile of `confidence` (1.96 for 0.95). All n(n-1)/2 pairs count, each in both orders for
    better/worse, so that the order of the images is of no account. Ties count half, so a constant
    prediction gets 0.5. An AUC with no different or no similar pair is NaN.

    Raises `ValueError` for NaN or infinite input, different lengths, n < 3, negative `std`,
    `raters` < 1, `confidence` outside (0, 1). Memory about 24 bytes a pair: 50 MB for 2,000
    images, 1.2 GB for 10,000.

    >>> result = krasula([1, 2, 3, 4], [10, 11, 30, 31], [5, 5, 5, 5], raters=20)
    >>> result.auc_different_similar, result.auc_better_worse, result.n_different
    (0.875, 1.0, 4)
    """
    predicted, human = finite_pair(prediction, mos)
    variance = _variance_of_mean(std, raters, human.size)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {confidence}")
    threshold = NormalDist().inv_cdf((1 + confidence) / 2)
    different, similar = _pairs(predicted, human, variance, threshold)
    return Krasula(
        auc_different_similar=_auc(np.abs(different), similar),
        auc_better_worse=_auc(different, -different),
        correct_sign_rate=_correct(different),
        n_different=different.size,
        n_similar=similar.size,
        threshold_z=threshold,
    )


def auc_ds(prediction: npt.ArrayLike, quality: npt.ArrayLike, known: Known) -> float:
    """`Krasula.auc_different_similar` of (n,) predictions, for tables."""
    return _of(prediction, quality, known).auc_different_similar


def auc_bw(prediction: npt.ArrayLike, quality: npt.ArrayLike, known: Known) -> float:
    """`Krasula.auc_better_worse` of (n,) predictions, for tables."""
    return _of(prediction, quality, known).auc_better_worse


def _of(prediction: npt.ArrayLike, quality: npt.ArrayLike, known: Known) -> Krasula:
    assert known.std is not None
    assert known.raters is not None
    return krasula(prediction, quality, known.std, known.raters)


@dataclass(frozen=True)
class AucDifference:
    """One area under the curve of two methods on the same images."""

    difference: float
    """First minus second."""
    error: float
    """Standard error of the difference, over images."""
    p_value: float
    """Two-sided, normal; 1 for equal predictions, NaN where an area is undefined."""


def krasula_difference(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    mos: npt.ArrayLike,
    std: npt.ArrayLike,
    raters: npt.ArrayLike,
    confidence: float = 0.95,
) -> tuple[AucDifference, AucDifference]:
    """Different/similar and better/worse AUC of `first` minus those of `second`, with significance.

    The paper takes the test of Hanley & McNeil (1983), which counts pairs of images as independent
    cases. They are not: n images make n (n - 1) / 2 pairs. Here the placement values of DeLong et
    al. (Biometrics 44, 1988) are summed over the pairs that an image is part of, which gives the
    image's influence on the area (Hajek's projection of a statistic of pairs), and the variance is
    that over images. Arguments and errors as `krasula`.
    """
    results = []
    one, human = finite_pair(first, mos)
    other, _ = finite_pair(second, mos)
    variance = _variance_of_mean(std, raters, human.size)
    threshold = NormalDist().inv_cdf((1 + confidence) / 2)
    rows, columns = np.triu_indices(human.size, 1)
    gap = human[rows] - human[columns]
    differs = np.abs(gap) > threshold * np.sqrt(variance[rows] + variance[columns])
    for better_worse in (False, True):
        found = [
            _influence(values, gap, differs, rows, columns, better_worse) for values in (one, other)
        ]
        results.append(_compared(*found))
    return results[0], results[1]


def _influence(
    values: FloatArray,
    gap: FloatArray,
    differs: npt.NDArray[np.bool_],
    rows: npt.NDArray[np.intp],
    columns: npt.NDArray[np.intp],
    better_worse: bool,
) -> tuple[float, FloatArray]:
    """An area and what each image adds to it, (n,)."""
    delta = (values[rows] - values[columns]) * np.sign(gap)
    positive = delta[differs] if better_worse else np.abs(delta[differs])
    negative = -delta[differs] if better_worse else np.abs(delta[~differs])
    area = _auc(positive, negative)
    if math.isnan(area):
        return area, np.full(values.size, math.nan)
    above = _placements(positive, negative) - area
    below = _placements(-negative, -positive) - area
    influence = np.zeros(values.size)
    others = differs if better_worse else ~differs
    for pairs, shares in ((differs, above), (others, below)):
        for ends in (rows[pairs], columns[pairs]):
            influence += np.bincount(ends, shares, values.size) / shares.size
    return area, influence


def _placements(asked: FloatArray, others: FloatArray) -> FloatArray:
    """For each value the share of `others` below it, equal ones counting half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, asked, side="left")
    upto = np.searchsorted(ordered, asked, side="right")
    return np.asarray((below + upto) / 2 / others.size)


def _compared(first: tuple[float, FloatArray], second: tuple[float, FloatArray]) -> AucDifference:
    difference = first[0] - second[0]
    spread = first[1] - second[1]
    n = spread.size
    error = math.sqrt(float(spread @ spread) * n / (n - 1))
    if math.isnan(difference) or error == 0:
        return AucDifference(difference, error, 1.0 if difference == 0 else math.nan)
    p = 2 * NormalDist().cdf(-abs(difference) / error)
    return AucDifference(difference, error, p)


def _variance_of_mean(std: npt.ArrayLike, raters: npt.ArrayLike, n: int) -> FloatArray:
    spread = finite_vector(std, "std")
    counts = np.asarray(raters, dtype=np.float64)
    counts = finite_vector(np.full(n, counts) if counts.ndim == 0 else counts, "raters")
    for name, values in (("std", spread), ("raters", counts)):
        if values.size != n:
            raise ValueError(f"{name} has {values.size} values, prediction {n}")
    if (spread < 0).any():
        raise ValueError(f"std: negative at index {int(np.argmax(spread < 0))}")
    if (counts < 1).any():
        raise ValueError(f"raters: less than 1 at index {int(np.argmax(counts < 1))}")
    return np.asarray(spread**2 / counts)


def _pairs(
    predicted: FloatArray, human: FloatArray, variance: FloatArray, threshold: float
) -> tuple[FloatArray, FloatArray]:
    """Prediction of the better minus of the worse image; |difference| of the similar pairs."""
    different, similar = [], []
    # A row at a time: whole index matrices of all pairs would take several times the memory.
    for i in range(predicted.size - 1):
        gap = human[i] - human[i + 1 :]
        error = np.sqrt(variance[i] + variance[i + 1 :])
        delta = predicted[i] - predicted[i + 1 :]
        # Multiplied out, so that two certain and equal scores are similar and not 0 / 0.
        differs = np.abs(gap) > threshold * error
        different.append((delta * np.sign(gap))[differs])
        similar.append(np.abs(delta[~differs]))
    return np.concatenate(different), np.concatenate(similar)


def _auc(positive: FloatArray, negative: FloatArray) -> float:
    """P(positive > negative) + P(equal) / 2 over all combinations: Mann-Whitney's U, scaled."""
    if not positive.size or not negative.size:
        return math.nan
    ordered = np.sort(negative)
    asked = np.sort(positive)  # sorted questions keep the searches in cache
    below = np.searchsorted(ordered, asked, side="left").sum(dtype=np.float64)
    upto = np.searchsorted(ordered, asked, side="right").sum(dtype=np.float64)
    return float((below + upto) / 2 / positive.size / negative.size)


def _correct(different: FloatArray) -> float:
    return float((np.sign(different).mean() + 1) / 2) if different.size else math.nan
