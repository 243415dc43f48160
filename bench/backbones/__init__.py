"""CLIP backbones by name, all of them open_clip models.

A name is `tiny`, or MODEL:WEIGHTS with any architecture of open_clip's. Weights are a tag of
open_clip's (`ViT-L-14:openai`, `ViT-B-16-SigLIP:webli`), a file (`ViT-B-16:PATH`, ending in
`.safetensors`, `.pt`, `.pth` or `.bin`), a file of a tag's weights, whose normalisation and
activation then hold (`ViT-B-16:laion2b_s34b_b88k:PATH`), or `random`. Nothing here imports torch
before `load` is called, except for names with a tag other than OpenAI's.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from bench.backbones import architectures
from bench.backbones.architectures import TINY_CONFIG, Config, Preprocessing, Tower
from bench.util.errors import BenchError, UsageError

if TYPE_CHECKING:
    from bench.backbones._load import Backbone

__all__ = [
    "BackboneError",
    "BackboneInfo",
    "UnknownBackboneError",
    "ViTInfo",
    "families",
    "identity",
    "list_backbones",
    "load",
    "require_text",
    "resolve",
    "resolve_vit",
    "shared",
]

TINY_WEIGHTS = TINY_CONFIG.with_name("iqa-bench-tiny.safetensors")
RANDOM_SEED = 0
OPENAI_NAME = "ViT-B-16:openai"

_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
_WITH_FILE = re.compile(r"(?:([\w-]{2,}):)?(.+)")
"""A tag, if any, and a path. A single letter in front of a colon is a drive of Windows."""


class BackboneError(BenchError, RuntimeError):
    """Weights that are missing, cannot be fetched or do not fit; says how to put them right."""


class UnknownBackboneError(UsageError, ValueError):
    """A name that no backbone has, or one of a backbone that does not do what is asked of it."""


@dataclass(frozen=True)
class BackboneInfo:
    """What is known of a backbone without loading it."""

    name: str
    model: str
    """open_clip's name of the architecture."""
    pretrained: str | None
    """A tag of open_clip's, the path of a weights file, or None for random weights."""
    image_size: int
    """Side of the square that the image tower sees, in pixels."""
    embed_dim: int
    """Length of the joint features."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Normalise RGB in 0-1, with `mean`."""
    quick_gelu: bool
    """Whether the activation is OpenAI's approximate one."""
    description: str

    @cached_property
    def config(self) -> Config:
        """open_clip's own description of the architecture."""
        return architectures.config(self.model)

    @property
    def tower(self) -> Tower:
        """What kind of image tower it has."""
        return architectures.tower_of(self.config)

    @property
    def file(self) -> Path | None:
        """The weights file, or None where the weights are a tag or random."""
        named = self.pretrained is not None and self.pretrained.endswith(_SUFFIXES)
        return Path(self.pretrained) if named and self.pretrained else None


@dataclass(frozen=True)
class ViTInfo:
    """Sizes of an image tower that is open_clip's own vision transformer."""

    image_size: int
    patch_size: int
    layers: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@lru_cache(maxsize=1)
def _tiny() -> BackboneInfo:
    return _described(
        "tiny",
        TINY_CONFIG.stem,
        str(TINY_WEIGHTS),
        Preprocessing(),
        "a small CLIP trained on rendered scenes, for trying and testing the harness",
    )


def _described(
    name: str, model: str, weights: str | None, expected: Preprocessing, description: str
) -> BackboneInfo:
    quick = f"{model}-quickgelu"
    if expected.quick_gelu and quick in architectures.names():
        model = quick
    found = architectures.config(model)
    return BackboneInfo(
        name=name,
        model=model,
        pretrained=weights,
        image_size=found["vision_cfg"]["image_size"],
        embed_dim=found["embed_dim"],
        mean=expected.mean,
        std=expected.std,
        quick_gelu=expected.quick_gelu,
        description=description,
    )


def list_backbones() -> list[BackboneInfo]:
    """The backbones that the defaults and the docs name; `families` has all the others."""
    named = (_tiny(), resolve(OPENAI_NAME), resolve("ViT-B-16:random"))
    return list(named)


def families() -> list[tuple[str, str]]:
    """Open_clip's architectures by kind, each with what can be done with it."""
    uses = {
        "clip": "every method",
        "vit": "features and texts; `bench describe MODEL:TAG` says what else",
        "resnet": "features, texts, CLIP-IQA, learned text contexts",
        "timm": "features and texts",
    }
    found = architectures.families()
    return [(f"MODEL:TAG ({kind})", f"{uses[kind]}: {', '.join(found[kind])}") for kind in found]


def resolve(name: str) -> BackboneInfo:
    """What a name stands for; a weights file need not exist yet.

    Raises UnknownBackboneError (a ValueError) that names the nearest right name.
    """
    if name == "tiny":
        return _tiny()
    model, _, weights = name.partition(":")
    if not weights or model not in architectures.names():
        raise _unknown(name)
    if weights == "random":
        expected = architectures.preprocessing(model, None)
        assert expected is not None
        return _described(
            name, model, None, expected, f"CLIP {model} with seeded random weights, for timing"
        )
    tag: str | None = weights
    path = None
    if weights.endswith(_SUFFIXES):
        match = _WITH_FILE.fullmatch(weights)
        assert match is not None
        tag, path = match[1], str(Path(match[2]).expanduser())
    expected = architectures.preprocessing(model, tag)
    if expected is None:
        raise _unknown(name, [f"{model}:{known}" for known in architectures.tags(model)])
    whose = "as OpenAI released it" if tag == "openai" else f"with the weights '{tag}'"
    where = f"from {Path(path).name}" if path else whose
    return _described(name, model, path or tag, expected, f"CLIP {model} {where}")


def _unknown(name: str, tags: list[str] | None = None) -> UnknownBackboneError:
    known = tags or ["tiny", OPENAI_NAME, *(f"{model}:TAG" for model in architectures.names())]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.3)
    hint = f"did you mean {near[0]!r}? " if near else ""
    rest = ", ".join(tags) if tags else "`bench list backbones` names them all"
    return UnknownBackboneError(
        f"unknown backbone {name!r}: {hint}Known: tiny, {OPENAI_NAME}, and MODEL:TAG, MODEL:PATH "
        f"or MODEL:TAG:PATH with a file ending in {', '.join(_SUFFIXES)} ({rest})"
    )


def resolve_vit(name: str, text: bool = False) -> ViTInfo:
    """Sizes of a backbone whose image tower can be taken apart into blocks.

    That is open_clip's own vision transformer in CLIP's form. With `text` the text tower has to be
    CLIP's too, so that a learned context can stand in front of words. Raises UnknownBackboneError
    that says what stands in the way, and as `resolve`.
    """
    info = resolve(name)
    problem = architectures.why_no_plain_vit(info.config)
    if problem:
        raise UnknownBackboneError(
            f"backbone {name!r} serves for features and texts only, not for this method: "
            f"{problem}; take one of open_clip's own vision transformers, e.g. {OPENAI_NAME}"
        )
    if text:
        require_text(name)
    vision = info.config["vision_cfg"]
    return ViTInfo(
        info.image_size,
        vision["patch_size"],
        vision["layers"],
        vision["width"],
        info.mean,
        info.std,
    )


def require_text(name: str) -> None:
    """Raises UnknownBackboneError where the text tower takes no learned context."""
    problem = architectures.why_no_plain_text(resolve(name).config)
    if problem:
        raise UnknownBackboneError(
            f"backbone {name!r} takes no learned text context: {problem}; take one with CLIP's own "
            f"text tower, e.g. {OPENAI_NAME}"
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
    tagged = _WITH_FILE.fullmatch(name.partition(":")[2]) if info.file else None
    if tagged and tagged[1]:
        architecture += f":{tagged[1]}"  # one file under another tag gives other features
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
        else f"put an open_clip or OpenAI checkpoint of {info.model} there, or name a tag of "
        f"open_clip's, e.g. {OPENAI_NAME}"
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
