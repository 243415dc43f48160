"""Crops of images: their places, random ones, and the fixed ones of predictions."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bench.api import BenchError, Images, Pixels


class View(NamedTuple):
    """The place of a crop, in shares (0 to below 1) of the free room, and whether it is flipped."""

    across: float
    down: float
    flip: bool


CENTRE = View(0.5, 0.5, False)


def draw(rng: np.random.Generator) -> View:
    """A random crop and flip."""
    across, down, flip = rng.random(3)
    return View(float(across), float(down), bool(flip < 0.5))


def draw_leaning(rng: np.random.Generator) -> View:
    """A random crop that is flipped if it lies in the left half, as in GRMP-IQA's code.

    Of the 21 places that 244 pixels leave a crop of 224, that code draws the first twenty, and
    flips at the first ten.
    """
    across, down = rng.random(2) * (20 / 21)
    return View(float(across), float(down), bool(across < 10 / 21))


def crop(image: Pixels, view: View, size: int, name: str | None = None) -> Pixels:
    """The `size` x `size` crop of an image (H, W, 3).

    Raises a `BenchError` that names the image if it is smaller.
    """
    height, width = image.shape[:2]
    if min(height, width) < size:
        raise BenchError(f"{titled(name)} of {width} x {height} pixels has no crop of {size}")
    top = int(view.down * (height - size + 1))
    left = int(view.across * (width - size + 1))
    cut = image[top : top + size, left : left + size]
    return cut[:, ::-1] if view.flip else cut


def titled(name: str | None) -> str:
    """An image in a sentence, by its name if that is known."""
    return "an image" if name is None else f"image '{name}'"


@dataclass(frozen=True)
class Crop:
    """One crop of one image, under a key by which what was computed from it is kept; a key of None
    says that this crop will not be asked for again (`kit.cache`)."""

    images: Images
    index: int
    view: View
    key: Hashable | None

    def pixels(self, size: int) -> Pixels:
        """(size, size, 3) uint8."""
        return crop(self.images[self.index], self.view, size, self.images.names[self.index])


def test_views(count: int) -> list[View]:
    """The views that a prediction averages over: the centre, or fixed random crops."""
    if count == 1:
        return [CENTRE]
    rng = np.random.default_rng(0)
    return [draw(rng) for _ in range(count)]
