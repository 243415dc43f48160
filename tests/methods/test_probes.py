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
from bench.methods.kit.heads import Array, chosen, respond
from bench.methods.probes import Ridge
from bench.metrics import srcc
from bench.model.images import ArrayImages
from bench.util.errors import BenchError, UsageError

PROBES = ("linear_probe", "ridge", "svr", "knn")


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
    with pytest.raises(BenchError, match="holds no "):
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


def test_the_nearest_are_as_scikit_learn_has_them() -> None:
    from sklearn.neighbors import KNeighborsRegressor

    train, test = labelled(), labelled(16, seed=1)
    method = build("knn", neighbours=[5])
    list(method.fit(train))
    x = method.embed(train.images)
    mean, spread = x.mean(axis=0), x.std(axis=0)
    solver = KNeighborsRegressor(5, metric="cosine", weights=lambda distance: 2 - distance)
    solver.fit((x - mean) / spread, train.scores)
    expected = solver.predict((method.embed(test.images) - mean) / spread)
    assert method.predict(test.images) == pytest.approx(expected, abs=1e-9)


def test_choosing_among_turned_features_is_choosing_among_the_features() -> None:
    """More features than images: `chosen` turns them, and the errors stay the same."""
    from sklearn.linear_model import Ridge as Solver
    from sklearn.model_selection import GroupKFold, cross_val_score
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.svm import SVR

    rng = np.random.default_rng(0)
    x, groups = rng.normal(size=(30, 90)), [str(number) for number in range(30)]
    y = x[:, :3].sum(axis=1)
    turned = np.asarray(np.linalg.qr(x.T, mode="r")).T
    for solver in (Solver(3.0), SVR(gamma=0.01), KNeighborsRegressor(3, metric="cosine")):
        both = [cross_val_score(solver, z, y, groups=groups, cv=GroupKFold(5)) for z in (x, turned)]
        assert both[0] == pytest.approx(both[1], abs=1e-8)
    candidates = [Solver(penalty) for penalty in (0.1, 10.0, 1000.0)]
    own = [
        cross_val_score(
            each, x, y, groups=groups, cv=GroupKFold(5), scoring="neg_mean_squared_error"
        ).mean()
        for each in candidates
    ]
    assert chosen(candidates, x, y, groups) is candidates[int(np.argmax(own))]


def test_features_given_twice_move_a_score_alike() -> None:
    """The rate of `linear_probe` is meant for 512 features: of more of them each weighs less."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 512))
    y, groups = x[:, :5].sum(axis=1), [str(number) for number in range(40)]
    answers = []
    for rows in (x, np.hstack([x, x])):
        method = build("linear_probe", epochs=5)
        list(method.regress(rows, y, groups))
        answers.append(respond(method.head, rows))
    assert answers[0] == pytest.approx(answers[1], rel=1e-3, abs=1e-4)


def test_a_regressor_on_other_features_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "head.safetensors"
    method = build("ridge", backbone="lite0", resize=64)
    list(method.fit(labelled(8)))
    method.save(file)
    again = build("ridge", backbone="lite0", resize=64)
    again.load(file)
    shown = labelled(4).images
    assert np.array_equal(again.predict(shown), method.predict(shown))
    for other in ({}, {"backbone": "lite0", "resize": 96}):
        with pytest.raises(BenchError, match=r"fitted on other features: lite0 \(sha256:"):
            build("ridge", **other).load(file)


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
    assert next(iter(method.fit(lone))).diagnostics["penalty"] == 1000


def test_two_scales_stand_side_by_side() -> None:
    images = labelled(4).images
    whole = {"positions": False, "resize_mode": "none"}
    both = build("ridge", scales=[1.0, 0.5], **whole).embed(images)
    assert both.shape == (4, 192)
    assert np.array_equal(both[:, :96], build("ridge", **whole).embed(images))
    assert not np.allclose(both[:, :96], both[:, 96:])
    with pytest.raises(UsageError, match="scales other than 1"):
        build("ridge", scales=[0.5])
