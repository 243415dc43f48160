"""The contract of `bench.api.Method`, asked of every registered method in its smallest form.

Which those are, and how they are made small, is in `conformance.py`; a new method is found by
itself. docs/methods.md states the rules in words.
"""

from __future__ import annotations

import contextlib
import csv
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import pyiqa_library, registry
from bench.api import Context, LabelledSet, Method, Settings
from bench.data.images.decode import decode
from bench.metrics import srcc
from bench.model.images import ArrayImages
from bench.runs.execute.predicting import load_weights
from bench.util.errors import BenchError, UsageError
from methods.pyiqa_trained import ARCHITECTURES
from tests.conftest import TOY_METHODS
from tests.faults.evil import evil_weights
from tests.methods import conformance, test_pyiqa
from tests.methods.conformance import (
    COUNT,
    Array,
    Pictures,
    World,
    asked,
    cases,
    names,
    seen,
    turned,
)

SETTLED = 2e-4
"""Batches of other sizes round otherwise; orders and repetitions do not."""
ROUNDING = 4e-5
"""Of float32 in deep networks, where few steps leave scores close together."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    return conformance.draw(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def fitted() -> dict[str, Any]:
    return {}


@pytest.fixture
def world(
    pictures: Pictures, fitted: dict[str, Any], toy_data: Path, monkeypatch: pytest.MonkeyPatch
) -> World:
    monkeypatch.setenv("IQA_DATA", str(toy_data))
    monkeypatch.setenv("IQA_BENCH_SCORES", str(pictures.graded[0].parent.parent))
    return World(pictures, fitted)


@pytest.fixture(autouse=True)
def _no_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights count as had only where they are here already."""

    def refused(url: str, *_: Any, **__: Any) -> None:
        raise OSError("no downloads in tests")

    monkeypatch.setattr("pyiqa.utils.download_util.download_url_to_file", refused)
    monkeypatch.setattr("torch.hub.download_url_to_file", refused)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a method, or one a case; all questions to a case follow each other."""
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", names())
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", conformance.marked(), scope="module")


def test_settings_are_described_and_strict(name: str) -> None:
    cls = registry.load(name)
    assert issubclass(cls.Settings, Settings)
    properties = cls.Settings.model_json_schema(by_alias=False).get("properties", {})
    bare = [key for key, value in properties.items() if not value.get("description")]
    assert not bare, f"settings without a description: {bare}"
    needed = {cls.argument: "x"} if cls.argument else {}
    with pytest.raises(UsageError):
        registry.validated(cls, {**needed, "no_such_setting": 1})


def method_class(case: str) -> type[Method]:
    return registry.load(registry.split_name(case)[0])


def test_building_is_cheap_and_asks_for_nothing(world: World, case: str) -> None:
    world.build(case)
    start = time.process_time()
    method = world.build(case)
    corpora, seen, policy = method.corpora(), method.trained_on(), method.policy
    assert time.process_time() - start < 0.2
    assert isinstance(corpora, tuple)
    assert isinstance(seen, tuple)
    assert policy.resize in ("none", "squash", "short_side")
    assert registry.entries()[registry.split_name(case)[0]].summary.endswith(".")


def test_scores_have_shape_and_are_numbers(world: World, case: str) -> None:
    method, train, scores = world.trained(case)
    assert scores.shape == (len(train),)
    assert np.issubdtype(scores.dtype, np.floating)
    assert np.isfinite(scores).all()
    assert method.predict(train.images.subset([2])).shape == (1,)


def test_fit_reports_epochs_and_does_not_touch_the_labels(
    world: World, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = world.build(case)
    train = world.labelled(method, conformance.count_for(case))
    asked(world.trained(case)[0], train.images)
    if not case.startswith("oracle:"):  # it declares that it knows the labels of its database
        monkeypatch.setattr("bench.data.datasets.load", _no_labels)
    epochs = list(method.fit(train))
    assert bool(epochs) == type(method).learns()
    assert np.isfinite([epoch.loss for epoch in epochs]).all()
    assert train.scores.tolist() == np.linspace(0.1, 0.9, len(train)).tolist()
    # Trained without a prediction in between, under the same seed: the same scores.
    again = method.predict(train.images)
    assert again == pytest.approx(world.trained(case)[2], abs=1e-6)


def _no_labels(*_: Any, **__: Any) -> Any:
    raise AssertionError("a method gets its labels from the harness and opens no database itself")


def test_order_and_batches_do_not_matter(world: World, case: str) -> None:
    method, train, scores = world.trained(case)
    order = np.random.default_rng(1).permutation(len(train)).tolist()
    spread = max(float(np.ptp(scores)), 1e-6)
    method.context.batch_size = 3
    try:
        shuffled = method.predict(train.images.subset(order))
    finally:
        method.context.batch_size = 64
    allowed = SETTLED * spread + ROUNDING * np.abs(scores).max() + 1e-9
    assert np.abs(shuffled - scores[order]).max() <= allowed


def test_predicting_leaves_global_generators_to_training(world: World, case: str) -> None:
    import torch

    method, train, _ = world.trained(case)
    if not type(method).learns():
        pytest.skip(f"{case} does not learn")
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = torch.rand(2).tolist(), np.random.rand(2).tolist()  # noqa: NPY002
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    method.predict(train.images)
    assert (torch.rand(2).tolist(), np.random.rand(2).tolist()) == expected  # noqa: NPY002


def test_what_is_saved_is_loaded(world: World, case: str, tmp_path: Path) -> None:
    cls = method_class(case)
    if cls.save is Method.save:
        assert not cls.learns(), f"{case} learns, but what it learned cannot be saved"
        pytest.skip(f"{case} has nothing to save")
    method, train, scores = world.trained(case)
    method.save(tmp_path / "state.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]
    again = world.build(case, seed=4)
    again.load(tmp_path / "state.safetensors")
    assert again.predict(train.images) == pytest.approx(scores, abs=1e-6)


def test_weights_that_would_run_code_are_refused(world: World, case: str, tmp_path: Path) -> None:
    if method_class(case).load is Method.load:
        pytest.skip(f"{case} loads no weights")
    world.trained(case)  # skips where its weights are not here
    for path, marker in evil_weights(tmp_path):
        with pytest.raises(BenchError):
            load_weights(world.build(case), path)
        assert not marker.exists()


def test_features_have_a_row_an_image(world: World, case: str) -> None:
    method, train, _ = world.trained(case)
    for key, values in method.per_image(train.images).items():
        assert np.asarray(values).shape == (len(train),), key
    if type(method).embed is Method.embed:
        return
    features = np.asarray(method.embed(train.images))
    assert features.shape[0] == len(train)
    assert features.ndim == 2
    assert np.isfinite(features).all()


def test_attention_is_a_map_an_image(world: World, case: str) -> None:
    method, train, scores = world.trained(case)
    if type(method).attend is Method.attend:
        pytest.skip(f"{case} has no attention maps")
    maps = np.asarray(method.attend(train.images))
    assert maps.shape[0] == len(train)
    assert maps.ndim == 3
    assert maps.min() >= 0
    assert maps.max() <= 1
    part = method.attend(train.images.subset([2, 0]))
    assert np.allclose(part, maps[[2, 0]], atol=1e-4)
    assert np.array_equal(method.predict(train.images), scores)


def test_a_tiny_image_is_scored_or_refused(world: World, case: str, tmp_path: Path) -> None:
    """Files that are no images are the harness's business; small ones are the method's."""
    method, _, _ = world.trained(case)
    conformance.save_png(tmp_path / "000.png", np.full((5, 4, 3), 90))
    small = ArrayImages([decode(tmp_path / "000.png", method.policy)], ["000.png"])
    try:
        assert method.predict(small).shape == (1,)
    except BenchError as error:
        assert "'000.png'" in str(error)  # noqa: PT017  scoring it is as good


def test_higher_is_better(world: World, case: str) -> None:
    """Each method by what it does; `OTHERWISE` has those of which neither can be asked."""
    name = registry.split_name(case)[0]
    if name in OTHERWISE:
        OTHERWISE[name](world, case)
    elif not method_class(case).learns():
        assert_prefers_clean(world.build(case), world.pictures)
    else:
        _, train, up = world.trained(case)
        down = learnt(world.build(case), turned(train))
        assert srcc(up - down, train.scores) > 0.5
        if case not in conformance.LONG:  # their few steps only bend what they started with
            assert_learns_upwards(up, down, train)


def learnt(method: Method, train: LabelledSet) -> Array:
    """What a method says of its training images in the end."""
    list(method.fit(train))
    return asked(method, train.images)


def assert_learns_upwards(up: Array, down: Array, train: LabelledSet) -> None:
    """Scores go up with the labels, and `down`, learnt from labels turned round, go down."""
    assert srcc(up, train.scores) > 0.5
    assert srcc(down, train.scores) < -0.5


def assert_prefers_clean(method: Method, pictures: Pictures) -> None:
    """Without any training: most scenes score above themselves without detail."""
    clean = asked(method, seen(method, pictures.clean))
    blurred = asked(method, seen(method, pictures.blurred))
    assert (clean > blurred).sum() >= 0.75 * COUNT


def says_the_same_of_all(world: World, case: str) -> None:
    """No direction: one score for every image."""
    method, train, scores = world.trained(case)
    assert np.ptp(scores) == 0
    if method.learns():  # the level at least goes with the labels
        lower = world.build(case)
        list(lower.fit(replace(train, scores=train.scores / 2)))
        assert lower.predict(train.images).max() < scores.min()


def goes_up_as_often_as_down(world: World, case: str) -> None:
    """No direction: over seeds the correlation is zero, and no seed's images are alike."""
    found = []
    for seed in range(60):
        method = world.build(case, seed=seed)
        train = world.labelled(method)
        found.append(srcc(method.predict(train.images), train.scores))
    standard_error = 1 / np.sqrt(COUNT - 1) / np.sqrt(len(found))
    assert abs(np.mean(found)) < 3 * standard_error
    assert min(found) < -0.3
    assert max(found) > 0.3


def gives_back_what_is_known(world: World, case: str) -> None:
    """Scores that the method looks up by the image's name."""
    with (Path(os.environ["IQA_DATA"]) / "toy" / "scores.csv").open(newline="") as file:
        labels = [float(row["score"]) for row in csv.DictReader(file)][:COUNT]
    known = labels if case == "oracle:toy" else list(range(COUNT))
    _, _, scores = world.trained(case)
    assert scores == pytest.approx(known)


OTHERWISE: dict[str, Callable[[World, str], None]] = {
    "constant": says_the_same_of_all,
    "label_mean": says_the_same_of_all,
    "random": goes_up_as_often_as_down,
    "oracle": gives_back_what_is_known,
    "scores": gives_back_what_is_known,
}
"""What is expected of methods that neither learn from images nor look at them."""


def test_no_method_needs_torch_to_be_planned(world: World) -> None:
    """Planning builds methods and asks what they need; on a large plan torch would be felt."""
    code = (
        "import sys\n"
        "from bench import registry\n"
        "for name, entry in registry.entries().items():\n"
        "    if entry.source is None: registry.load(name)\n"
        "print(sorted({'torch', 'pyiqa', 'timm', 'sklearn'} & set(sys.modules)))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_no_registered_method_is_left_out() -> None:
    """One case each at least, and a short name stands for a method that has cases.

    Of pyiqa's metrics, those with weights have their direction from test_pyiqa.py.
    """
    entries = registry.entries().items()
    asked_of = {registry.split_name(case)[0] for case in cases()}
    assert asked_of == {
        registry.split_name(entry.stands_for or name)[0]
        for name, entry in entries
        if entry.source is None
    }
    assert set(OTHERWISE) <= asked_of
    assert {f"pyiqa_trained:{arch}" for arch in ARCHITECTURES} <= set(cases())
    assert set(cases()) >= conformance.LONG
    assert set(conformance.SMALL) <= {*cases(), *asked_of}
    assert set(conformance.ARGUMENTS) <= asked_of
    turned_round = test_pyiqa.test_every_metric_is_turned_upwards_and_shown_the_files_pixels
    metrics = {metric for mark in turned_round.pytestmark for metric in mark.args[1]}
    assert metrics == set(pyiqa_library.metric_names())
    assert set(registry.load("pyiqa").short_names) <= metrics


def test_a_new_method_joins_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "methods"
    folder.mkdir()
    (folder / "mine.py").write_text(
        "from bench.api import Method\n\nclass Mine(Method):\n    name = 'mine'\n"
    )
    monkeypatch.setattr(registry, "METHODS_FOLDER", folder)
    registry.entries.cache_clear()
    try:
        assert cases() == ["mine"]
    finally:
        registry.entries.cache_clear()


def test_scores_that_run_downwards_are_found(world: World) -> None:
    """The checks themselves, on a learner and on a judge that are turned round."""
    assert not {name for name in names() if name.startswith("toy_")}
    assert TOY_METHODS.is_dir()
    linear, luminance = registry.load("toy_linear"), registry.load("toy_luminance")
    for cls, expected in (
        (linear, contextlib.nullcontext()),
        (downwards(linear), pytest.raises(AssertionError)),
    ):
        first, second = (
            cls(registry.validated(cls, {"epochs": 200}), Context(seed=1)) for _ in range(2)
        )
        train = world.labelled(first)
        up, down = learnt(first, train), learnt(second, turned(train))
        with expected:
            assert_learns_upwards(up, down, train)
    judge = detail(luminance)
    assert_prefers_clean(judge(Settings(), Context()), world.pictures)
    with pytest.raises(AssertionError):
        assert_prefers_clean(downwards(judge)(Settings(), Context()), world.pictures)


def downwards(cls: type[Any]) -> type[Any]:
    """The method with its scores negated."""

    class Downwards(cls):
        def predict(self, images: Any) -> Any:
            return -super().predict(images)

    return Downwards


def detail(cls: type[Any]) -> type[Any]:
    """A method that scores how much neighbouring pixels differ."""

    class Detail(cls):
        def predict(self, images: Any) -> Any:
            return np.array([np.diff(image.astype(float), axis=1).std() for image in images])

    return Detail
