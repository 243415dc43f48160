"""The images of a dataset, if the database is on this machine, encoded for a page."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.data import datasets
from bench.data.datasets import Roots
from bench.data.images.decode import decode
from bench.data.images.files import Tree
from bench.util.atomic import replacing
from bench.util.errors import BenchError

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Look:
    """Size and quality of images on a page."""

    size: int
    """Longer side in pixels at most; larger images are scaled down."""
    lossless: bool
    """Whether pixels are kept exactly; otherwise WebP at quality 92."""

    @property
    def text(self) -> str:
        """What a page says about it: who judges distortions must know."""
        kind = "without further loss" if self.lossless else "compressed as WebP at quality 92"
        return f"Images are at most {self.size} pixels wide or high, {kind}."


@dataclass(frozen=True)
class EncodedImage:
    """One encoded image."""

    file: str
    """Name of its file under the page's image folder."""
    width: int
    height: int


@dataclass
class Album:
    """Finds and encodes a dataset's images. Nothing is rendered, downloaded or looked for twice."""

    spec: str
    """Dataset that the images belong to."""
    reason: str = ""
    """Why there are none, '' where the database was found."""
    tree: Tree | None = None
    _pixels: dict[tuple[str, int], Pixels] = field(default_factory=dict)

    @classmethod
    def of(cls, spec: str, roots: Roots = None) -> Album:
        """The images of a dataset under the data roots."""
        try:
            root = datasets.locate(spec, roots)
            if root is not None:
                return cls(spec, tree=Tree(datasets.image_folder(spec, root, roots)))
        except BenchError as error:  # a database of somebody else's configuration
            return cls(spec, reason=f"its images are not on this machine ({error})")
        return cls(spec, reason="its images are not on this machine; --data-root says where")

    def lost(self, names: Iterable[str]) -> str:
        """Why these images cannot all be shown, '' where they can."""
        if self.tree is None:
            return self.reason
        gone = [name for name in names if self.tree.find(name) is None]
        return f"{len(gone)} of its image files are missing, e.g. {gone[0]}" if gone else ""

    def pixels(self, name: str, size: int) -> Pixels:
        """An image as (H, W, 3) uint8, its longer side at most `size`.

        Raises `DataError` where the file cannot be decoded.
        """
        key = (name, size)
        if key not in self._pixels:
            self._pixels[key] = _decode(self._file(name), size)
        return self._pixels[key]

    def encode(self, name: str, look: Look, folder: Path) -> EncodedImage:
        """Write an image to `folder` unless it is there from an earlier report."""
        from PIL import Image

        file = self._file(name)
        status = file.stat()
        identity = repr([self.spec, name, status.st_size, status.st_mtime_ns, look])
        path = folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.webp"
        if not path.exists():
            options = {"lossless": True} if look.lossless else {"quality": 92}
            image = Image.fromarray(_decode(file, look.size))
            with replacing(path) as temporary:
                image.save(temporary, format="WEBP", **options)
        with Image.open(path) as image:
            return EncodedImage(path.name, image.width, image.height)

    def _file(self, name: str) -> Path:
        assert self.tree is not None, self.reason
        file = self.tree.find(name)
        assert file is not None, name
        return file


def _decode(file: Path, size: int) -> Pixels:
    from PIL import Image

    from bench.api import ImagePolicy

    image = Image.fromarray(decode(file, ImagePolicy()))
    if max(image.size) > size:
        image.thumbnail((size, size), Image.Resampling.LANCZOS)
    return np.asarray(image)
