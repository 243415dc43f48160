"""Fitted regressors as plain arrays, and the choice among them by cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Head = dict[str, Array]
"""`mean`, `spread`, and `offset` with `weights` (d,) or with `support` (s, d), `weights` (s,) and
`gamma`; or `support` (s, d), their labels `weights` (s,), and how many `neighbours` count."""

FOLDS = 5


def respond(head: Head, x: Array) -> Array:
    """A head's answer to standardised features (n, d), (n,)."""
    if "neighbours" in head:
        return _nearest(head, x)
    kernel = x
    if "support" in head:
        kernel = x @ head["support"].T
        if "gamma" in head:
            squares = (x**2).sum(axis=1)[:, None] + (head["support"] ** 2).sum(axis=1)
            kernel = np.exp(-head["gamma"] * np.maximum(squares - 2 * kernel, 0))
    return np.asarray(kernel @ head["weights"] + head["offset"])


def _nearest(head: Head, x: Array) -> Array:
    """The mean label of the nearest by cosine, weighted by 1 + cosine, so that few scores tie."""
    count, labels = int(head["neighbours"][0]), head["weights"]
    alike = _directions(x) @ _directions(head["support"]).T
    nearest = np.argpartition(-alike, count - 1, axis=1)[:, :count]
    weights = 1 + np.take_along_axis(alike, nearest, axis=1)
    return np.asarray((weights * labels[nearest]).sum(axis=1) / weights.sum(axis=1))


def _directions(x: Array) -> Array:
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12))


def chosen(candidates: Sequence[Any], x: Array, y: Array, groups: Sequence[str]) -> Any:
    """The regressor with the least squared error on held-out groups of the training images.

    Images of one group are held out together, in up to five parts of about one size. With fewer
    than two groups it is the middle candidate. Candidates must not depend on a rotation of the
    features (n, d): if there are more features than images, they are rotated into n features with
    equal distances and products.
    """
    from sklearn.model_selection import GroupKFold, cross_val_score

    parts = _parts(groups)
    if len(candidates) == 1 or parts < 2:
        return candidates[len(candidates) // 2]
    turned = np.asarray(np.linalg.qr(x.T, mode="r")).T if x.shape[1] > len(x) else x

    def score(candidate: Any) -> float:
        folds, kind = GroupKFold(parts), "neg_mean_squared_error"
        found = cross_val_score(candidate, turned, y, groups=groups, cv=folds, scoring=kind)
        return float(found.mean())

    return max(candidates, key=score)


def fewest(groups: Sequence[str]) -> int:
    """Least number of images that are fitted when `chosen` holds some out; all if it holds out
    none."""
    from sklearn.model_selection import GroupKFold

    parts, count = _parts(groups), len(groups)
    if parts < 2:
        return count
    return min(len(fitted) for fitted, _ in GroupKFold(parts).split(groups, groups=groups))


def _parts(groups: Sequence[str]) -> int:
    return min(FOLDS, len(set(groups)))
