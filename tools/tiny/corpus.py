"""The rendered pictures that the `tiny` backbone is trained and tried on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray

from bench.data.demo import CATEGORIES, IMAGE_SIZE
from bench.data.demo.distortions import DISTORTIONS, distort
from bench.data.demo.noise import generator
from bench.data.demo.observer import latent_quality, measure
from bench.data.demo.render import to_bytes
from bench.data.demo.scenes import render_scene

TRAIN_SEED = 10_000_000
"""Seed of the first training scene; none of the demo sets' scenes have seeds from here on."""

HELD_OUT_SEED = 20_000_000
"""Seed of the first scene that measures how well the backbone names scenes."""

_PRISTINE_SHARE = 0.3
_SEEN_FROM = 1.5
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class CorpusPicture:
    """A rendered picture, uint8 (h, w, 3), and what a caption can say about it."""

    pixels: NDArray[np.uint8]
    category: str
    words: tuple[str, ...]
    quality: float
    kinds: tuple[str, ...] = ()


def picture(seed: int, size: int = IMAGE_SIZE) -> CorpusPicture:
    """The picture of a seed; its category goes round with the seed, one in three is pristine."""
    category = CATEGORIES[seed % len(CATEGORIES)]
    scene = render_scene(category, seed, size)
    rng = generator("corpus", seed)
    count = 0 if rng.random() < _PRISTINE_SHARE else int(rng.choice([1, 1, 2, 3]))
    kinds = [list(DISTORTIONS)[k] for k in rng.permutation(len(DISTORTIONS))[:count]]
    applied = [(kind, 4.5 * float(rng.random()) ** 1.3) for kind in kinds]
    pixels: NDArray[np.floating] = scene.pixels
    for kind, severity in applied:
        pixels = distort(pixels, kind, severity, rng)
    quality = latent_quality(applied, measure(scene.pixels), content_term=True)
    seen = tuple(kind for kind, severity in applied if severity > _SEEN_FROM)
    return CorpusPicture(to_bytes(pixels), category, scene.words, quality, seen)


def pristine(seed: int, size: int = IMAGE_SIZE) -> CorpusPicture:
    """The undistorted scene of a seed, its category as in `picture`."""
    category = CATEGORIES[seed % len(CATEGORIES)]
    scene = render_scene(category, seed, size)
    return CorpusPicture(to_bytes(scene.pixels), category, scene.words, 5.0)


def render_corpus(count: int, workers: int, skip: int = 0) -> list[CorpusPicture]:
    """`count` training pictures after the first `skip`, rendered by `workers` processes."""
    seeds = range(TRAIN_SEED + skip, TRAIN_SEED + skip + count)
    with _one_thread_each(), ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        return list(pool.map(picture, seeds, chunksize=64))


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Keep the workers' linear algebra to one thread; more are ten times slower here."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
