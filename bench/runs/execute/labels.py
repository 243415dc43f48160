"""Scaling of training labels, the only place that does it; test labels have no influence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from bench.util.errors import DataError

if TYPE_CHECKING:
    from bench.data.datasets.base import Dataset

Mode = Literal["minmax_train", "range", "none"]


def normalise(
    quality: npt.NDArray[np.float64],
    train: npt.NDArray[np.integer[Any]],
    mode: Mode,
    dataset: Dataset,
) -> npt.NDArray[np.float64]:
    """Quality labels of all n rows on the training scale: (n,) float64, higher is better.

    `minmax_train` maps the labels of the rows `train` to 0-1 and applies the same line to all
    others (which may then leave 0-1); `range` maps the dataset's published scale to 0-1; `none`
    keeps them. Raises `DataError` if all training labels are equal.
    """
    if mode == "none":
        return quality.copy()
    low, high = dataset.quality_range
    if mode == "minmax_train":
        low, high = float(quality[train].min()), float(quality[train].max())
    if high <= low:
        raise DataError(
            f"{dataset.info.spec}: all {len(train)} training labels are equal ({low:g})"
        )
    return (quality - low) / (high - low)
