"""Which images are judged better or worse in one result set than in another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bench.analysis.stored_predictions import NoSides, StoredPredictions

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Mover:
    """One image; places are percentiles among the test images of a split, means over splits."""

    image: str
    quality: float
    """Its label, upwards."""
    label: float
    """Place by label, 0 the worst and 100 the best."""
    before: float
    """Place by the predictions of the first set."""
    now: float
    """Place by those of the second set."""
    change: float
    """Change of the distance to its label's place, in points; below zero it is nearer now."""
    splits: int
    """Splits that test it in both sets."""


def movers(
    before: StoredPredictions,
    now: StoredPredictions,
    records: Sequence[tuple[str, str]],
    selection: str,
) -> list[Mover]:
    """Every image that both sets test, from the one that came nearest to its label's place.

    `records` are pairs of runs on one split, first those of `before`. Places do not depend on the
    scale of predictions, so that methods with other scales can be compared. Raises `NoSides` where
    predictions cannot be read, or their images have no labels.
    """
    import pandas as pd

    parts = [_split(before, now, pair, selection) for pair in records]
    if not parts:
        raise NoSides("no two runs of one split have predictions")
    joined = pd.concat(parts).groupby("image", sort=False)
    means, counts = joined.mean(), joined.size()
    means = means.assign(splits=counts).sort_values("change", kind="stable")
    return [
        Mover(
            str(image),
            float(row["quality"]),
            float(row["label"]),
            float(row["before"]),
            float(row["now"]),
            float(row["change"]),
            int(row["splits"]),
        )
        for image, row in means.iterrows()
    ]


def _split(
    before: StoredPredictions, now: StoredPredictions, pair: tuple[str, str], selection: str
) -> pd.DataFrame:
    """The images of one split with their places, and how much further they are off now."""
    import pandas as pd

    old, new = before.table(pair[0]), now.table(pair[1])
    tables = [
        pd.DataFrame(
            {
                "image": table["image"].astype(str),
                "quality": table["quality"].to_numpy(np.float64),
                "prediction": source.column(table, selection),
            }
        )
        for source, table in ((before, old), (now, new))
    ]
    both = tables[0].merge(tables[1].drop(columns="quality"), on="image", suffixes=("", "_now"))
    if both.empty or not np.isfinite(both["quality"]).all():
        raise NoSides("the two sets share no image with a label")
    label = places(both["quality"].to_numpy())
    first, second = (places(both[name].to_numpy()) for name in ("prediction", "prediction_now"))
    return pd.DataFrame(
        {
            "image": both["image"],
            "quality": both["quality"],
            "label": label,
            "before": first,
            "now": second,
            "change": np.abs(second - label) - np.abs(first - label),
        }
    )


def places(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n,) places of values among each other, in (0, 100); equal values share one.

    >>> places(np.array([3.0, 1.0, 2.0, 2.0])).tolist()
    [87.5, 12.5, 50.0, 50.0]
    """
    from scipy.stats import rankdata

    return np.asarray(100 * (rankdata(values) - 0.5) / len(values))
