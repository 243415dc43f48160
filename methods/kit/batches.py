"""Images in batches of one shape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from bench.api import Pixels


def same_shape(images: Iterable[Pixels], size: int) -> Iterator[tuple[list[int], list[Pixels]]]:
    """Places and pixels (H, W, 3) of neighbours with one shape, at most `size` at a time."""
    places: list[int] = []
    pixels: list[Pixels] = []
    for place, image in enumerate(images):
        if places and (len(places) == size or image.shape != pixels[0].shape):
            yield places, pixels
            places, pixels = [], []
        places.append(place)
        pixels.append(np.asarray(image))
    if places:
        yield places, pixels
