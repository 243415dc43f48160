"""What the conformance suite is asked of: every registered method, in its smallest form.

A method that is found by the registry is a case without being named here. Lines here only make one
cheap (`SMALL`), give an example of an argument (`ARGUMENTS`), or say that it takes long (`LONG`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench import registry
from bench.api import Context, Images, LabelledSet, Method
from bench.data import datasets
from bench.data.demo import filters, render
from bench.data.images.decode import decode
from bench.model.images import ArrayImages
from bench.util.errors import BenchError
from methods.pyiqa_trained import ARCHITECTURES

COUNT = 8
FEW = 4
"""Images for networks that take seconds an image."""
BLUR = 5.0
"""Pixels; no detail of a rendered scene of 128 pixels survives it."""

Array = np.ndarray[Any, Any]

ARGUMENTS: dict[str, Sequence[str]] = {
    "pyiqa": ("piqe", "entropy"),  # the metrics without weights; test_pyiqa.py turns all others
    "pyiqa_trained": tuple(ARCHITECTURES),
    "oracle": ("toy",),
    "scores": ("given",),
}
"""What stands behind the colon."""

LONG = frozenset(f"pyiqa_trained:{arch}" for arch in set(ARCHITECTURES) - {"cnniqa"})
"""Cases of a minute and more, which `make test-slow` runs."""

STEPS: dict[str, Any] = {"batch_size": 4, "epochs": 6, "lr": 3e-3, "loss": "mse"}
CROPS: dict[str, Any] = {**STEPS, "crop": 32, "crops": 1, "test_crops": 2}
HEAVY: dict[str, Any] = {**STEPS, "lr": 1e-3, "crop": 96, "test_crops": 1}
NORMED: dict[str, Any] = {**HEAVY, "crop": 64, "epochs": 20}
"""Running means of batch norms take some twenty steps to be near what they follow."""
LARGE: dict[str, Any] = {**HEAVY, "crop": 224, "resize_mode": "short_side", "resize": 224}
SMALL: dict[str, dict[str, Any]] = {
    "grmp": {"pretraining": False, "epochs": 4, "batch_size": 4, "views": 1, "lr": 3e-3},
    "mpiqe": {"epochs": 6, "batch_size": 4, "test_crops": 1},
    "promptiqa": {
        "finetune_epochs": 6,
        "finetune_part": "all",
        "finetune_lr": 1e-3,
        "ispp_size": 3,
    },
    "coop": {"epochs": 40, "lr": 0.02, "batch_size": 4, "augment": False},
    "clipiqa_plus": {"epochs": 30, "lr": 0.1, "batch_size": 4, "n_context": 4},
    "linear_probe": {"epochs": 30},
    "deiqt": {**CROPS, "backbone": None, "vit": "test_vit"},
    "pyiqa_trained": HEAVY,
    "pyiqa_trained:cnniqa": {**CROPS, "lr": 1e-3, "epochs": 14, "crops": 6, "batch_size": 8},
    "pyiqa_trained:metaiqa": NORMED,
    "pyiqa_trained:nima": {**HEAVY, "epochs": 16},
    "pyiqa_trained:nima-vgg16": {**HEAVY, "crop": 64, "epochs": 8, "lr": 1e-4},
    "pyiqa_trained:paq2piq": NORMED,
    "pyiqa_trained:topiq_nr": NORMED,
    "pyiqa_trained:hyperiqa": {**LARGE, "epochs": 12},
    "pyiqa_trained:maniqa": {**LARGE, "epochs": 2, "lr": 1e-4},
    "pyiqa_trained:tres": LARGE,
    "pyiqa_trained:musiq": {**LARGE, "crop": 96, "resize": 96, "epochs": 4, "lr": 1e-4},
}
"""Settings that make a case quick, by case or by method."""


def names() -> list[str]:
    """Registered methods of the project and of installed packages; not the tests' own toys."""
    entries = registry.entries().items()
    return [name for name, entry in entries if entry.source is None and not entry.stands_for]


def cases() -> list[str]:
    """NAME or NAME:ARGUMENT of all that the suite is asked of."""
    return [
        name if argument is None else f"{name}:{argument}"
        for name in names()
        for argument in ARGUMENTS.get(name, (None,))
    ]


def marked() -> list[Any]:
    """The cases as pytest's parameters."""
    slow = pytest.mark.slow
    return [pytest.param(case, marks=slow) if case in LONG else case for case in cases()]


@dataclass(frozen=True)
class Pictures:
    """Image files, called as those of the database `toy`."""

    graded: Sequence[Path]
    """Rendered scenes, the first ones dark and blurred; later is better."""
    clean: Sequence[Path]
    """The scenes as they were."""
    blurred: Sequence[Path]
    """The scenes without any detail."""


def draw(folder: Path) -> Pictures:
    """Write the pictures, and `given.csv` with scores of the graded ones."""
    found = islice(render.references("demo_pretrain"), COUNT)
    scenes = [scene.pixels.astype(np.float64) for _, scene in found]
    shares = np.linspace(0, 1, COUNT)
    graded = [
        filters.gaussian(scene, 6 * (1 - share)) * (0.2 + 0.8 * share) if share < 1 else scene
        for scene, share in zip(scenes, shares, strict=True)
    ]
    blurred = [filters.gaussian(scene, BLUR) for scene in scenes]
    lines = ["image,score", *(f"{index:03}.png,{index}" for index in range(COUNT)), ""]
    (folder / "given.csv").write_text("\n".join(lines))
    return Pictures(
        _written(folder / "graded", graded),
        _written(folder / "clean", scenes),
        _written(folder / "blurred", blurred),
    )


def _written(folder: Path, arrays: Sequence[Array]) -> list[Path]:
    folder.mkdir()
    for index, pixels in enumerate(arrays):
        save_png(folder / f"{index:03}.png", np.clip(pixels * 255, 0, 255))
    return sorted(folder.glob("*.png"))


def save_png(path: Path, pixels: Array) -> None:
    """Write (H, W, 3) in 0–255."""
    Image.fromarray(np.asarray(pixels).astype(np.uint8)).save(path)


@dataclass
class World:
    """Where methods are built, each trained once for all questions."""

    pictures: Pictures
    fitted: dict[str, tuple[Method, LabelledSet, Array]]
    """The case at hand only: a network can have hundreds of megabytes."""

    def build(self, case: str, seed: int = 3, batch_size: int = 64, **more: Any) -> Method:
        """A method in its smallest form."""
        name = registry.split_name(case)[0]
        given = SMALL.get(case, SMALL.get(name, {}))
        cls = registry.load(name)
        backbone = {"backbone": "tiny"} if "backbone" in cls.Settings.model_fields else {}
        cls, settings = registry.settings_for(case, {**backbone, **given, **more})
        method = cls(settings, Context(seed=seed, batch_size=batch_size))
        if known := method.oracle_of():
            dataset = datasets.load(known)
            labels = dataset.quality.tolist()
            method.context.labels = dict(zip(dataset.table["image"], labels, strict=True))
        return method

    def labelled(self, method: Method, count: int = COUNT, upwards: bool = True) -> LabelledSet:
        """Graded images with everything a method may ask for; `upwards` says later is better."""
        step = COUNT // count
        scores = np.linspace(0.1, 0.9, count)[:: 1 if upwards else -1].copy()
        scores.setflags(write=False)
        return LabelledSet(
            dataset="toy",
            images=seen(method, self.pictures.graded[::step]),
            scores=scores,
            references=tuple(f"r{index // 2}" for index in range(count)),
            distortions=tuple("noise" if index % 2 else "blur" for index in range(count)),
            levels=(1,) * count,
            scenes=tuple("human" if index % 2 else "plant" for index in range(count)),
            sources=("toy",) * count,
        )

    def trained(self, case: str) -> tuple[Method, LabelledSet, Array]:
        """A method after `fit` with predictions asked for between epochs, and its last ones."""
        if case not in self.fitted:
            self.fitted.clear()
            method = self.build(case)
            train = self.labelled(method, count_for(case))
            for _ in method.fit(train):
                method.predict(train.images.subset([0]))
            self.fitted[case] = (method, train, asked(method, train.images))
        return self.fitted[case]


def count_for(case: str) -> int:
    """How many images a case is shown."""
    return FEW if case in LONG - {"pyiqa_trained:paq2piq"} else COUNT  # too few steps of four


def seen(method: Method, files: Sequence[Path]) -> ArrayImages:
    """Images under the method's policy, read-only as the harness gives them."""
    arrays = [decode(path, method.policy) for path in files]
    for array in arrays:
        array.setflags(write=False)
    return ArrayImages(arrays, [path.name for path in files])


def asked(method: Method, images: Images) -> Array:
    """Predictions; skips by name where a method's weights are not on this machine."""
    try:
        return np.asarray(method.predict(images))
    except BenchError as error:
        if "not on this machine" in str(error):
            pytest.skip(f"{method.name}: {error}")
        raise


def turned(train: LabelledSet) -> LabelledSet:
    """The same images under labels that run the other way."""
    return replace(train, scores=train.scores[::-1].copy())
