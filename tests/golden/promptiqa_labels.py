"""PromptIQA's labels, augmentation and choice of pairs, against the authors' functions."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from bench.data import datasets
from bench.methods.promptiqa.groups import augmented
from bench.methods.promptiqa.labels import Floats, model_labels
from bench.methods.promptiqa.prompts import interval_positions, select
from bench.methods.promptiqa.settings import PromptIQASettings
from tests.golden import Comparison
from tests.golden.inputs import Drawn
from tests.golden.promptiqa_steps import listed

FLOAT32 = 1e-6
"""The authors' arithmetic."""
NAMES = {
    "kadid": "kadid10k",
    "koniq10k": "koniq10k@100",
    "gfiqa_20k": "gfiqa20k",
    "agiqa_3k": "agiqa3k",
}
"""What this project calls their databases, where that differs."""
Case = dict[str, Any]


def check(case: Case) -> list[Comparison]:
    """Every number of the case."""
    found = []
    for name, pairs in case["constants"].items():
        found += _constants(name, pairs)
    for index, item in enumerate(case["augmentations"]):
        found += _augmentation(f"augmentations/{index}", item)
    for index, item in enumerate(case["intervals"]):
        found += _interval(f"intervals/{index}", item)
    return found


def _constants(name: str, pairs: list[list[float]]) -> list[Comparison]:
    """A training label from the score as it is shipped, by way of the harness's labels."""
    source = NAMES.get(name, name)
    raw, expected = np.array(pairs).T
    ours = _training_labels(raw, source)
    return listed(f"constants/{name}", expected.tolist(), ours.tolist(), FLOAT32)


def _training_labels(raw: Floats, source: str) -> Floats:
    known = source.partition("@")[0] in datasets.names()
    downwards = known and datasets.info(source).label == "dmos"
    return model_labels(-raw if downwards else raw, source, "constants", True)


def _augmentation(entry: str, item: Case) -> list[Comparison]:
    settings = PromptIQASettings.model_validate(
        {
            "recipe": "official",
            "scaling_probability": item["scaling_rate"],
            "flipping_probability": item["flipping_rate"],
        }
    )
    draws = Drawn(_uniform(item["python_seed"]) if "python_seed" in item else item["draws"])
    labels = np.array(item["labels"])
    ours = augmented(labels, settings, draws)
    found = listed(entry, item["output"], ours.tolist(), FLOAT32)
    if "draws" in item:
        found.append(Comparison(f"{entry}/draws left", 0.0, float(draws.left), FLOAT32))
    first, *between, last = draws.taken
    found += [
        Comparison(f"{entry}/scale_gate", item["scale_gate"], first, FLOAT32),
        Comparison(f"{entry}/flip_gate", item["flip_gate"], last, FLOAT32),
    ]
    if between or item["divisor"] is not None:
        found += _divisor(f"{entry}/divisor", item, ours, last < item["flipping_rate"])
    return found


def _uniform(seed: int) -> list[float]:
    """The first numbers of Python's generator, as many as a group can take."""
    draws = random.Random(seed)
    return [draws.random() for _ in range(3)]


def _divisor(entry: str, item: Case, ours: Floats, flipped: bool) -> list[Comparison]:
    """That labels are what they were divided by times what they have become."""
    given = float("nan") if item["divisor"] is None else item["divisor"]
    scaled = 1 - ours if flipped else ours
    return listed(entry, item["labels"], (scaled * given).tolist(), FLOAT32)


def _interval(entry: str, item: Case) -> list[Comparison]:
    if "total" in item:
        ours = interval_positions(item["total"], item["n"])
        return listed(entry, item["positions"], ours, FLOAT32)
    scores = np.array(item["scores"])
    names = [f"{index:09}" for index in range(len(scores))]  # equal scores go by name
    rows = select(scores, names, item["n"], "interval", np.random.default_rng(0))
    return listed(entry, item["picks"], rows.tolist(), FLOAT32)
