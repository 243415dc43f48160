"""Fitted regressors as plain arrays, and the choice among them by cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

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


def chosen(candidates: Sequence[Any], x: Array, y: Array, groups: Sequence[str]) -> Any:
    """The regressor with the least squared error on held-out groups of the training images.

    Images of one group are held out together, in up to five parts of about one size. The middle
    candidate where there are fewer than two groups.
    """
    from sklearn.model_selection import GroupKFold, cross_val_score

    parts = min(FOLDS, len(set(groups)))
    if len(candidates) == 1 or parts < 2:
        return candidates[len(candidates) // 2]

    def score(candidate: Any) -> float:
        folds, kind = GroupKFold(parts), "neg_mean_squared_error"
        found = cross_val_score(candidate, x, y, groups=groups, cv=folds, scoring=kind)
        return float(found.mean())

    return max(candidates, key=score)
