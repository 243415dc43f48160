"""CLIP backbones by name, all of them open_clip models.

A name is `tiny`, `ViT-B-16:openai`, `ViT-B-16:random` or `ViT-B-16:PATH` with a weights file
(`.safetensors`, `.pt`, `.pth` or `.bin`). Nothing here imports torch before `load` is called.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from bench.util.errors import BenchError, UsageError

if TYPE_CHECKING:
    from bench.backbones._load import Backbone

__all__ = [
    "BackboneError",
    "BackboneInfo",
    "UnknownBackboneError",
    "identity",
    "list_backbones",
    "load",
    "resolve",
    "shared",
]

TINY_CONFIG = Path(__file__).parent / "tiny" / "iqa-bench-tiny.json"
TINY_WEIGHTS = TINY_CONFIG.with_name("iqa-bench-tiny.safetensors")
RANDOM_SEED = 0

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)
_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")


class BackboneError(BenchError, RuntimeError):
    """Weights that are missing, cannot be fetched or do not fit; says how to put them right."""


class UnknownBackboneError(UsageError, ValueError):
    """A name that no backbone has."""


@dataclass(frozen=True)
class BackboneInfo:
    """What is known of a backbone without loading it.

    `model` is the open_clip model name; `pretrained` an open_clip tag, the path of a weights
    file, or None for random weights. `image_size` and `patch_size` are in pixels, `layers` and
    `width` those of the image tower, `embed_dim` is the length of the joint features. `mean` and
    `std` normalise RGB in [0, 1].
    """

    name: str
    model: str
    pretrained: str | None
    image_size: int
    patch_size: int
    layers: int
    width: int
    embed_dim: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    description: str

    @property
    def file(self) -> Path | None:
        """The weights file, or None where the weights are a tag or random."""
        named = self.pretrained is not None and self.pretrained.endswith(_SUFFIXES)
        return Path(self.pretrained) if named and self.pretrained else None


def _vit(weights: str | None, name: str, description: str) -> BackboneInfo:
    return BackboneInfo(
        name=name,
        # OpenAI trained with QuickGELU; open_clip's plain ViT-B-16 has another activation.
        model="ViT-B-16-quickgelu",
        pretrained=weights,
        image_size=224,
        patch_size=16,
        layers=12,
        width=768,
        embed_dim=512,
        mean=_MEAN,
        std=_STD,
        description=description,
    )


@lru_cache(maxsize=1)
def _tiny() -> BackboneInfo:
    config = json.loads(TINY_CONFIG.read_text(encoding="utf-8"))
    vision = config["vision_cfg"]
    return BackboneInfo(
        name="tiny",
        model=TINY_CONFIG.stem,
        pretrained=str(TINY_WEIGHTS),
        image_size=vision["image_size"],
        patch_size=vision["patch_size"],
        layers=vision["layers"],
        width=vision["width"],
        embed_dim=config["embed_dim"],
        mean=_MEAN,
        std=_STD,
        description="a small CLIP trained on rendered scenes, for trying and testing the harness",
    )


def list_backbones() -> list[BackboneInfo]:
    """The backbones that have a name of their own (weights files come on top)."""
    return [
        _tiny(),
        _vit("openai", "ViT-B-16:openai", "CLIP ViT-B/16 as OpenAI released it"),
        _vit(None, "ViT-B-16:random", "CLIP ViT-B/16 with seeded random weights, for timing"),
    ]


def resolve(name: str) -> BackboneInfo:
    """What a name stands for; a weights file need not exist yet.

    Raises UnknownBackboneError (a ValueError) that names the nearest right name.
    """
    for info in list_backbones():
        if info.name == name:
            return info
    model, _, weights = name.partition(":")
    if model == "ViT-B-16" and weights.endswith(_SUFFIXES):
        where = str(Path(weights).expanduser())
        info = _vit(where, name, f"CLIP ViT-B/16 from {Path(weights).name}")
        return replace(info, pretrained=where)
    known = [info.name for info in list_backbones()]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.3)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UnknownBackboneError(
        f"unknown backbone {name!r}: {hint}Known: {', '.join(known)}, "
        f"ViT-B-16:PATH with a file ending in {', '.join(_SUFFIXES)}"
    )


@lru_cache(maxsize=64)
def _digest(path: str, size: int, modified: int) -> str:
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def identity(name: str) -> dict[str, str]:
    """What defines a backbone's features: `name` of the architecture and `weights`.

    `weights` is "sha256:..." of a file, "tag:..." or "random:SEED"; the path of a file stays out,
    so that moving it changes nothing. Raises BackboneError for a missing file.
    """
    info = resolve(name)
    architecture = name.partition(":")[0]
    if info.pretrained is None:
        return {"name": architecture, "weights": f"random:{RANDOM_SEED}"}
    if info.file is None:
        return {"name": architecture, "weights": f"tag:{info.pretrained}"}
    path = existing(info)
    stat = path.stat()
    return {
        "name": architecture,
        "weights": f"sha256:{_digest(str(path.resolve()), stat.st_size, stat.st_mtime_ns)}",
    }


def existing(info: BackboneInfo) -> Path:
    """The weights file of a backbone that has one. Raises BackboneError if it is not there."""
    path = info.file
    if path is not None and path.is_file():
        return path
    advice = (
        "reinstall iqa-bench, or make them with: python -m tools.tiny.train"
        if info.name == "tiny"
        else "put an open_clip or OpenAI checkpoint of ViT-B/16 there, or use ViT-B-16:openai"
    )
    raise BackboneError(f"backbone {info.name!r}: no weights file at {path}; {advice}")


def load(name: str, device: str = "cpu") -> Backbone:
    """Load a backbone: frozen, in float32 and evaluation mode, on `device`.

    Raises UnknownBackboneError for a wrong name and BackboneError for weights that are missing,
    cannot be downloaded or do not fit.
    """
    from bench.backbones._load import load_backbone

    return load_backbone(resolve(name), device)


def shared(name: str, device: str = "cpu") -> Backbone:
    """As `load`, but one copy for all who only look through it; whoever trains takes `load`.

    The last two are kept, so that the repeats of a run read no weights again. Raises as `load`.
    """
    info = resolve(name)
    state = existing(info).stat() if info.file else None
    return _kept(name, device, (state.st_size, state.st_mtime_ns) if state else ())


@lru_cache(maxsize=2)
def _kept(name: str, device: str, state: tuple[int, ...]) -> Backbone:
    """`state` is in the key alone: a file that was replaced is read again."""
    return load(name, device)
