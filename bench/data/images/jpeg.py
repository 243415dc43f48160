"""JPEG files decoded by simplejpeg where it is installed (`pip install 'iqa-bench[jpeg]'`).

It is libjpeg-turbo without Pillow's detours, up to three times as fast, and gives the same pixels.
That they are the same is not taken on trust: of every kind of file (subsampling of colours,
progressive or not) the first one that a process reads is decoded both ways, and a kind that differs
is left to Pillow. So is every file that simplejpeg refuses, or warns of: Pillow says what is wrong.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Kind = tuple[Any, ...]
_EQUAL: dict[Kind, bool] = {}
"""Kind of file -> whether both decoders gave the same pixels of the first one."""


def loaded(image: Image.Image, path: Path) -> Image.Image:
    """An open image with its pixels, by whichever decoder; Pillow's errors pass through."""
    module = _simplejpeg()
    kind = _kind(image)
    if module is None or kind is None or _EQUAL.get(kind) is False:
        image.load()
        return image
    try:
        pixels = module.decode_jpeg(path.read_bytes(), "RGB", strict=True)
    except ValueError:
        image.load()
        return image
    if kind not in _EQUAL:
        _EQUAL[kind] = bool(np.array_equal(np.asarray(image), pixels))
        return image
    found = Image.fromarray(pixels)
    found.info.update(image.info)  # the orientation is read from it
    return found


def _kind(image: Image.Image) -> Kind | None:
    """What decides how a colour JPEG is decoded; None for any other file."""
    layers = getattr(image, "layer", None)
    if image.format != "JPEG" or image.mode != "RGB" or not layers:
        return None
    sampling = tuple(tuple(layer[1:3]) for layer in layers)
    return (sampling, bool(image.info.get("progressive")), image.info.get("adobe_transform"))


@cache
def _simplejpeg() -> Any:
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg
