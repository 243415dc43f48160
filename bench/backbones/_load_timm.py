"""Building and filling networks of timm; imported only when one is loaded."""

from __future__ import annotations

import csv
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from bench.backbones import weight_files
from bench.backbones.info import BackboneError, TimmInfo
from bench.backbones.timm_names import LITE0, LITE0_NAMES, LITE0_PACKAGE


def load_timm(info: TimmInfo, file: Path | None, seed: int) -> nn.Module:
    """A network in float32 with its weights, without a classifier (`lite0` keeps its own).

    `file` is the weights file, if any. BackboneError for weights that are not available or
    do not fit.
    """
    if info.name == LITE0:
        assert file is not None
        return _lite0(file)
    if info.pretrained is None:
        torch.manual_seed(seed)
        return timm.create_model(info.model, num_classes=0)
    return _from_tag(info) if file is None else _from_file(info, file)


def lite0_tensors(file: Path) -> dict[str, Tensor]:
    """The package's tensors under timm's names. KeyError for a file that lacks one."""
    with LITE0_NAMES.open(encoding="utf-8") as stream:
        names = {row["timm"]: row["package"] for row in csv.DictReader(stream, delimiter="\t")}
    found = weight_files.read(file).tensors
    return {ours: found[theirs] for ours, theirs in names.items()}


def _lite0(file: Path) -> nn.Module:
    # The `tf_` variant pads as TensorFlow does, which these weights were trained with.
    model: nn.Module = timm.create_model("tf_efficientnet_lite0")
    try:
        model.load_state_dict(lite0_tensors(file))
    except Exception as error:  # damaged files fail in many classes
        raise BackboneError(
            f"backbone '{LITE0}': {file} does not hold the weights of {LITE0_PACKAGE} "
            f"({type(error).__name__}: {' '.join(str(error).split())[:200]}); reinstall the package"
        ) from error
    return model


def _from_tag(info: TimmInfo) -> nn.Module:
    full = f"{info.model}.{info.pretrained}"
    try:
        model: nn.Module = timm.create_model(full, pretrained=True, num_classes=0)
    except Exception as error:  # the hub's client raises errors of many unrelated kinds
        detail = " ".join(str(error).split())[:160]
        config = timm.get_pretrained_cfg(full)
        hub = (config and config.hf_hub_id) or f"timm/{full}"
        raise BackboneError(
            f"backbone '{info.name}': could not fetch {full} through timm "
            f"({type(error).__name__}: {detail}). Without a network, copy the file "
            f"model.safetensors of {hub} from a machine that has it, and name it: "
            f"timm:{info.model}:{info.pretrained}:FOLDER/model.safetensors"
        ) from error
    return model


def _from_file(info: TimmInfo, file: Path) -> nn.Module:
    model: nn.Module = timm.create_model(info.model, num_classes=0)
    # Strict, unlike timm's own reading, which lets pass what is missing once a classifier is.
    try:
        model.load_state_dict(_without_classifier(info, weight_files.read(file).tensors))
    except Exception as error:
        raise BackboneError(
            f"backbone '{info.name}': {file} does not hold weights of {info.model} "
            f"({type(error).__name__}: {' '.join(str(error).split())[:300]}). Expected timm's "
            "model.safetensors, or a state dict with timm's names"
        ) from error
    return model


def _without_classifier(info: TimmInfo, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    config = timm.get_pretrained_cfg(info.model)
    named = config.classifier if config and config.classifier else ()
    left = tuple(f"{name}." for name in ([named] if isinstance(named, str) else named))
    return {name: value for name, value in tensors.items() if not name.startswith(left)}
