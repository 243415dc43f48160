"""Scenes are deterministic, varied and well formed."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest

from bench.data.demo import CATEGORIES, DEMO_SETS
from bench.data.demo.scenes import render_scene


@pytest.mark.parametrize("category", CATEGORIES)
def test_scene_is_an_image_with_words(category: str) -> None:
    for seed in range(6):
        scene = render_scene(category, seed)
        assert scene.pixels.shape == (128, 128, 3)
        assert scene.pixels.dtype == np.float32
        assert scene.pixels.min() >= 0.0
        assert scene.pixels.max() <= 1.0
        assert scene.pixels.std() > 0.02
        assert scene.words
        assert all(word.strip() == word and word for word in scene.words)


@pytest.mark.parametrize("category", CATEGORIES)
def test_seeds_give_different_pictures_and_the_same_again(category: str) -> None:
    scenes = [render_scene(category, seed) for seed in range(4)]
    again = render_scene(category, 2)
    assert np.array_equal(again.pixels, scenes[2].pixels)
    assert again.words == scenes[2].words
    for first in range(4):
        for second in range(first):
            gap = np.abs(scenes[first].pixels - scenes[second].pixels).mean()
            assert gap > 0.02


def test_size_is_free() -> None:
    assert render_scene("plant", 3, size=64).pixels.shape == (64, 64, 3)


def test_unknown_category_names_the_right_ones() -> None:
    with pytest.raises(ValueError, match="still_life"):
        render_scene("stillife", 0)


def test_seeds_of_the_sets_do_not_meet() -> None:
    from tools.tiny.corpus import HELD_OUT_SEED, TRAIN_SEED

    spans = [
        range(demo.first_seed, demo.first_seed + (demo.n_references or demo.n_images))
        for demo in DEMO_SETS.values()
    ]
    spans += [range(TRAIN_SEED, HELD_OUT_SEED), range(HELD_OUT_SEED, 2 * HELD_OUT_SEED)]
    ordered = sorted(spans, key=lambda span: span.start)
    for before, after in itertools.pairwise(ordered):
        assert before.stop <= after.start


def test_importing_the_description_is_cheap() -> None:
    code = (
        "import sys, bench.data.demo; "
        "heavy = {'torch', 'pandas', 'scipy', 'PIL', 'numpy'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
