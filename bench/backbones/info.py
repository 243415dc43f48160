"""Facts on a backbone that need no loading, and the errors of all backbones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from bench.backbones import architectures
from bench.backbones.architectures import Config, Tower
from bench.util.errors import BenchError, UsageError

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
"""Endings of weights files."""


class BackboneError(BenchError, RuntimeError):
    """Weights that are missing, cannot be fetched or do not fit; the message tells the remedy."""


class UnknownBackboneError(UsageError, ValueError):
    """An unknown backbone, or one that cannot do what is asked of it."""


@dataclass(frozen=True)
class BackboneInfo:
    """The facts on any backbone."""

    name: str
    architecture: str
    """The name without the weights: how they are used."""
    model: str
    """The library's name of the architecture."""
    pretrained: str | None
    """A tag of the library's, the path of a weights file, or None for random weights."""
    image_size: int
    """Side in pixels of the square that the network was trained on."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Normalise RGB in 0-1, with `mean`."""
    description: str

    @property
    def file(self) -> Path | None:
        """The weights file, or None if the weights are a tag or random."""
        named = self.pretrained is not None and self.pretrained.endswith(SUFFIXES)
        return Path(self.pretrained) if named and self.pretrained else None


@dataclass(frozen=True)
class ClipInfo(BackboneInfo):
    """An image tower and a text tower, of open_clip."""

    embed_dim: int
    """Length of the joint features."""
    quick_gelu: bool
    """Whether the activation is OpenAI's approximate one."""

    @cached_property
    def config(self) -> Config:
        """open_clip's own description of the architecture."""
        return architectures.config(self.model)

    @property
    def tower(self) -> Tower:
        """The kind of its image tower."""
        return architectures.tower_of(self.config)


@dataclass(frozen=True)
class TimmInfo(BackboneInfo):
    """An image network of timm, without texts."""

    interpolation: Literal["bicubic", "bilinear"]
    """How images were resized when its weights were trained."""
    shown: float
    """The share of an image's shorter side that the network saw in evaluation."""
    fixed_size: bool
    """Whether it takes squares of `image_size` alone (positional embeddings)."""


@dataclass(frozen=True)
class ViTInfo:
    """Sizes of an image tower that is open_clip's own vision transformer."""

    image_size: int
    patch_size: int
    layers: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
