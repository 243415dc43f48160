"""Methods whose rank is known: alone, and in a table of the real command line."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import registry
from bench.api import Context, LabelledSet
from bench.methods.sanity import LabelMean, Random
from bench.model.images import ArrayImages
from bench.util.errors import BenchError
from tests.conftest import Bench

PROTOCOL = """
title: Sanity
datasets: [toy]
labels: [20]
repeats: 3
methods:
  - constant
  - random
  - label_mean
  - oracle:toy
  - {method: 'oracle:toy', label: noisy, set: {noise: 0.7}}
"""


def images(count: int = 40) -> ArrayImages:
    rng = np.random.default_rng(0)
    return ArrayImages([rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for _ in range(count)])


def build(text: str, **settings: Any) -> Any:
    cls, validated = registry.settings_for(text, settings)
    return cls(validated, Context(seed=3))


def test_random_goes_by_seed_and_image_alone() -> None:
    scorer = Random(Random.Settings(), Context(seed=1))
    forwards, other = scorer.predict(images()), Random(Random.Settings(), Context(seed=2))
    order = np.arange(40)[::-1].tolist()
    assert np.array_equal(scorer.predict(images().subset(order)), forwards[::-1])
    assert not np.array_equal(forwards, other.predict(images()))
    assert abs(forwards.mean() - 0.5) < 0.2


def test_the_mean_of_training_labels_is_learned_and_saved(tmp_path: Path) -> None:
    method = LabelMean(LabelMean.Settings(), Context())
    train = LabelledSet(
        "toy", images(4), np.array([0.0, 0.2, 0.4, 1.0]), *[(None,) * 4] * 4, ("toy",) * 4
    )
    assert len(list(method.fit(train))) == 1
    method.save(tmp_path / "mean.safetensors")
    again = LabelMean(LabelMean.Settings(), Context())
    again.load(tmp_path / "mean.safetensors")
    assert np.allclose(again.predict(images()), 0.4)


def test_the_oracle_says_what_it_cannot_know() -> None:
    oracle = build("oracle:toy")
    assert oracle.trained_on() == ("toy",)
    with pytest.raises(BenchError, match="its own database only"):
        oracle.predict(images())


def test_a_table_ranks_them_as_they_must(bench: Bench) -> None:
    result = bench.run_and_report(bench.protocol(PROTOCOL))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "do not trust" not in result.stdout
    with (bench.results / "report" / "summary.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "srcc"]
    found = {row["label"]: row for row in rows}
    medians = {name: float(row["median"]) for name, row in found.items() if row["median"]}
    assert medians["oracle:toy"] == pytest.approx(1)
    assert 1 > medians["noisy"] > 0.4
    assert abs(medians["random"]) < medians["noisy"]
    assert not {"constant", "label_mean"} & set(medians)
    contaminated = {name for name, row in found.items() if row["contaminated"] == "True"}
    assert contaminated == {"oracle:toy", "noisy"}
