"""The noise ceiling: what a perfect predictor of true quality can score against noisy raters.

Model. The score of image i is its true quality plus the mean of its raters' errors, which are
independent, have mean 0 and the variance that the ratings of image i have. True quality has the
variance that is left of the scores' when the mean error variance is taken off (classical test
theory: reliability = left / all); its distribution is that of the scores, shrunk towards their
mean. New errors are drawn onto it again and again, and the perfect predictor is scored each time.
Errors that the raters of a database share (a scale that drifts, an audience with a taste of its
own) are not in it: they lower what a predictor can reach with *other* raters, not with these.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.metrics.inputs import FloatArray, finite_pair, is_constant

DRAWS = 200
HALVES = 20
Errors = Callable[[np.random.Generator], FloatArray]


@dataclass(frozen=True)
class Ceiling:
    """The best SRCC and PLCC on a database, each with the range of 95 % of the draws."""

    srcc: float
    srcc_low: float
    srcc_high: float
    plcc: float
    plcc_low: float
    plcc_high: float
    reliability: float
    """Share of the variance of the scores that is no rater noise, in (0, 1]."""
    split_half: float
    """Mean SRCC between the scores of two random halves of the raters; NaN without ratings."""
    source: str
    """The source of the error variance."""
    reason: str = ""
    """Why there is no ceiling (numbers are NaN then); empty when there is one."""


def from_spread(
    quality: npt.ArrayLike, std: npt.ArrayLike, raters: npt.ArrayLike, seed: int = 0
) -> Ceiling:
    """The ceiling of (n,) scores from the deviation of the single ratings and their number.

    Errors are drawn from a normal distribution. No ceiling, with a reason: fewer than two ratings
    or no known spread of an image, scores without spread, noise as large as the scores' spread.

    >>> x = np.linspace(1, 5, 400)
    >>> found = from_spread(x, np.full(400, 0.8), np.full(400, 16))
    >>> round(found.plcc, 2), round(found.reliability, 2)
    (0.99, 0.97)
    """
    scores, deviations = finite_pair(quality, np.nan_to_num(np.asarray(std, float), nan=-1.0))
    counts = np.asarray(raters, dtype=np.float64)
    source = "spread and number of ratings"
    if not (counts >= 2).all():
        some = int((~(counts >= 2)).sum())
        return no_ceiling(
            f"{some} images have fewer than two ratings, or an unknown number", source
        )
    if (deviations < 0).any():
        return no_ceiling("the spread of the ratings is not known", source)
    if not deviations.any():
        return no_ceiling("the ratings have no spread: raters who all agree have no noise", source)
    errors = deviations / np.sqrt(counts)
    return _ceiling(scores, errors**2, lambda rng: rng.normal(0, errors), source, seed)


def from_ratings(levels: npt.ArrayLike, counts: npt.ArrayLike, seed: int = 0) -> Ceiling:
    """The ceiling from single ratings: (n, l) `counts` of each of the (l,) `levels`.

    Errors are those of a bootstrap over raters: new ratings of an image are drawn from its own.
    Also gives the split-half correlation, which needs no model: two halves of the raters against
    each other, so that both are noisier than the whole. Otherwise as `from_spread`.
    """
    values = np.asarray(levels, dtype=np.float64)
    given = np.asarray(counts, dtype=np.int64)
    raters = given.sum(axis=1)
    source = "single ratings"
    if (raters < 2).any():
        return no_ceiling(f"{int((raters < 2).sum())} images have fewer than two ratings", source)
    scores = given @ values / raters
    variance = (given @ values**2 - raters * scores**2) / (raters - 1)
    if not variance.any():
        return no_ceiling("the ratings have no spread: raters who all agree have no noise", source)
    shares = given / raters[:, None]
    # Drawn from n ratings, the error is a little too small: (n - 1) / n of the unbiased variance.
    widen = np.sqrt(raters / (raters - 1))

    def errors(rng: np.random.Generator) -> FloatArray:
        return np.asarray((rng.multinomial(raters, shares) @ values / raters - scores) * widen)

    found = _ceiling(scores, variance / raters, errors, source, seed)
    return found if found.reason else _with_halves(found, values, given, seed)


def _ceiling(
    scores: FloatArray, error_variance: FloatArray, errors: Errors, source: str, seed: int
) -> Ceiling:
    if scores.size < 3 or is_constant(scores):
        return no_ceiling("the scores have no spread", source)
    total, noise = float(scores.var(ddof=1)), float(error_variance.mean())
    if noise >= total:
        return no_ceiling("the raters' noise is as large as the spread of the scores", source)
    # Shrunk, so that truth plus errors varies as much as the scores.
    truth = scores.mean() + math.sqrt(1 - noise / total) * (scores - scores.mean())
    rng = np.random.default_rng(seed)
    draws = np.array([truth + errors(rng) for _ in range(DRAWS)])
    ranks = _correlations(_ranks(truth[None])[0], _ranks(draws))
    linear = _correlations(truth, draws)
    bounds = [*np.quantile(ranks, [0.025, 0.975]), *np.quantile(linear, [0.025, 0.975])]
    low, high, plcc_low, plcc_high = (float(bound) for bound in bounds)
    return Ceiling(
        srcc=float(ranks.mean()),
        srcc_low=low,
        srcc_high=high,
        plcc=float(linear.mean()),
        plcc_low=plcc_low,
        plcc_high=plcc_high,
        reliability=1 - noise / total,
        split_half=math.nan,
        source=source,
    )


def _with_halves(
    found: Ceiling, levels: FloatArray, counts: npt.NDArray[np.int64], seed: int
) -> Ceiling:
    from dataclasses import replace

    rng = np.random.default_rng(seed)
    values = []
    for _ in range(HALVES):
        first = _half(counts, rng)
        halves = np.array([half @ levels / half.sum(axis=1) for half in (first, counts - first)])
        one, other = _ranks(halves)
        values.append(float(_correlations(one, other[None])[0]))
    return replace(found, split_half=float(np.mean(values)))


def _half(counts: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Half of each image's ratings, drawn without replacement, as counts of each level."""
    # Level by level, which gives a multivariate hypergeometric draw for all images at once.
    left, wanted = counts.sum(axis=1), counts.sum(axis=1) // 2
    taken = np.zeros_like(counts)
    for level in range(counts.shape[1]):
        own = counts[:, level]
        left = left - own
        taken[:, level] = rng.hypergeometric(own, left, wanted)
        wanted = wanted - taken[:, level]
    return taken


def _ranks(rows: FloatArray) -> FloatArray:
    from scipy.stats import rankdata

    return np.asarray(rankdata(rows, axis=1), dtype=np.float64)


def _correlations(one: FloatArray, rows: FloatArray) -> FloatArray:
    x = one - one.mean()
    y = rows - rows.mean(axis=1, keepdims=True)
    return np.asarray(y @ x / np.sqrt((x @ x) * np.einsum("bi,bi->b", y, y)))


def no_ceiling(reason: str, source: str) -> Ceiling:
    """Why there is none."""
    nan = math.nan
    return Ceiling(nan, nan, nan, nan, nan, nan, nan, nan, source, reason)
