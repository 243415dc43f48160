"""What a method is shown: decoded images, and how a file becomes one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from bench.util.errors import DataError

Pixels = npt.NDArray[np.uint8]
"""One image, (height, width, 3), RGB."""
Indices = Sequence[int] | npt.NDArray[np.integer[Any]]


Kernel = Literal["pillow", "pillow_bilinear", "cv2", "skimage"]


@dataclass(frozen=True, repr=False)
class ImagePolicy:
    """How an image file becomes the array that a method is given; part of a run's identity.

    `none` keeps the file's own size, `squash` resizes to `size` x `size`, or to a `size` of (width,
    height), whatever the aspect ratio, `short_side` resizes so that the shorter side is `size`
    pixels. Crops are the method's own.

    The kernel is what resizes. 'pillow': bicubic with antialiasing. 'pillow_bilinear': bilinear
    with antialiasing, torchvision's `Resize` of a Pillow image. 'cv2': OpenCV's bicubic
    without antialiasing (`INTER_CUBIC`), as many released codes have it; its small images are
    sharper and aliased. 'skimage': scikit-image's `resize` with its defaults (bilinear after a
    Gaussian when shrinking), rounded to 8 bits; not verified against anybody's values.
    """

    resize: Literal["none", "squash", "short_side"] = "none"
    """What is done to the file's size."""
    size: int | tuple[int, int] | None = None
    """Pixels; None for 'none'."""
    kernel: Kernel = "pillow"
    """Without effect, and set to 'pillow', where nothing is resized."""
    reduced: tuple[tuple[str, int], ...] = ()
    """Databases whose images are reduced to a shorter side before that, by 'pillow' whatever the
    kernel: (name, pixels). So a released code that reads reduced copies is followed."""
    first: int | None = None
    """That shorter side in the policy for one database (`of`); larger images alone are reduced."""

    def __post_init__(self) -> None:
        if self.resize == "none":
            object.__setattr__(self, "kernel", "pillow")
        if (self.resize == "none") != (self.size is None):
            raise ValueError(
                "ImagePolicy: 'squash' and 'short_side' need a size, 'none' takes none"
            )
        if self.resize == "short_side" and not isinstance(self.size, int):
            raise ValueError("ImagePolicy: the size of 'short_side' is one number")

    def of(self, dataset: str) -> ImagePolicy:
        """The policy for the images of one database (its bare name)."""
        return replace(self, reduced=(), first=dict(self.reduced).get(dataset))

    def __repr__(self) -> str:
        # Records and caches hold this text; policies without these came first.
        more = "" if self.kernel == "pillow" else f", kernel={self.kernel!r}"
        more += f", reduced={self.reduced!r}" if self.reduced else ""
        more += f", first={self.first}" if self.first else ""
        return f"ImagePolicy(resize={self.resize!r}, size={self.size!r}{more})"


class Images(Protocol):
    """A read-only sequence of decoded images, (H, W, 3) uint8 RGB each."""

    @property
    def names(self) -> Sequence[str]:
        """The sample names, unique within one dataset."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Pixels: ...

    def __iter__(self) -> Iterator[Pixels]: ...

    def batch(self, indices: Indices) -> Pixels:
        """Stack images of one size: (n, H, W, 3) uint8. ValueError where sizes differ."""

    def subset(self, indices: Indices) -> Images:
        """The images at `indices`, in that order, without copying pixels."""

    def digest(self, index: int) -> str:
        """SHA-256 over shape and pixels of one image: equal pictures have equal digests."""

    def renamed(self, names: Sequence[str]) -> Images:
        """The same images under other names."""


def pixel_digest(image: Pixels) -> str:
    """SHA-256 over shape and pixels."""
    # The shape too: the same bytes may be 2 x 3 or 3 x 2 pixels.
    digest = hashlib.sha256(json.dumps(image.shape).encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


class ImageSequence:
    """What packed and in-memory images share."""

    names: Sequence[str]
    """The sample names, unique within one dataset."""

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int, /) -> Pixels:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Pixels]:
        return (self[index] for index in range(len(self)))

    def batch(self, indices: Indices) -> Pixels:
        """Stack images of one size: (n, H, W, 3) uint8. ValueError where sizes differ."""
        images = [self[int(index)] for index in indices]
        if len({image.shape for image in images}) > 1:
            first = next(i for i, image in enumerate(images) if image.shape != images[0].shape)
            raise ValueError(
                f"images of different sizes cannot be stacked: '{self.names[int(indices[0])]}' is "
                f"{images[0].shape}, '{self.names[int(indices[first])]}' {images[first].shape}"
            )
        return np.stack(images) if images else np.empty((0, 0, 0, 3), np.uint8)


class NamedImages(ImageSequence):
    """Images of which only the names are known, for methods that look at no pixels."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    def __getitem__(self, index: int, /) -> Pixels:
        raise DataError(
            f"'{self.names[index]}' was asked for its pixels by a method that says that it reads "
            "none (reads_images = False)"
        )

    def subset(self, indices: Indices) -> NamedImages:
        """The images at `indices`, in that order."""
        return NamedImages([self.names[int(index)] for index in indices])

    def digest(self, index: int) -> str:
        """SHA-256 over the name, which stands for the pixels."""
        return hashlib.sha256(self.names[index].encode()).hexdigest()

    def renamed(self, names: Sequence[str]) -> NamedImages:
        """The same images under other names."""
        return NamedImages(names)


class ArrayImages(ImageSequence):
    """Images that are in memory already: for `predict` on a few files, and for tests.

    Every array is (H, W, 3) uint8; names default to '0', '1', ... ValueError otherwise.
    """

    def __init__(self, arrays: Sequence[Pixels], names: Sequence[str] | None = None) -> None:
        self.names = tuple(names) if names is not None else tuple(map(str, range(len(arrays))))
        self._arrays = list(arrays)
        self._digests: dict[int, str] = {}
        if len(self.names) != len(self._arrays):
            raise ValueError(f"{len(self._arrays)} images, but {len(self.names)} names")
        for name, array in zip(self.names, self._arrays, strict=True):
            if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
                raise ValueError(
                    f"image '{name}' is {array.dtype} {array.shape}, not uint8 (H, W, 3)"
                )

    def __getitem__(self, index: int, /) -> Pixels:
        return self._arrays[index]

    def subset(self, indices: Indices) -> ArrayImages:
        """The images at `indices`, in that order, without copying pixels."""
        return ArrayImages(
            [self._arrays[int(i)] for i in indices], [self.names[int(i)] for i in indices]
        )

    def digest(self, index: int) -> str:
        """SHA-256 over shape and pixels of one image."""
        if index not in self._digests:
            self._digests[index] = pixel_digest(self._arrays[index])
        return self._digests[index]

    def renamed(self, names: Sequence[str]) -> ArrayImages:
        """The same images under other names."""
        return ArrayImages(self._arrays, names)
