"""Label scales: where they come from, and that test labels have no say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.datasets.base import Dataset, DatasetInfo, Label, complete
from bench.runs.execute.labels import normalise
from bench.util.errors import DataError


def dataset(scores: list[float], label: Label = "mos", low: float = 0, high: float = 10) -> Dataset:
    info = DatasetInfo("x", "x", "user", label, low, high, 0, "", "", "", ("x",))
    table = pd.DataFrame({"image": [f"{i}.png" for i in range(len(scores))], "score": scores})
    return Dataset(info, Path(), complete(table, info))


def test_minmax_maps_the_training_labels_to_the_unit_interval():
    data = dataset([2, 4, 6, 10])
    scaled = normalise(data.quality, np.array([0, 1, 2]), "minmax_train", data)
    assert scaled.tolist() == [0, 0.5, 1, 2]


def test_range_uses_the_published_scale():
    data = dataset([2, 4, 6, 10])
    assert normalise(data.quality, np.array([0]), "range", data).tolist() == [0.2, 0.4, 0.6, 1]


def test_none_keeps_labels_and_makes_a_copy():
    data = dataset([2, 4])
    scaled = normalise(data.quality, np.array([0]), "none", data)
    assert scaled.tolist() == [2, 4]
    scaled[0] = 9
    assert data.quality[0] == 2


@pytest.mark.parametrize("mode", ["minmax_train", "range"])
def test_dmos_runs_upwards(mode):
    data = dataset([10, 5, 0], "dmos")
    scaled = normalise(data.quality, np.arange(3), mode, data)
    assert scaled.tolist() == [0, 0.5, 1]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 10), min_size=3, max_size=20), st.floats(0, 10))
def test_test_labels_have_no_say(scores, other):
    scores = [0.0, 10.0, *scores]
    train = np.arange(len(scores) - 1)
    one, two = dataset(scores), dataset([*scores[:-1], other])
    first = normalise(one.quality, train, "minmax_train", one)
    second = normalise(two.quality, train, "minmax_train", two)
    assert first[train].tolist() == second[train].tolist()


def test_equal_training_labels_cannot_be_scaled():
    data = dataset([3, 3, 5])
    with pytest.raises(DataError, match="all 2 training labels are equal"):
        normalise(data.quality, np.array([0, 1]), "minmax_train", data)
