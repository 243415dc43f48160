"""open_clip's architectures and the settings of their weights.

Sizes are read from open_clip's own config files, without importing it or torch. Only the tags of
pretrained weights, with their normalisation and activation, need the package itself.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

Config = dict[str, Any]
Tower = Literal["vit", "resnet", "timm"]
"""Image towers: open_clip's own vision transformer, its ResNet, and networks of timm."""
Family = Literal["clip", "vit", "resnet", "timm"]
"""'clip' is a vision transformer with a text tower, both in CLIP's own form; the others are the
remaining architectures by image tower."""

TINY_CONFIG = Path(__file__).parent / "tiny" / "iqa-bench-tiny.json"
OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
OPENAI_MODELS = frozenset(
    {
        "RN50",
        "RN101",
        "RN50x4",
        "RN50x16",
        "RN50x64",
        "ViT-B-32",
        "ViT-B-16",
        "ViT-L-14",
        "ViT-L-14-336",
    }
)
"""OpenAI's models. Weights of these without a tag count as OpenAI's."""

_VIT = frozenset({"image_size", "layers", "width", "head_width", "mlp_ratio", "patch_size"})
_VIT_OPTIONS = _VIT | {"ls_init_value", "norm_kwargs", "act_kwargs"}
_TEXT = frozenset({"context_length", "vocab_size", "width", "heads", "layers"})


@dataclass(frozen=True)
class Preprocessing:
    """The activation and normalisation that weights require."""

    mean: tuple[float, ...] = OPENAI_MEAN
    std: tuple[float, ...] = OPENAI_STD
    quick_gelu: bool = False
    """OpenAI's approximate activation, which its weights and some later ones were trained with."""


OPENAI = Preprocessing(quick_gelu=True)


@cache
def _files() -> dict[str, Path]:
    spec = importlib.util.find_spec("open_clip")
    folders = spec.submodule_search_locations if spec else None
    found = [path for folder in folders or () for path in Path(folder, "model_configs").glob("*")]
    return {path.stem: path for path in sorted(found) if path.suffix == ".json"}


def names() -> list[str]:
    """All of open_clip's architectures."""
    return list(_files())


@cache
def config(model: str) -> Config:
    """open_clip's config of an architecture, or `tiny`'s. KeyError for an unknown name."""
    path = TINY_CONFIG if model == TINY_CONFIG.stem else _files()[model]
    content: Config = json.loads(path.read_text(encoding="utf-8"))
    return content


def tower_of(found: Config) -> Tower:
    """The kind of image tower in a config."""
    vision = found["vision_cfg"]
    if "timm_model_name" in vision:
        return "timm"
    return "resnet" if isinstance(vision["layers"], list) else "vit"


def families() -> dict[Family, list[str]]:
    """Architectures by their uses.

    The '-quickgelu' variants, which tags imply, are left out.
    """
    found: dict[Family, list[str]] = {"clip": [], "vit": [], "resnet": [], "timm": []}
    for name in names():
        if not name.endswith("-quickgelu"):
            found[_family(config(name))].append(name)
    return found


def _family(found: Config) -> Family:
    plain = not (why_no_plain_vit(found) or why_no_plain_text(found))
    return "clip" if plain else tower_of(found)


def why_no_plain_vit(found: Config) -> str:
    """Why an image tower cannot be split into blocks; empty if it can."""
    vision, tower = found["vision_cfg"], tower_of(found)
    if tower == "timm":
        return f"its image tower is timm's {vision['timm_model_name']}"
    if tower == "resnet":
        return "its image tower is a ResNet"
    odd = sorted(set(vision) - _VIT_OPTIONS)
    return f"its image tower has options of its own ({', '.join(odd)})" if odd else ""


def why_no_plain_text(found: Config) -> str:
    """Why a text tower takes no learned context; empty if it does."""
    text = found["text_cfg"]
    odd = sorted({*set(text) - _TEXT, *({"multimodal_cfg"} & set(found))})
    return f"its text tower has options of its own ({', '.join(odd)})" if odd else ""


def tags(model: str) -> list[str]:
    """open_clip's tags of pretrained weights of an architecture. Imports open_clip and torch."""
    import open_clip

    return list(open_clip.list_pretrained_tags_by_model(model))


def preprocessing(model: str, tag: str | None) -> Preprocessing | None:
    """The requirements of a tag's weights; None for an unknown tag.

    Without a tag: those of OpenAI's weights, or of the architecture's first tag.
    """
    if model in OPENAI_MODELS and tag in (None, "openai"):
        return OPENAI
    import open_clip

    known = tags(model)
    if tag is None:
        if not known:
            return Preprocessing(quick_gelu=bool(config(model).get("quick_gelu")))
        tag = known[0]
    if tag not in known:
        return None
    found = open_clip.get_pretrained_cfg(model, tag)
    return Preprocessing(
        tuple(found["mean"]), tuple(found["std"]), bool(found.get("quick_gelu", False))
    )
