"""How one image file becomes one uint8 array: the rules, in one place.

Every file ends as (H, W, 3) RGB, upright, 8 bits:

* EXIF orientation is applied;
* 16-bit samples keep their upper byte, gray or colour alike (what Pillow does for 16-bit RGB);
* gray and bilevel pixels are repeated in the three channels;
* CMYK and other colour models go through Pillow's conversion; colour profiles are not applied;
* palette colours are looked up;
* alpha is blended over white, as a viewer shows it;
* of an animation the first frame counts;
* floating-point pixels are refused, since their range is not stated anywhere in the file.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from bench.api import ImagePolicy, Pixels
from bench.data.images import jpeg
from bench.model.images import Kernel
from bench.util.errors import BenchError, DataError

MAX_PIXELS = 170_000_000
"""Larger images are refused by their header, before any memory is taken for them."""

PILLOW = {
    "pillow": Image.Resampling.BICUBIC,
    "pillow_bilinear": Image.Resampling.BILINEAR,
}
_SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")


class Unreadable(DataError):
    """One file that cannot be decoded; `reason` says why in a few words."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


def check_header(path: Path) -> None:
    """Raise `Unreadable` for a file whose header says that it cannot be decoded; reads no pixel."""
    with _opened(path):
        pass


def decode(path: Path, policy: ImagePolicy) -> Pixels:
    """Read one file as (H, W, 3) uint8 RGB under a size policy.

    Raises `Unreadable` for a file that is missing, truncated, not an image, or too large.
    """
    # Other packages switch this on for the whole process; a grey lower half is not the image.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    with _opened(path) as image:
        return resize(to_rgb(upright(jpeg.loaded(image, path)), path.name), policy)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The image of a file; what Pillow raises here or in the block becomes `Unreadable`."""
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Unreadable(path.name, f"too large ({image.width} x {image.height} pixels)")
            yield image
    except FileNotFoundError:
        raise Unreadable(path.name, "missing") from None
    except Image.DecompressionBombError:
        raise Unreadable(path.name, "too large (more pixels than an image should have)") from None
    except UnidentifiedImageError:
        raise Unreadable(path.name, _not_an_image(path)) from None
    # Pillow's decoders raise all of these on damaged bytes.
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise Unreadable(path.name, _why(error)) from None


def upright(image: Image.Image) -> Image.Image:
    """The image with its EXIF orientation applied."""
    return ImageOps.exif_transpose(image)


def to_rgb(image: Image.Image, name: str = "image") -> Image.Image:
    """Any Pillow image as mode RGB, by the rules at the top of this module."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in _SIXTEEN_BITS or image.mode == "I":
        wide = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray((wide >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise Unreadable(name, "floating-point pixels, whose range is not stated")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        paper = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        return Image.alpha_composite(paper, layered).convert("RGB")
    return image.convert("RGB")


def resize(image: Image.Image, policy: ImagePolicy) -> Pixels:
    """The image (H, W, 3) at the policy's size, by its kernel."""
    if policy.first is not None and min(image.size) > policy.first:
        reduced = target_size(image.size, ImagePolicy("short_side", policy.first))
        image = image.resize(reduced, Image.Resampling.BICUBIC)
    size = target_size(image.size, policy)
    return np.asarray(image) if size == image.size else scaled(image, size, policy.kernel)


def scaled(image: Image.Image, size: tuple[int, int], kernel: Kernel) -> Pixels:
    """An RGB image at (width, height), as (height, width, 3); see `ImagePolicy` on kernels."""
    if kernel in PILLOW:
        return np.asarray(image.resize(size, PILLOW[kernel]))
    if kernel == "cv2":
        import cv2

        return np.asarray(cv2.resize(np.asarray(image), size, interpolation=cv2.INTER_CUBIC))
    try:
        from skimage.transform import resize as skimage_resize
    except ImportError:
        raise BenchError("the resize kernel 'skimage' needs scikit-image; install it") from None
    found = skimage_resize(np.asarray(image), size[::-1])  # 0 to 1
    return np.asarray((found * 255).round(), dtype=np.uint8)


def target_size(size: tuple[int, int], policy: ImagePolicy) -> tuple[int, int]:
    """(width, height) after the policy.

    >>> target_size((1024, 768), ImagePolicy("short_side", 384))
    (512, 384)
    >>> target_size((1024, 768), ImagePolicy("squash", (384, 512)))
    (384, 512)
    """
    if policy.resize == "none" or policy.size is None:
        return size
    if isinstance(policy.size, tuple):
        return policy.size
    if policy.resize == "squash":
        return policy.size, policy.size
    width, height = size
    scale = policy.size / min(width, height)
    return max(policy.size, round(width * scale)), max(policy.size, round(height * scale))


def _not_an_image(path: Path) -> str:
    return "empty file" if path.stat().st_size == 0 else "not an image"


def _why(error: Exception) -> str:
    text = str(error)
    if "truncated" in text.lower() or "eof" in text.lower() or isinstance(error, EOFError):
        return "truncated"
    return f"cannot be decoded ({text or type(error).__name__})"
