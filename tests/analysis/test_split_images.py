"""What the corrected t learns of the images of splits."""

from __future__ import annotations

from typing import cast

import numpy as np

from bench.analysis.split_images import influences
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
