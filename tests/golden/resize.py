"""`resize.json`: what OpenCV's bicubic makes of an image, against the 'cv2' kernel."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from bench.data.images.decode import scaled
from bench.model.images import Pixels
from tests.golden import Comparison, recipe

SUMS = 1e-3
"""Relative tolerance of sums over a channel."""
ONE_VALUE = {1: 1, 2: 2 * 255}
"""How far one value that is rounded otherwise moves a sum of values, or of squares: in an image of
a few pixels that is more than `SUMS`."""
LEVELS = 1.0
"""OpenCV with Intel's library and without is one grey level apart in up to 6 % of the values."""


def image_of(case: dict[str, Any]) -> Pixels:
    """The input (height, width, 3) of a case."""
    drawn = recipe.images(1, case["seed"], 0.0, 255.0, size=case["side"])[0]
    cut = drawn[:, : case["height"], : case["width"]]
    return np.ascontiguousarray(np.floor(cut + 0.5).astype(np.uint8).transpose(1, 2, 0))


def check(content: dict[str, Any]) -> list[Comparison]:
    """The input, points and sums of every case."""
    found = []
    for number, case in enumerate(content["cases"]):
        size = (case["out_width"], case["out_height"])
        image = image_of(case)
        ours = scaled(Image.fromarray(image), size, "cv2")
        found.append(Comparison(f"{number}/input", case["input_crc32"], zlib.crc32(image), 0.5))
        for row, column, *levels in case["points"]:
            found += [
                Comparison(f"{number}/{row},{column}", level, int(value), LEVELS)
                for level, value in zip(levels, ours[row, column], strict=True)
            ]
        found += _sums(f"{number}/input_sum", case["input_sum"], _channels(image, 1))
        for which in ("with_ipp", "without_ipp"):
            for power, name in ((1, "sum"), (2, "sum_of_squares")):
                entry, sums = f"{number}/{which}/{name}", _channels(ours, power)
                found += _sums(entry, case[which][name], sums, power)
    return found


def _channels(pixels: Pixels, power: int) -> list[int]:
    """Sums over the channels of an image (height, width, 3), of its values or their squares."""
    values = pixels.reshape(-1, 3).astype(np.int64) ** power
    return [int(value) for value in values.sum(axis=0)]


def _sums(
    entry: str, expected: Sequence[int], actual: Sequence[int], power: int = 1
) -> list[Comparison]:
    return [
        # A square is off by twice as much.
        Comparison(f"{entry}/{channel}", total, value, max(power * SUMS * total, ONE_VALUE[power]))
        for channel, (total, value) in enumerate(zip(expected, actual, strict=True))
    ]
