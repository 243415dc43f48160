"""The checks that every metric and statistic makes on its input."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# scipy.stats.pearsonr warns below this relative spread: what is left is rounding, not signal.
NO_SPREAD = 1e-13


def finite_vector(values: npt.ArrayLike, name: str, minimum: int = 1) -> FloatArray:
    """`values` as a (n,) float64 array.

    Raises `ValueError` for another shape, fewer than `minimum` values, or a value that is NaN or
    infinite (the message gives their number and the index of the first).

    >>> finite_vector([1, 2], "quality")
    array([1., 2.])
    >>> finite_vector([1, float("nan"), float("inf")], "prediction")
    Traceback (most recent call last):
    ValueError: prediction: 2 of 3 values are NaN or infinite, the first at index 1
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name}: expected one dimension, got shape {array.shape}")
    if array.size < minimum:
        raise ValueError(f"{name}: needs at least {minimum} values, got {array.size}")
    require_finite(array, name)
    return array


def require_finite(array: FloatArray, name: str) -> None:
    """Raise `ValueError` when `array` (any shape) holds NaN or infinity; indices are flat."""
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise ValueError(
            f"{name}: {bad.size} of {array.size} values are NaN or infinite, "
            f"the first at index {bad[0]}"
        )


def finite_pair(
    prediction: npt.ArrayLike, quality: npt.ArrayLike, minimum: int = 3
) -> tuple[FloatArray, FloatArray]:
    """Both as (n,) float64 arrays of one length, n >= `minimum`.

    Raises `ValueError` as `finite_vector` does, and for different lengths. Three is the default
    because a rank correlation of two images can only be -1 or 1.

    >>> finite_pair([1, 2, 3], [1, 2])
    Traceback (most recent call last):
    ValueError: prediction has 3 values, quality 2
    """
    first = finite_vector(prediction, "prediction")
    second = finite_vector(quality, "quality")
    if first.size != second.size:
        raise ValueError(f"prediction has {first.size} values, quality {second.size}")
    if first.size < minimum:
        raise ValueError(f"needs at least {minimum} images, got {first.size}")
    return first, second


def is_constant(values: FloatArray) -> bool:
    """Whether (n,) `values` do not vary beyond rounding (relative deviation under 1e-13).

    >>> is_constant(np.full(4, 0.1)), is_constant(np.array([1.0, 1.0, 1.5]))
    (True, False)
    """
    low, high = float(values.min()), float(values.max())
    # Halved first: the difference of two huge finite values may itself be infinite.
    return high / 2 - low / 2 <= NO_SPREAD * max(abs(low), abs(high)) / 2


def unit_scale(values: FloatArray) -> FloatArray:
    """(n,) `values`, centred and divided by their largest deviation: no overflow when squared.

    >>> unit_scale(np.array([0.0, 5e300, 1e301]))
    array([-1.,  0.,  1.])
    """
    scaled = values / np.abs(values).max()
    centred = scaled - scaled.mean()
    return np.asarray(centred / np.abs(centred).max())
