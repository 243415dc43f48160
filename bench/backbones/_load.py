"""Building and filling backbones; imported only when one is loaded."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol

import open_clip
import torch
from torch import Tensor, nn

from bench.backbones import (
    RANDOM_SEED,
    BackboneError,
    BackboneInfo,
    ClipInfo,
    TimmInfo,
    existing,
    resolve_clip,
    weight_files,
)
from bench.backbones.architectures import TINY_CONFIG

# Entries of OpenAI's archives that describe the model instead of holding weights.
_NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size")


class Tokenizer(Protocol):
    """Texts to int64 tokens (n, 77), or (n, context_length)."""

    def __call__(self, texts: list[str], context_length: int | None = None) -> Tensor: ...


@dataclass(frozen=True)
class Backbone:
    """A loaded network, frozen: open_clip's module with its tokenizer, or one of timm's."""

    info: BackboneInfo
    model: Any

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """Made at first use: some models' tokenizers come from the hub, and features need none.

        BackboneError if it is not available.
        """
        return tokenizer_for(self.info.name)


@lru_cache(maxsize=1)
def _register() -> None:
    open_clip.add_model_config(TINY_CONFIG)


def empty_model(name: str, patch_dropout: float | None = None) -> Any:
    """An open_clip model of a backbone's architecture with freshly drawn float32 weights."""
    _register()
    return _architecture(resolve_clip(name), force_patch_dropout=patch_dropout)


def _architecture(info: ClipInfo, **options: Any) -> Any:
    before = logging.root.manager.disable
    # open_clip warns that the weights are random; here they are filled in next, or meant to be.
    logging.disable(logging.WARNING)
    try:
        return open_clip.create_model(
            info.model,
            load_weights=False,
            pretrained_text=False,
            force_quick_gelu=info.quick_gelu,
            **options,
        )
    finally:
        logging.disable(before)


def tokenizer_for(name: str) -> Tokenizer:
    """open_clip's tokenizer for a backbone: texts to int64 tokens (n, 77)."""
    _register()
    try:
        tokenizer: Tokenizer = open_clip.get_tokenizer(resolve_clip(name).model)
    except Exception as error:  # of transformers or the hub's client, in many classes
        detail = " ".join(str(error).split())[:160]
        raise BackboneError(
            f"backbone {name!r}: its tokenizer could not be loaded ({type(error).__name__}: "
            f"{detail}); it comes from the Hugging Face hub and needs the package transformers. "
            "Methods on image features alone (ridge, svr, linear_probe) work without it"
        ) from error
    return tokenizer


def load_backbone(info: BackboneInfo, device: str) -> Backbone:
    """See `bench.backbones.load`."""
    _register()
    # Building a model draws weights, also where a file replaces them: not at a caller's expense.
    with torch.random.fork_rng(devices=[]):
        model = _timm(info) if isinstance(info, TimmInfo) else _clip(info)
    model = model.float().eval().to(device)
    model.requires_grad_(False)
    return Backbone(info, model)


def _timm(info: TimmInfo) -> Any:
    from bench.backbones._load_timm import load_timm

    return load_timm(info, existing(info) if info.file else None, RANDOM_SEED)


def _clip(info: BackboneInfo) -> Any:
    assert isinstance(info, ClipInfo)
    if info.pretrained is None:
        torch.manual_seed(RANDOM_SEED)
        return _architecture(info)
    if info.file is None:
        return _from_tag(info, info.pretrained)
    return _from_file(info, existing(info))


def _from_tag(info: ClipInfo, tag: str) -> Any:
    try:
        return open_clip.create_model(info.model, pretrained=tag, force_quick_gelu=info.quick_gelu)
    # The hub's client raises errors of many unrelated kinds; none is worth a traceback.
    except Exception as error:
        detail = " ".join(str(error).split())[:160]
        hub = open_clip.get_pretrained_cfg(info.model, tag).get("hf_hub", "").rstrip("/")
        raise BackboneError(
            f"backbone {info.name!r}: could not fetch {info.model} / {tag} through open_clip "
            f"({type(error).__name__}: {detail}). Without a network, copy the file "
            f"open_clip_model.safetensors of {hub or tag} from a machine that has it, and name it: "
            f"{info.name}:FOLDER/open_clip_model.safetensors"
        ) from error


def _from_file(info: ClipInfo, path: Path) -> Any:
    model = _architecture(info)
    try:
        _fill(model, weight_files.read(path).tensors)
    except Exception as error:
        raise BackboneError(
            f"backbone {info.name!r}: {path} does not hold weights of {info.model} "
            f"({type(error).__name__}: {' '.join(str(error).split())[:300]}). "
            "Expected an open_clip or OpenAI checkpoint: a state dict or an archive with one"
        ) from error
    return model


def _fill(model: nn.Module, tensors: dict[str, Any]) -> None:
    model.load_state_dict({key: value for key, value in tensors.items() if key not in _NOT_WEIGHTS})
