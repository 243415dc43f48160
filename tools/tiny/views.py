"""What the image tower is shown of rendered pictures: plain crops and mixed views.

Real photographs are more cluttered than rendered scenes, at every scale. Mixed views zoom in, put
four pictures side by side, blend two and shift colours; no caption fits them, but what another
network sees in them can be learnt.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tools.tiny.corpus import Picture

Pixels = NDArray[np.uint8]


def crop(picture: Pixels, size: int, rng: np.random.Generator) -> Pixels:
    """A random square (size, size, 3), mirrored every other time."""
    top, left = rng.integers(0, picture.shape[0] - size + 1, 2)
    return _mirrored(picture[top : top + size, left : left + size], rng)


def mixed(corpus: Sequence[Picture], index: int, size: int, rng: np.random.Generator) -> Pixels:
    """A view (size, size, 3) of a picture of the corpus, for the most part with others in it."""

    def another() -> Pixels:
        return corpus[int(rng.integers(len(corpus)))].pixels

    picture, draw = corpus[index].pixels, rng.random()
    if draw < 0.25:
        view = crop(picture, size, rng)
    elif draw < 0.55:
        view = _zoomed(picture, size, rng)
    elif draw < 0.8:
        view = _four([picture, another(), another(), another()], size, rng)
    else:
        view = _blended(picture, another(), size, rng)
    return _recoloured(view, rng) if rng.random() < 0.5 else view


def _mirrored(picture: Pixels, rng: np.random.Generator) -> Pixels:
    return picture[:, ::-1] if rng.random() < 0.5 else picture


def _part(
    picture: Pixels, shape: tuple[int, int], rng: np.random.Generator, least: float
) -> Pixels:
    """A random rectangle, of at least that share of the area, resized to a height and a width."""
    side = picture.shape[0]
    area, tall = rng.uniform(least, 1.0), np.exp(rng.uniform(-0.35, 0.35))
    height, width = (min(side, side * float(np.sqrt(area * by))) for by in (tall, 1 / tall))
    top, left = rng.uniform(0, side - height), rng.uniform(0, side - width)
    box = (left, top, left + width, top + height)
    image = Image.fromarray(picture)
    return np.asarray(image.resize(shape[::-1], Image.Resampling.BICUBIC, box=box))


def _zoomed(picture: Pixels, size: int, rng: np.random.Generator) -> Pixels:
    return _mirrored(_part(picture, (size, size), rng, least=0.35), rng)


def _four(pictures: Sequence[Pixels], size: int, rng: np.random.Generator) -> Pixels:
    """Parts of four pictures around a random point."""
    across, down = (int(cut) for cut in rng.integers(size // 4, 3 * size // 4, 2))
    rows, columns = (slice(down), slice(down, size)), (slice(across), slice(across, size))
    view = np.empty((size, size, 3), np.uint8)
    places = [(row, column) for row in rows for column in columns]
    for place, picture in zip(places, pictures, strict=True):
        height, width = view[place].shape[:2]
        view[place] = _part(picture, (height, width), rng, least=0.2)
    return view


def _blended(one: Pixels, other: Pixels, size: int, rng: np.random.Generator) -> Pixels:
    share = rng.uniform(0.3, 0.7)
    views = [_zoomed(picture, size, rng).astype(np.float64) for picture in (one, other)]
    return (share * views[0] + (1 - share) * views[1]).round().astype(np.uint8)


def _recoloured(view: Pixels, rng: np.random.Generator) -> Pixels:
    """Channels exchanged and mixed a little, brightness bent by a power."""
    colours = view.astype(np.float32) / np.float32(255.0)
    if rng.random() < 0.5:
        colours = colours[..., rng.permutation(3)]
    mixing = (np.eye(3) + rng.normal(0.0, 0.12, (3, 3))).astype(np.float32)
    colours = np.einsum("hwc,dc->hwd", colours, mixing).clip(0.0, 1.0)
    power = np.float32(np.exp(rng.uniform(-0.5, 0.5)))
    return (255.0 * colours**power).round().astype(np.uint8)
