"""What the corrected t learns of the images of splits."""

from __future__ import annotations

from typing import cast

import numpy as np
import pandas as pd

from bench.analysis.split_images import influences, sizes
from bench.analysis.stored_predictions import StoredPredictions
from bench.stats.bootstrap import Side

QUALITY = np.random.default_rng(0).permutation(12).astype(float)


class Sides:
    """Predictions that tell the quality of the images that each split tests, with noise."""

    def __init__(self, tested: list[list[int]], seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.found = [
            Side(QUALITY[images] + rng.normal(size=len(images)), QUALITY[images], np.array(images))
            for images in tested
        ]

    def sides(self, test: str, records: list[str], selection: str) -> list[Side]:
        return self.found


def of(tested: list[list[int]]) -> dict[str, object]:
    runs = {
        name: (cast(StoredPredictions, Sides(tested, seed)), ["r1", "r2"])
        for seed, name in enumerate(("a", "b"))
    }
    return dict(influences(runs, "livec", "last", "srcc"))


def test_splits_that_test_the_same_images_are_not_random() -> None:
    whole = list(range(12))
    assert of([whole, whole]) == {}
    assert set(of([whole[:6], whole[3:9]])) == {"a", "b"}


def table(train: str, used: int) -> pd.DataFrame:
    """Two runs of a method that is tested on 20 of 100 images."""
    row = {"label": "a", "train": train, "n_pool": 80, "n_test": 20, "n_train": used, "n_val": 0}
    return pd.DataFrame([row, row])


def test_labels_of_databases_learnt_from_together_count_as_all_that_is_left() -> None:
    alone = sizes(table("livec", 10))
    assert alone is not None
    assert (alone.labelled, alone.budgeted()) == (10, True)
    # Ten labels of livec's 100 images and ten of a database of 20 images: two splits share a tenth
    # of the former and half of the latter, where 20 of 100 would be a fifth.
    joint = sizes(table("livec+tiny", 20))
    assert joint is not None
    assert (joint.labelled, joint.budgeted()) == (None, False)
    nothing = sizes(table("livec+tiny", 0))
    assert nothing is not None
    assert nothing.labelled == 0
