"""The monotone mappings of VQEG practice: correlation and error after a fitted logistic.

The fit scans location and scale before it polishes them (`bench.metrics.projection`), so it needs
no starting values and does not stop at the local minima that a curve fit from one start can meet.
Data are standardised inside; parameters come back in the caller's units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from bench.metrics.correlation import plcc, root_mean_square
from bench.metrics.inputs import FloatArray, finite_pair, is_constant
from bench.metrics.projection import Projected, Shape


@dataclass(frozen=True)
class LogisticFit:
    """A least-squares logistic, or the reason why there is none."""

    params: tuple[float, ...]
    """beta1..beta4 of `logistic4` or beta1..beta5 of `logistic5`; all NaN without a fit."""
    mapped: FloatArray
    """(n,) predictions on the scale of quality; all NaN without a fit."""
    converged: bool
    """Whether there is a fit."""
    reason: str
    """Why the fit failed; empty when it converged."""
    direction: int
    """+1 where the curve rises with the prediction, -1 where it falls, 0 without a fit."""
    at_bound: bool
    """Location or scale lie on the edge of the search: the mapping holds, parameters are vague."""


def logistic4(x: npt.ArrayLike, b1: float, b2: float, b3: float, b4: float) -> FloatArray:
    """(b1 - b2) / (1 + exp(-(x - b3) / |b4|)) + b2, for x of any shape (VQEG FR-TV Phase I, 2000).

    >>> logistic4([0.0], 1.0, 0.0, 0.0, 0.5)
    array([0.5])
    """
    from scipy.special import expit

    return np.asarray(b2 + (b1 - b2) * expit((np.asarray(x, dtype=np.float64) - b3) / abs(b4)))


def logistic5(
    x: npt.ArrayLike, b1: float, b2: float, b3: float, b4: float, b5: float
) -> FloatArray:
    """b1 (1/2 - 1 / (1 + exp(b2 (x - b3)))) + b4 x + b5 (Sheikh, Sabir & Bovik, TIP 2006, eq. 1-2).

    >>> logistic5([2.0], 1.0, 1.0, 2.0, 3.0, 1.0)
    array([7.])
    """
    from scipy.special import expit

    values = np.asarray(x, dtype=np.float64)
    return np.asarray(b1 * (expit(b2 * (values - b3)) - 0.5) + b4 * values + b5)


def fit_logistic4(prediction: npt.ArrayLike, quality: npt.ArrayLike) -> LogisticFit:
    """Least-squares `logistic4` of (n,) predictions onto (n,) quality.

    No fit (`converged` False, NaN, `reason`) when n <= 4, when either side is constant, or when
    the solver does not converge. The scale b4 is at least 0.05 of the spread of the predictions
    (interquartile range / 1.35, or the standard deviation where that is smaller) and at most 100
    standard deviations, the location at most 10 of them outside their range: within these bounds
    it is the best of a global search. Raises `ValueError` as `srcc`.

    >>> x = np.linspace(-3, 3, 40)
    >>> fit = fit_logistic4(x, logistic4(x, 90, 10, 0.5, 0.7))
    >>> [round(b, 3) for b in fit.params], fit.converged
    ([90.0, 10.0, 0.5, 0.7], True)
    """
    x, y = finite_pair(prediction, quality)
    # Bytes are hashable, so that they can be the key of a cache.
    return _fitted(x.tobytes(), y.tobytes(), with_line=False)


def fit_logistic5(prediction: npt.ArrayLike, quality: npt.ArrayLike) -> LogisticFit:
    """Least-squares `logistic5` of (n,) predictions onto (n,) quality.

    As `fit_logistic4`, with a linear term: no fit when n <= 5; b2 is positive (its sign is that of
    b1 otherwise). The curve need not be monotone; `direction` is then that of its linear trend.

    >>> x = np.linspace(-3, 3, 40)
    >>> fit = fit_logistic5(x, logistic5(x, 40, 3, 0.5, 2, 50))
    >>> [round(b, 3) for b in fit.params], fit.direction
    ([40.0, 3.0, 0.5, 2.0, 50.0], 1)
    """
    x, y = finite_pair(prediction, quality)
    return _fitted(x.tobytes(), y.tobytes(), with_line=True)


def plcc_logistic4(prediction: npt.ArrayLike, quality: npt.ArrayLike) -> float:
    """PLCC of (n,) quality and (n,) predictions mapped by `fit_logistic4`; in [-1, 1].

    A least-squares curve may fall, which would hide a predictor that runs the wrong way behind a
    positive number; the value then carries a minus sign. NaN when there is no fit (its `reason`
    tells why) or the mapping is flat. Raises as `srcc`.

    >>> x = np.arange(8.0)
    >>> round(plcc_logistic4(x, x**3), 3), round(plcc_logistic4(-x, x**3), 3)
    (1.0, -1.0)
    """
    return _fitted_plcc(fit_logistic4(prediction, quality), quality)


def plcc_logistic5(prediction: npt.ArrayLike, quality: npt.ArrayLike) -> float:
    """PLCC of (n,) quality and (n,) predictions mapped by `fit_logistic5`; in [-1, 1].

    The sign is that of the curve's linear trend, which for least squares is that of the raw PLCC.
    NaN and errors as `plcc_logistic4`.

    >>> x = np.arange(8.0)
    >>> round(plcc_logistic5(x, x**3), 3)
    1.0
    """
    return _fitted_plcc(fit_logistic5(prediction, quality), quality)


def rmse_logistic4(prediction: npt.ArrayLike, quality: npt.ArrayLike) -> float:
    """RMSE of `fit_logistic4`, in the units of quality, in [0, inf); NaN when there is no fit.

    >>> x = np.linspace(-3, 3, 40)
    >>> round(rmse_logistic4(x, logistic4(x, 90, 10, 0.5, 0.7)), 6)
    0.0
    """
    return _fitted_rmse(fit_logistic4(prediction, quality), quality)


def rmse_logistic5(prediction: npt.ArrayLike, quality: npt.ArrayLike) -> float:
    """RMSE of `fit_logistic5`, in the units of quality, in [0, inf); NaN when there is no fit.

    >>> rmse_logistic5([1, 2, 3, 4], [1, 2, 3, 4])
    nan
    """
    return _fitted_rmse(fit_logistic5(prediction, quality), quality)


def _fitted_plcc(fit: LogisticFit, quality: npt.ArrayLike) -> float:
    return fit.direction * plcc(fit.mapped, quality) if fit.converged else math.nan


def _fitted_rmse(fit: LogisticFit, quality: npt.ArrayLike) -> float:
    if not fit.converged:
        return math.nan
    return root_mean_square(fit.mapped - np.asarray(quality, dtype=np.float64))


@lru_cache(maxsize=4)
def _fitted(x: bytes, y: bytes, *, with_line: bool) -> LogisticFit:
    """Correlation and error of one curve are asked for one after the other; a fit takes longest."""
    found = _fit(np.frombuffer(x), np.frombuffer(y), with_line=with_line)
    found.mapped.setflags(write=False)
    return found


def _fit(x: FloatArray, y: FloatArray, *, with_line: bool) -> LogisticFit:
    size = 5 if with_line else 4
    reason = _no_fit(x, y, size)
    if reason:
        return _failed(x.size, size, reason)
    scaled = (x - x.mean()) / x.std()
    found = Projected(scaled, (y - y.mean()) / y.std(), with_line).solve()
    if not found.converged:
        return _failed(x.size, size, f"the solver did not converge: {found.message}")
    mapped = np.asarray(y.mean() + y.std() * found.mapped)
    # Least squares also fits a falling curve, which a correlation after mapping would hide.
    direction = 1 if float(found.mapped @ scaled) >= 0 else -1
    params = (_params5 if with_line else _params4)(found.shape, x, y)
    return LogisticFit(params, mapped, True, "", direction, found.at_bound)


def _params4(shape: Shape, x: FloatArray, y: FloatArray) -> tuple[float, ...]:
    floor = y.mean() + y.std() * shape.constant
    top = floor + y.std() * shape.height
    location = x.mean() + x.std() * shape.location
    return tuple(map(float, (top, floor, location, x.std() * shape.scale)))


def _params5(shape: Shape, x: FloatArray, y: FloatArray) -> tuple[float, ...]:
    location = x.mean() + x.std() * shape.location
    slope = y.std() * shape.slope / x.std()
    # The published form subtracts 1/2 from the sigmoid and takes the line at x = 0.
    middle = y.mean() + y.std() * (shape.constant + shape.height / 2) - slope * x.mean()
    steepness = 1 / (x.std() * shape.scale)
    return tuple(map(float, (y.std() * shape.height, steepness, location, slope, middle)))


def _no_fit(x: FloatArray, y: FloatArray, size: int) -> str:
    if x.size <= size:
        return f"{x.size} images do not determine {size} parameters"
    if is_constant(x):
        return "the prediction is constant"
    if is_constant(y):
        return "the quality is constant"
    with np.errstate(over="ignore", under="ignore"):
        spreads = float(x.std()), float(y.std())
    # Squares of values near the ends of the float range overflow or vanish.
    return "" if all(0 < spread < math.inf for spread in spreads) else "the spread is out of range"


def _failed(n: int, size: int, reason: str) -> LogisticFit:
    return LogisticFit((math.nan,) * size, np.full(n, math.nan), False, reason, 0, False)
