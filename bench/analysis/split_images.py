"""Stored runs → the inputs of the corrected t: sizes of splits, influences of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench.analysis.stored_predictions import NoSides, StoredPredictions
from bench.model.records import JOINT
from bench.stats import Influence, SplitSizes
from bench.stats import influences as influences_of
from bench.stats.bootstrap import same_images
from bench.stats.resampled import RESAMPLED

if TYPE_CHECKING:
    import pandas as pd

Runs = tuple[StoredPredictions, Sequence[str]]
"""Where a method's predictions lie, and its records, split by split."""


def sizes(runs: pd.DataFrame) -> SplitSizes | None:
    """The mean sizes of the splits of some runs, None where they are not known.

    `runs` are rows of `bench.store.table.load`. Methods may use a split's labels differently: the
    method that uses most counts, which is the conservative choice. Labels of several databases that
    are learnt from together are not counted: two splits share more of a small database's labels
    than of as many in a large one, and more where it has many images of one reference, and a record
    tells neither. They count as all that is left, for which the corrected t takes the most.
    """
    mean = runs[["n_pool", "n_test"]].astype(float).mean().round()
    if mean.isna().any() or (mean < 1).any():
        return None
    used = runs["n_train"].astype(float) + runs["n_val"].astype(float)
    most = used.groupby(runs["label"]).mean().max()
    mixture = bool(runs["train"].astype(str).str.contains(JOINT, regex=False).any())
    known = most == most and not (mixture and most > 0)
    return SplitSizes(int(mean["n_pool"]), int(mean["n_test"]), round(most) if known else None)


def influences(
    methods: Mapping[str, Runs], test: str, selection: str, metric: str
) -> dict[str, Influence]:
    """Method -> influence of images on its scores over the same splits.

    None where it cannot be known: a metric that is not resampled, predictions that are not there,
    groups of images that need a database which is not here, methods with scores of different
    images. None either where every split tests the same images, as official splits do and databases
    tested whole: `SplitSizes` speaks of random splits. The corrected t then takes all it can for
    correlated.
    """
    if metric not in RESAMPLED:
        return {}
    try:
        sides = {
            name: images.sides(test, list(records), selection)
            for name, (images, records) in methods.items()
        }
    except NoSides:
        return {}
    tested = next(iter(sides.values()), [])
    if len(tested) > 1 and all(same_images(tested[:1], [other]) for other in tested[1:]):
        return {}
    return influences_of(sides, metric)
