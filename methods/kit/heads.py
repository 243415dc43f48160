"""Fitted regressors as plain arrays, and the choice among them by cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.api import Context

Array = npt.NDArray[np.float64]
Head = dict[str, Array]
"""`mean`, `spread`, `offset`, and `weights` (d,) or `support` (s, d), `weights` (s,), `gamma`."""

FOLDS = 5


def respond(head: Head, x: Array) -> Array:
    """A head's answer to standardised features (n, d), (n,)."""
    kernel = x
    if "support" in head:
        kernel = x @ head["support"].T
        if "gamma" in head:
            squares = (x**2).sum(axis=1)[:, None] + (head["support"] ** 2).sum(axis=1)
            kernel = np.exp(-head["gamma"] * np.maximum(squares - 2 * kernel, 0))
    return np.asarray(kernel @ head["weights"] + head["offset"])


def chosen(
    candidates: Sequence[Any], x: Array, y: Array, groups: Sequence[str], context: Context
) -> Any:
    """The regressor with the least squared error on held-out groups of the training images.

    The middle one where there are fewer than two groups.
    """
    from sklearn.base import clone

    parts = folds(groups, context)
    if len(candidates) == 1 or len(parts) < 2:
        return candidates[len(candidates) // 2]
    errors = np.zeros(len(candidates))
    for held in parts:
        for number, candidate in enumerate(candidates):
            fitted = clone(candidate).fit(x[~held], y[~held])
            errors[number] += float(((fitted.predict(x[held]) - y[held]) ** 2).sum())
    return candidates[int(errors.argmin())]


def folds(groups: Sequence[str], context: Context) -> list[npt.NDArray[np.bool_]]:
    """Up to five masks (n,) of held-out images; images of one group stand together."""
    names = context.rng("folds").permutation(sorted(set(groups)))
    count = min(FOLDS, len(names))
    fold = {str(name): place % count for place, name in enumerate(names)}
    numbers = np.array([fold[group] for group in groups])
    return [numbers == number for number in range(count)]
