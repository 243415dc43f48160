"""What the tiny backbone knows, on small samples; its card has the full numbers."""

from __future__ import annotations

import numpy as np
import pytest

from bench.backbones import TINY_WEIGHTS, identity, load
from bench.backbones._load import Backbone
from bench.data.demo import CATEGORIES
from bench.data.demo.noise import generator
from tools.tiny.captions import DEFAULT, caption, long_caption
from tools.tiny.corpus import TRAIN_SEED, picture, pristine, render_corpus
from tools.tiny.evaluate import scene_accuracy, zero_shot_srcc


@pytest.fixture(scope="module")
def tiny() -> Backbone:
    return load("tiny")


DIGEST = "48d9c008e020272176cf6f404a785e311632b8689692a97f9873e577ca436ba2"
"""What `python -m tools.tiny.train` printed: another file makes another backbone, other stored
results and other numbers in the docs."""


def test_the_file_is_the_one_that_its_card_names() -> None:
    assert identity("tiny")["weights"] == f"sha256:{DIGEST}"
    card = TINY_WEIGHTS.with_name("README.md").read_text(encoding="utf-8")
    assert DIGEST in card


def test_names_held_out_scenes(tiny: Backbone) -> None:
    assert scene_accuracy(tiny, 180) >= 0.8


def test_starts_weak_but_not_blind_on_quality(tiny: Backbone) -> None:
    found = zero_shot_srcc(tiny, "demo_authentic", limit=300)
    assert 0.2 <= found["a high quality photo."] <= 0.6


def test_captions_name_the_scene_and_seldom_judge() -> None:
    rng = generator("captions")
    texts = [caption(rng, "plant", ("a red flower", "leaves"), 4.8) for _ in range(600)]
    assert "a photo of a plant." in texts
    assert any("red flower" in text for text in texts)
    judged = np.mean(["quality" in t or "good" in t or "sharp" in t for t in texts])
    assert 0.0 < judged <= DEFAULT.rate
    assert len(long_caption(rng, "night", ("stars",), 2.0).split(".")) >= 2


def test_corpus_goes_round_the_categories_and_is_repeatable() -> None:
    items = [picture(TRAIN_SEED + k) for k in range(9)]
    assert {item.category for item in items} == set(CATEGORIES)
    assert all(1.0 <= item.quality <= 5.0 for item in items)
    again = render_corpus(9, workers=2)
    for one, other in zip(items, again, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
        assert (one.words, one.quality) == (other.words, other.quality)
    assert pristine(TRAIN_SEED).category == items[0].category
