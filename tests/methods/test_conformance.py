"""The contract of `bench.api.Method`, asked of every registered method in its smallest form.

A method that needs other settings to be quick has a line in `QUICK`; a new one is found by itself.
What cannot be had offline is skipped by name. docs/methods.md states the rules in words.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import registry
from bench.api import Context, Images, LabelledSet, Method, Settings
from bench.decode import decode
from bench.errors import BenchError, UsageError
from bench.images import ArrayImages
from bench.metrics import srcc
from bench.predicting import load_weights
from tests.conftest import TOY_METHODS
from tests.faults.evil import evil_weights

COUNT = 8
SIDE = 128
SETTLED = 2e-4
"""Batches of other sizes round otherwise; orders and repetitions do not."""

TRAINED: dict[str, Any] = {"crop": 32, "crops": 1, "test_crops": 2, "epochs": 2, "batch_size": 4}
QUICK: dict[str, tuple[str, dict[str, Any]]] = {
    "grmp": ("grmp", {"pretraining": False, "epochs": 2, "batch_size": 4, "views": 1}),
    "mpiqe": ("mpiqe", {"epochs": 2, "batch_size": 4, "test_crops": 1}),
    "promptiqa": ("promptiqa", {"finetune_epochs": 2, "finetune_part": "head", "ispp_size": 3}),
    "coop": ("coop", {"epochs": 12, "lr": 0.05, "n_context": 4, "augment": False}),
    "clipiqa_plus": ("clipiqa_plus", {"epochs": 2, "n_context": 4}),
    "linear_probe": ("linear_probe", {"epochs": 30}),
    "pyiqa": ("pyiqa:piqe", {}),
    "pyiqa_trained": ("pyiqa_trained:cnniqa", TRAINED),
    "deiqt": ("deiqt", {**TRAINED, "vit": "test_vit"}),
    "oracle": ("oracle:toy", {}),
    "scores": ("scores:given", {}),
}
UPWARDS = ("coop", "linear_probe", "ridge", "svr", "scores")
"""Quick enough to tell up from down on eight images."""


def names() -> list[str]:
    """Registered methods of the project; the tests' own toys are broken on purpose."""
    entries = registry.entries().items()
    return [name for name, entry in entries if entry.source is None and not entry.stands_for]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Images of noise over a ramp, called as those of the database `toy`; later is better."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    ramp = np.linspace(40, 200, SIDE)[None, :, None]
    for index in range(COUNT):
        noise = rng.normal(0, 10 + 12 * (COUNT - index), (SIDE, SIDE, 3))
        _png(folder / f"{index:03}.png", np.clip(ramp + noise, 0, 255))
    (folder / "given.csv").write_text(
        "image,score\n" + "".join(f"{i:03}.png,{i}\n" for i in range(COUNT))
    )
    return sorted(folder.glob("*.png"))


def _png(path: Path, pixels: Any) -> None:
    from PIL import Image

    Image.fromarray(np.asarray(pixels).astype(np.uint8)).save(path)


@dataclass
class World:
    """Where methods are built, each trained once for all questions."""

    files: list[Path]
    fitted: dict[str, tuple[Method, LabelledSet, np.ndarray[Any, Any]]]

    def build(self, name: str, seed: int = 3, batch_size: int = 64, **more: Any) -> Method:
        """A method in its smallest form."""
        text, given = QUICK.get(name, (name, {}))
        cls = registry.load(name)
        backbone = {"backbone": "tiny"} if "backbone" in cls.Settings.model_fields else {}
        cls, settings = registry.settings_for(text, {**backbone, **given, **more})
        return cls(settings, Context(seed=seed, batch_size=batch_size))

    def images(self, method: Method) -> ArrayImages:
        """The images under the method's policy, read-only as the harness gives them."""
        arrays = [decode(path, method.policy) for path in self.files]
        for array in arrays:
            array.setflags(write=False)
        return ArrayImages(arrays, [path.name for path in self.files])

    def labelled(self, method: Method) -> LabelledSet:
        """All images, with everything a method may ask for."""
        scores = np.linspace(0.1, 0.9, COUNT)
        scores.setflags(write=False)
        return LabelledSet(
            dataset="toy",
            images=self.images(method),
            scores=scores,
            references=tuple(f"r{index // 2}" for index in range(COUNT)),
            distortions=tuple("noise" if index % 2 else "blur" for index in range(COUNT)),
            levels=(1,) * COUNT,
            scenes=tuple("human" if index % 2 else "plant" for index in range(COUNT)),
            sources=("toy",) * COUNT,
        )

    def trained(self, name: str) -> tuple[Method, LabelledSet, np.ndarray[Any, Any]]:
        """A method after `fit` with predictions asked for between epochs, and its last ones."""
        if name not in self.fitted:
            method = self.build(name)
            train = self.labelled(method)
            for _ in method.fit(train):
                method.predict(train.images)
            self.fitted[name] = (method, train, asked(method, train.images))
        return self.fitted[name]


@pytest.fixture(scope="module")
def fitted() -> dict[str, Any]:
    return {}


@pytest.fixture
def world(
    files: list[Path], fitted: dict[str, Any], toy_data: Path, monkeypatch: pytest.MonkeyPatch
) -> World:
    monkeypatch.setenv("IQA_DATA", str(toy_data))
    monkeypatch.setenv("IQA_BENCH_SCORES", str(files[0].parent))
    return World(files, fitted)


@pytest.fixture(autouse=True)
def _no_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights count as had only where they are here already."""

    def refused(url: str, *_: Any, **__: Any) -> None:
        raise OSError("no downloads in tests")

    monkeypatch.setattr("pyiqa.utils.download_util.download_url_to_file", refused)
    monkeypatch.setattr("torch.hub.download_url_to_file", refused)


def asked(method: Method, images: Images) -> np.ndarray[Any, Any]:
    """Predictions; skips by name where a method's weights are not on this machine."""
    try:
        return np.asarray(method.predict(images))
    except BenchError as error:
        if "not on this machine" in str(error):
            pytest.skip(f"{method.name}: {error}")
        raise


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One case a registered method."""
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", names())


def test_settings_are_described_and_strict(name: str) -> None:
    cls = registry.load(name)
    assert issubclass(cls.Settings, Settings)
    properties = cls.Settings.model_json_schema(by_alias=False).get("properties", {})
    bare = [key for key, value in properties.items() if not value.get("description")]
    assert not bare, f"settings without a description: {bare}"
    needed = {cls.argument: "x"} if cls.argument else {}
    with pytest.raises(UsageError):
        registry.validated(cls, {**needed, "no_such_setting": 1})


def test_building_is_cheap_and_asks_for_nothing(world: World, name: str) -> None:
    world.build(name)
    start = time.process_time()
    method = world.build(name)
    corpora, seen, policy = method.corpora(), method.trained_on(), method.policy
    assert time.process_time() - start < 0.2
    assert isinstance(corpora, tuple)
    assert isinstance(seen, tuple)
    assert policy.resize in ("none", "squash", "short_side")
    assert registry.entries()[name].summary.endswith(".")


def test_scores_have_shape_and_are_numbers(world: World, name: str) -> None:
    method, train, scores = world.trained(name)
    assert scores.shape == (COUNT,)
    assert np.issubdtype(scores.dtype, np.floating)
    assert np.isfinite(scores).all()
    assert method.predict(train.images.subset([2])).shape == (1,)


def test_fit_reports_epochs_and_does_not_touch_the_labels(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = world.build(name)
    train = world.labelled(method)
    asked(world.trained(name)[0], train.images)
    if name != "oracle":  # it declares that it knows the labels of its database
        monkeypatch.setattr("bench.datasets.load", _no_labels)
    epochs = list(method.fit(train))
    assert bool(epochs) == type(method).learns()
    assert np.isfinite([epoch.loss for epoch in epochs]).all()
    assert train.scores.tolist() == np.linspace(0.1, 0.9, COUNT).tolist()
    # Trained without a prediction in between, under the same seed: the same scores.
    again = method.predict(train.images)
    assert again == pytest.approx(world.trained(name)[2], abs=1e-6)


def _no_labels(*_: Any, **__: Any) -> Any:
    raise AssertionError("a method gets its labels from the harness and opens no database itself")


def test_order_and_batches_do_not_matter(world: World, name: str) -> None:
    method, train, scores = world.trained(name)
    order = np.random.default_rng(1).permutation(COUNT).tolist()
    spread = max(float(np.ptp(scores)), 1e-6)
    method.context.batch_size = 3
    try:
        shuffled = method.predict(train.images.subset(order))
    finally:
        method.context.batch_size = 64
    assert np.abs(shuffled - scores[order]).max() <= SETTLED * spread + 1e-9


def test_predicting_leaves_global_generators_to_training(world: World, name: str) -> None:
    import torch

    method, train, _ = world.trained(name)
    if not type(method).learns():
        pytest.skip(f"{name} does not learn")
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = torch.rand(2).tolist(), np.random.rand(2).tolist()  # noqa: NPY002
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    method.predict(train.images)
    assert (torch.rand(2).tolist(), np.random.rand(2).tolist()) == expected  # noqa: NPY002


def test_what_is_saved_is_loaded(world: World, name: str, tmp_path: Path) -> None:
    cls = registry.load(name)
    if cls.save is Method.save:
        assert not cls.learns(), f"{name} learns, but what it learned cannot be saved"
        pytest.skip(f"{name} has nothing to save")
    method, train, scores = world.trained(name)
    method.save(tmp_path / "state.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]
    again = world.build(name, seed=4)
    again.load(tmp_path / "state.safetensors")
    assert again.predict(train.images) == pytest.approx(scores, abs=1e-6)


def test_weights_that_would_run_code_are_refused(world: World, name: str, tmp_path: Path) -> None:
    if registry.load(name).load is Method.load:
        pytest.skip(f"{name} loads no weights")
    world.trained(name)  # skips where its weights are not here
    for path, marker in evil_weights(tmp_path):
        with pytest.raises(BenchError):
            load_weights(world.build(name), path)
        assert not marker.exists()


def test_features_have_a_row_an_image(world: World, name: str) -> None:
    method, train, _ = world.trained(name)
    for key, values in method.per_image(train.images).items():
        assert np.asarray(values).shape == (COUNT,), key
    if type(method).embed is Method.embed:
        return
    features = np.asarray(method.embed(train.images))
    assert features.shape[0] == COUNT
    assert features.ndim == 2
    assert np.isfinite(features).all()


def test_attention_is_a_map_an_image(world: World, name: str) -> None:
    method, train, scores = world.trained(name)
    if type(method).attend is Method.attend:
        pytest.skip(f"{name} has no attention maps")
    maps = np.asarray(method.attend(train.images))
    assert maps.shape[0] == COUNT
    assert maps.ndim == 3
    assert maps.min() >= 0
    assert maps.max() <= 1
    part = method.attend(train.images.subset([2, 0]))
    assert np.allclose(part, maps[[2, 0]], atol=1e-4)
    assert np.array_equal(method.predict(train.images), scores)


def test_a_tiny_image_is_scored_or_refused(world: World, name: str, tmp_path: Path) -> None:
    """Files that are no images are the harness's business; small ones are the method's."""
    method, _, _ = world.trained(name)
    _png(tmp_path / "000.png", np.full((5, 4, 3), 90))
    small = ArrayImages([decode(tmp_path / "000.png", method.policy)], ["000.png"])
    with contextlib.suppress(BenchError, ValueError):
        assert method.predict(small).shape == (1,)


@pytest.mark.parametrize("learner", UPWARDS)
def test_higher_is_better(world: World, learner: str) -> None:
    _, train, scores = world.trained(learner)
    assert srcc(scores, train.scores) > 0.8


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


def test_the_toys_are_not_among_them() -> None:
    assert TOY_METHODS.is_dir()
    assert not {name for name in names() if name.startswith("toy_")}
    assert set(QUICK) <= set(names())
