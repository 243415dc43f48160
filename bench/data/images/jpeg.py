"""JPEG files decoded by simplejpeg where it is installed (`pip install 'iqa-bench[jpeg]'`).

It is libjpeg-turbo without Pillow's detours, up to three times as fast, and gives the same pixels.
That they are the same is not taken on trust: of every kind of file the first one that a process
reads is decoded both ways, and a kind that differs is left to Pillow. A kind is all that a header
says of how pixels come about: subsampling, progressive or not, what the three channels are, which
segments stand before them, precision of the tables, and whether blocks are cut at the right or
lower edge. Gray and CMYK files are Pillow's, and so is every file that simplejpeg refuses or warns
of: Pillow says what is wrong.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Kind = tuple[Any, ...]
SEGMENTS = ("jfif", "adobe", "exif", "icc_profile")
"""Parts of a header, as Pillow names them."""
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
    block = [8 * max(layer[at] for layer in layers) for at in (1, 2)]
    cut = tuple(bool(side % own) for side, own in zip(image.size, block, strict=True))
    tables = getattr(image, "quantization", {}).values()
    wide = any(value > 255 for table in tables for value in table)
    segments = tuple(name in image.info for name in SEGMENTS)
    progressive, colours = image.info.get("progressive"), image.info.get("adobe_transform")
    return (sampling, bool(progressive), colours, segments, cut, wide)


@cache
def _simplejpeg() -> Any:
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg
