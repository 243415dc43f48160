"""Errors seen against the raters' uncertainty, after ITU-T P.1401 (01/2020), and the mapping.

An objective model is not asked for more than the subjective test can tell: an error inside the 95 %
confidence interval of a mean opinion score is none. P.1401 compares scores on one scale, so the
predictions are mapped first by a fitted curve. Which images it is fitted on changes the number:
fitted on the test images (VQEG practice, the default of papers) it flatters, fitted on validation
images it does not. The names say which: `or` and `rmse_eps` on test, `..._val` on validation.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from bench.metrics.correlation import plcc, root_mean_square
from bench.metrics.inputs import FloatArray, finite_pair
from bench.metrics.known import Known
from bench.metrics.logistic import (
    LogisticFit,
    fit_logistic4,
    fit_logistic5,
    logistic4,
    logistic5,
)

FREEDOM = 4
"""Degrees of freedom of the mapping fitted on test, taken off N in `rmse_eps` (P.1401, 7.5.1)."""
NORMAL_FROM = 30
"""Ratings of an image from which P.1401 takes the normal quantile in place of Student's."""
Mapped = Callable[[npt.ArrayLike, npt.ArrayLike, Known], FloatArray | None]


def confidence_half_width(std: npt.ArrayLike, raters: npt.ArrayLike) -> FloatArray:
    """(n,) half widths of the 95 % confidence intervals of mean opinion scores, P.1401, 7.4.

    q std / sqrt(M) for M ratings, with q = t(0.975, M - 1) below 30 ratings and the normal 1.96
    from there on (Appendix III); NaN for fewer than two.

    >>> confidence_half_width([1.0, 1.0], [25.0, 100.0]).round(4)
    array([0.4128, 0.196 ])
    """
    from scipy.special import ndtri, stdtrit

    counts = np.asarray(raters, dtype=np.float64)
    usable = np.where(counts >= 2, counts, np.nan)
    quantile = np.where(usable < NORMAL_FROM, stdtrit(usable - 1, 0.975), ndtri(0.975))
    return np.asarray(quantile * np.asarray(std, dtype=np.float64) / np.sqrt(usable))


def on_test(prediction: npt.ArrayLike, quality: npt.ArrayLike, known: Known) -> FloatArray | None:
    """Predictions on the scale of quality, by `fit_logistic4` on these images, or None."""
    fit = fit_logistic4(prediction, quality)
    return fit.mapped if fit.converged else None


def on_validation(
    prediction: npt.ArrayLike, quality: npt.ArrayLike, known: Known
) -> FloatArray | None:
    """The same by `fit_logistic4` on validation images; None without a fit."""
    return _validated(fit_logistic4, logistic4, prediction, known)[0]


def epsilon_errors(
    mapped: npt.ArrayLike, quality: npt.ArrayLike, std: npt.ArrayLike, raters: npt.ArrayLike
) -> FloatArray:
    """(n,) errors beyond the confidence interval: max(0, |quality - mapped| - ci95), P.1401, 7.7
    (equation 7-27).

    >>> epsilon_errors([1.0, 3.0], [2.0, 3.1], [1.0, 1.0], [25.0, 25.0]).round(4)
    array([0.5872, 0.    ])
    """
    error = np.abs(np.asarray(mapped, dtype=np.float64) - np.asarray(quality, dtype=np.float64))
    return np.asarray(np.clip(error - confidence_half_width(std, raters), 0, None))


def outlier_ratio(
    prediction: npt.ArrayLike, quality: npt.ArrayLike, known: Known, mapped: Mapped = on_test
) -> float:
    """Share of images whose error exceeds the 95 % confidence interval of their score, P.1401,
    7.5.2.2; in [0, 1], lower is better. NaN where the mapping has no fit. Raises as `srcc`.
    """
    errors = _epsilon(prediction, quality, known, mapped)
    return math.nan if errors is None else float((errors > 0).mean())


def rmse_epsilon(
    prediction: npt.ArrayLike,
    quality: npt.ArrayLike,
    known: Known,
    mapped: Mapped = on_test,
    freedom: int = FREEDOM,
) -> float:
    """Epsilon-insensitive RMSE, P.1401, 7.7 (equation 7-29): sqrt(sum(epsilon_errors^2) / (n -
    freedom)), `freedom` being the coefficients of the mapping.

    In the units of quality, in [0, inf), lower is better. NaN where the mapping has no fit or
    `freedom` leaves no image. Raises as `srcc`.
    """
    errors = _epsilon(prediction, quality, known, mapped)
    if errors is None or errors.size <= freedom:
        return math.nan
    return root_mean_square(errors) * math.sqrt(errors.size / (errors.size - freedom))


def outlier_ratio_val(prediction: npt.ArrayLike, quality: npt.ArrayLike, known: Known) -> float:
    """`outlier_ratio` with the mapping fitted on validation images."""
    return outlier_ratio(prediction, quality, known, on_validation)


def rmse_epsilon_val(prediction: npt.ArrayLike, quality: npt.ArrayLike, known: Known) -> float:
    """`rmse_epsilon` with the mapping fitted on validation images, which costs test no freedom."""
    return rmse_epsilon(prediction, quality, known, on_validation, freedom=0)


def plcc_logistic4_val(prediction: npt.ArrayLike, quality: npt.ArrayLike, known: Known) -> float:
    """`plcc_logistic4` with the mapping fitted on validation images."""
    return _plcc(fit_logistic4, logistic4, prediction, quality, known)


def plcc_logistic5_val(prediction: npt.ArrayLike, quality: npt.ArrayLike, known: Known) -> float:
    """`plcc_logistic5` with the mapping fitted on validation images."""
    return _plcc(fit_logistic5, logistic5, prediction, quality, known)


def rmse_logistic4_val(prediction: npt.ArrayLike, quality: npt.ArrayLike, known: Known) -> float:
    """`rmse_logistic4` with the mapping fitted on validation images."""
    return _rmse(fit_logistic4, logistic4, prediction, quality, known)


def rmse_logistic5_val(prediction: npt.ArrayLike, quality: npt.ArrayLike, known: Known) -> float:
    """`rmse_logistic5` with the mapping fitted on validation images."""
    return _rmse(fit_logistic5, logistic5, prediction, quality, known)


def _epsilon(
    prediction: npt.ArrayLike, quality: npt.ArrayLike, known: Known, mapped: Mapped
) -> FloatArray | None:
    first, second = finite_pair(prediction, quality)
    assert known.std is not None
    assert known.raters is not None
    found = mapped(first, second, known)
    return None if found is None else epsilon_errors(found, second, known.std, known.raters)


def _validated(
    fit: Callable[..., LogisticFit],
    curve: Callable[..., FloatArray],
    prediction: npt.ArrayLike,
    known: Known,
) -> tuple[FloatArray | None, int]:
    """Predictions mapped by a curve fitted on validation images, and its direction."""
    if known.validation is None or known.validation[0].size < 3:
        return None, 0
    found = fit(*known.validation)
    return (curve(prediction, *found.params), found.direction) if found.converged else (None, 0)


def _plcc(
    fit: Callable[..., LogisticFit],
    curve: Callable[..., FloatArray],
    prediction: npt.ArrayLike,
    quality: npt.ArrayLike,
    known: Known,
) -> float:
    mapped, direction = _validated(fit, curve, prediction, known)
    return math.nan if mapped is None else direction * plcc(mapped, quality)


def _rmse(
    fit: Callable[..., LogisticFit],
    curve: Callable[..., FloatArray],
    prediction: npt.ArrayLike,
    quality: npt.ArrayLike,
    known: Known,
) -> float:
    mapped, _ = _validated(fit, curve, prediction, known)
    if mapped is None:
        return math.nan
    return root_mean_square(mapped - np.asarray(quality, dtype=np.float64))
