"""Neutral names for images, since a file's name may hold its distortion and its level."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from bench.api import Images

DIGITS = 20
"""Hexadecimal digits of the pixels' digest in a name."""


@dataclass(frozen=True)
class Neutral:
    """The same images under neutral names."""

    images: Images
    real: dict[str, str]
    """Neutral name -> the image's own."""

    @classmethod
    def of(cls, images: Images) -> Neutral:
        """Name each image by its pixels, so that names depend on neither files nor order.

        Equal pictures are numbered in the order of their own names.
        """
        keys = [images.digest(index)[:DIGITS] for index in range(len(images))]
        seen: Counter[str] = Counter()
        names = [""] * len(keys)
        for index in sorted(range(len(keys)), key=lambda index: images.names[index]):
            key = keys[index]
            names[index] = f"{key}-{seen[key]}" if seen[key] else key
            seen[key] += 1
        return cls(images.renamed(names), dict(zip(names, images.names, strict=True)))
