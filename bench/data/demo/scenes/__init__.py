"""Photograph-like scenes of the nine scene categories, drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.data.demo import CATEGORIES, IMAGE_SIZE
from bench.data.demo.canvas import Canvas
from bench.data.demo.noise import fractal_noise, generator
from bench.data.demo.scenes import animal, city, flora, human, indoor, land, others, tabletop

Painter = Callable[[Canvas, np.random.Generator], list[str]]

_PAINTERS: dict[str, Painter] = {
    "animal": animal.paint,
    "cityscape": city.paint_day,
    "human": human.paint,
    "indoor": indoor.paint,
    "landscape": land.paint,
    "night": city.paint_night,
    "plant": flora.paint,
    "still_life": tabletop.paint,
    "others": others.paint,
}


@dataclass(frozen=True)
class Scene:
    """A rendered scene.

    `pixels` is float32 (size, size, 3), sRGB in [0, 1] and on the grid of 8-bit values; `words` are
    noun phrases of what was drawn ("a brown dog", "grass"), the main ones first.
    """

    pixels: NDArray[np.float32]
    category: str
    words: tuple[str, ...]


def render_scene(category: str, seed: int, size: int = IMAGE_SIZE) -> Scene:
    """Draw one scene; the same arguments give the same pixels on every machine.

    Raises ValueError for a category that is not in `bench.data.demo.CATEGORIES`.
    """
    if category not in _PAINTERS:
        raise ValueError(f"unknown scene category {category!r}: use one of {', '.join(CATEGORIES)}")
    rng = generator("scene", category, seed)
    canvas = Canvas(size, f"{category}/{seed}")
    words = _PAINTERS[category](canvas, rng)
    _develop(canvas, rng, dark=category == "night")
    pixels = np.rint(np.clip(canvas.pixels, 0.0, 1.0) * 255.0) / 255.0
    return Scene(pixels.astype(np.float32), category, tuple(words))


def _develop(canvas: Canvas, rng: np.random.Generator, dark: bool) -> None:
    """The camera's share: uneven light, white balance, vignette, contrast, faint surface grain."""
    size = canvas.size
    if not dark:
        canvas.pixels *= (0.82 + 0.36 * fractal_noise(rng, size, cells=2, octaves=2))[..., None]
    warmth, tint = rng.normal(0.0, 0.035, 2)
    canvas.pixels *= np.array([1.0 + warmth, 1.0 + 0.5 * tint, 1.0 - warmth])
    offset_x, offset_y = rng.uniform(0.4, 0.6, 2)
    radius = (canvas.x - offset_x) ** 2 + (canvas.y - offset_y) ** 2
    canvas.pixels *= (1.0 - rng.uniform(0.0, 0.5) * radius)[..., None]
    fine = fractal_noise(rng, size, cells=size // 4, octaves=2) - 0.5
    canvas.pixels *= (1.0 + rng.uniform(0.04, 0.22) * fine)[..., None]
    gain = rng.uniform(0.9, 1.1)
    canvas.pixels[:] = np.clip(0.5 + gain * (canvas.pixels - 0.5), 0.0, 1.0) ** rng.uniform(
        0.85, 1.15
    )
