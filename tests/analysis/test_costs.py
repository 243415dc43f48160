"""What rows cost: measured on real methods, reported, and limited."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis import costs
from bench.api import ArrayImages, Context, Images, Method, Scores
from bench.model.costs import read_all
from bench.runs.isolation.measuring import TrainedParameters, measure
from bench.util.errors import UsageError
from tests.conftest import Bench

SIDE = 32


class Convolution(Method):
    """One convolution of 3 x 3 from 3 to 4 channels, whose operations can be counted by hand."""

    name = "convolution"

    def __init__(self, context: Context) -> None:
        import torch

        super().__init__(Method.Settings(), context)
        self.layer = torch.nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.frozen = torch.nn.Linear(5, 2)

    def predict(self, images: Images) -> Scores:
        import torch

        batch = torch.stack([torch.from_numpy(image.copy()) for image in images])
        with torch.no_grad():
            found = self.layer(batch.permute(0, 3, 1, 2).float())
        return np.asarray(found.mean(dim=(1, 2, 3)))


def test_operations_and_trained_parameters_are_those_counted_by_hand() -> None:
    import torch

    method, trained = Convolution(Context()), TrainedParameters()
    trained.watch()
    optimiser = torch.optim.SGD(method.layer.parameters(), lr=0.1)
    method.layer(torch.ones(1, 3, 4, 4)).sum().backward()
    optimiser.step()
    optimiser.step()
    shown = ArrayImages([np.full((SIDE, SIDE, 3), level, np.uint8) for level in range(5)])
    found = measure(method, shown, trained)
    assert found.multiply_adds == 3 * 4 * 9 * SIDE * SIDE
    assert found.trained_parameters == 3 * 4 * 9
    assert (found.height, found.width, found.batch) == (SIDE, SIDE, 4)
    assert (found.parameters or 0) >= 3 * 4 * 9 + 12
    assert (found.milliseconds or 0) > 0


class Frozen(Method):
    """The image tower of `tiny` by oneDNN, on its own 112 pixels."""

    name = "test_frozen"

    def __init__(self, context: Context) -> None:
        from bench import backbones
        from bench.methods.kit import onednn

        super().__init__(Method.Settings(), context)
        self.tower = onednn.packed(backbones.load("tiny").model, 1, 65).visual

    def predict(self, images: Images) -> Scores:
        import torch

        batch = torch.from_numpy(np.stack([images[row] for row in range(len(images))]))
        with torch.no_grad():
            found = self.tower(batch.permute(0, 3, 1, 2).float())
        return np.asarray(found.mean(dim=1))


def test_operations_of_a_frozen_tower_by_onednn_are_those_counted_by_hand() -> None:
    import torch

    if not torch.backends.mkldnn.is_available():
        pytest.skip("this torch has no oneDNN")
    shown = ArrayImages([np.full((112, 112, 3), level, np.uint8) for level in range(2)])
    found = measure(Frozen(Context()), shown, TrainedParameters())
    width, tokens = 128, 65
    whole = 12 * tokens * width**2 + 2 * tokens**2 * width
    last = (2 * tokens + 10) * width**2 + 2 * tokens * width  # the class token alone asks
    patches, head = 64 * 3 * 14**2 * width, width * 96
    assert found.multiply_adds == patches + 5 * whole + last + head


def test_a_report_says_what_rows_cost_and_leaves_out_the_dear(bench: Bench) -> None:
    ended = bench.run_and_report(
        bench.protocol("datasets: [toy]\nrepeats: 1\nmethods: [ridge, toy_linear]\n"),
        *("--set", "ridge.backbone=tiny"),
    )
    assert ended.returncode == 0, ended.text
    assert "ridge" in {cost.method for cost in read_all(bench.results)}
    table = pd.read_csv(bench.results / "report" / "costs.csv").set_index("label")
    assert table.loc["ridge", "gmacs"] > 0.01
    assert table.loc["ridge", "trained_parameters"] > 100
    assert math.isnan(table.loc["toy_linear", "gmacs"])
    page = (bench.results / "report" / "index.html").read_text()
    assert "What each row costs" in page
    text = (bench.results / "report" / "table.tex").read_text()
    assert "What each row of toy\\_protocol costs." in text
    assert "GMACs" in text
    limited = bench("report", bench.results, "--limit", "gmacs=50", "--out", bench.folder / "cut")
    assert limited.returncode == 0, limited.text
    assert "toy_linear (toy_protocol): its billion multiply-adds an image are not known" in (
        limited.stdout
    )
    summary = pd.read_csv(bench.folder / "cut" / "summary.csv")
    assert set(summary["label"]) == {"ridge"}
    nothing = bench("report", bench.results, "--limit", "gmacs=0", "--out", bench.folder / "no")
    assert nothing.returncode == 2
    assert "nothing is left within the limits" in nothing.stderr


@pytest.mark.parametrize("text", ["gmac=5", "gmacs", "gmacs=many", "ms=-1", "ms=nan"])
def test_a_limit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        costs.Limits.parse([text])


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), min_size=1, max_size=30))
def test_the_front_is_what_nothing_beats(points: list[tuple[int, int]]) -> None:
    front = costs.front([(float(cost), float(score)) for cost, score in points])
    chosen = [points[place] for place in front]
    for cost, score in points:
        assert any(c <= cost and s >= score for c, s in chosen)
    for cost, score in chosen:
        better = [p for p in points if p[0] <= cost and p[1] >= score and p != (cost, score)]
        assert not better


def test_a_set_of_results_without_costs_has_a_whole_report(bench: Bench) -> None:
    bench.run(bench.protocol("datasets: [toy]\nrepeats: 1\nmethods: [toy_linear]\n"))
    assert bench("report", bench.results).returncode == 0
    assert Path(bench.results / "report" / "costs.csv").exists()
