"""Regressors on frozen features: against scikit-learn, without leaks between references."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.dummy import DummyRegressor

from bench import registry
from bench.api import Context, LabelledSet
from bench.metrics import srcc
from bench.model.images import ArrayImages
from bench.util.errors import BenchError, UsageError
from methods.kit.heads import Array, chosen, respond
from methods.probes import Ridge

PROBES = ("linear_probe", "ridge", "svr")


def labelled(count: int = 24, seed: int = 0) -> LabelledSet:
    rng = np.random.default_rng(seed)
    ramp = np.linspace(40, 200, 122)[None, :, None]
    scores = rng.permutation(np.linspace(0.1, 0.9, count))
    arrays = [
        np.clip(ramp + rng.normal(0, 90 * (1 - y), (122, 122, 3)), 0, 255).astype(np.uint8)
        for y in scores
    ]
    none = (None,) * count
    references = tuple(f"r{i % 6}" for i in range(count))
    return LabelledSet(
        "noise", ArrayImages(arrays), scores, references, none, none, none, ("noise",) * count
    )


def build(name: str, **settings: Any) -> Any:
    cls, validated = registry.settings_for(name, {"backbone": "tiny", **settings})
    return cls(validated, Context(seed=5))


@pytest.mark.parametrize("name", PROBES)
def test_it_learns_noise_and_is_saved(name: str, tmp_path: Path) -> None:
    train, test = labelled(), labelled(16, seed=1)
    method = build(name)
    with pytest.raises(UsageError, match="needs fitted weights"):
        method.predict(test.images)
    epochs = list(method.fit(train))
    assert epochs[-1].total == len(epochs)
    found = method.predict(test.images)
    assert srcc(found, test.scores) > 0.8
    method.save(tmp_path / "head.safetensors")
    again = build(name)
    again.load(tmp_path / "head.safetensors")
    assert np.array_equal(again.predict(test.images), found)
    empty = build(name)
    empty.save(tmp_path / "empty.safetensors")
    with pytest.raises(BenchError, match="holds no fitted"):
        again.load(tmp_path / "empty.safetensors")


@pytest.mark.parametrize(("name", "kernel"), [("ridge", ""), ("svr", "rbf"), ("svr", "linear")])
def test_the_stored_head_answers_as_scikit_learn(name: str, kernel: str) -> None:
    from sklearn.linear_model import Ridge as Solver
    from sklearn.svm import SVR

    train = labelled()
    one = {"penalties": [10.0]} if name == "ridge" else {"costs": [10.0], "kernel": kernel}
    method = build(name, **one)
    list(method.fit(train))
    x = method.embed(train.images)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    solver = Solver(alpha=10.0)
    if name == "svr":
        solver = SVR(kernel=kernel, C=10.0, epsilon=0.05, gamma=1 / x.shape[1])
    expected = solver.fit(x, train.scores).predict(x)
    assert method.predict(train.images) == pytest.approx(expected, abs=1e-6)
    assert respond(method.head, x) == pytest.approx(expected, abs=1e-6)


class Nearest(BaseEstimator, RegressorMixin):
    """The label of the nearest training image; `offset` is added."""

    def __init__(self, offset: float = 0.0) -> None:
        self.offset = offset

    def fit(self, x: Array, y: Array) -> Nearest:
        self.x, self.y = x, y
        return self

    def predict(self, x: Array) -> Array:
        nearest = np.abs(self.x[None, :, 0] - x[:, None, 0]).argmin(axis=1)
        return self.y[nearest] + self.offset


def test_images_of_a_reference_are_held_out_together() -> None:
    """Images of one reference are equal but labelled at random: who saw the others knows nothing
    better, who is judged on images of its own seems perfect."""
    rng = np.random.default_rng(0)
    reference = np.repeat(np.arange(10), 4)
    x, y = reference[:, None] * 1.0, rng.random(10)[reference]
    groups = [f"r{number}" for number in reference]
    right = np.mean([np.delete(y, np.flatnonzero(reference == n)).mean() for n in range(10)])
    candidates = [Nearest(), DummyRegressor(strategy="constant", constant=right)]
    assert chosen(candidates, x, y, groups) is candidates[1]
    assert chosen(candidates, x, y, [str(number) for number in range(40)]) is candidates[0]


def test_one_group_is_enough() -> None:
    train = labelled(4)
    lone = LabelledSet(**{**train.__dict__, "references": ("r",) * 4})
    method = build("ridge")
    assert isinstance(method, Ridge)
    assert next(iter(method.fit(lone))).diagnostics["penalty"] == 100


def test_two_scales_stand_side_by_side() -> None:
    images = labelled(4).images
    whole = {"positions": False, "resize_mode": "none"}
    both = build("ridge", scales=[1.0, 0.5], **whole).embed(images)
    assert both.shape == (4, 192)
    assert np.array_equal(both[:, :96], build("ridge", **whole).embed(images))
    assert not np.allclose(both[:, :96], both[:, 96:])
    with pytest.raises(UsageError, match="scales other than 1"):
        build("ridge", scales=[0.5])
