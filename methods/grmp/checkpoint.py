"""Reading and writing weights: ours (safetensors) and the authors' published files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bench.api import BenchError
from methods.kit.clip_tower import own

FORMAT = "iqa-bench-grmp-1"
OPTIONAL = frozenset({"text_encoder.token_embedding.weight"})
"""The authors' pre-training files lack it."""
SHOWN = 5


def write(path: Path, tensors: Mapping[str, Tensor], **header: str) -> None:
    """Write tensors to one safetensors file, in one step."""
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    save_file(plain, temporary, metadata={"format": FORMAT, **header})
    temporary.replace(path)


def is_ours(path: Path) -> bool:
    """Whether `write` made the file."""
    try:
        with safe_open(path, framework="pt") as file:
            return bool((file.metadata() or {}).get("format") == FORMAT)
    except Exception:
        return False


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, as float32.

    Takes safetensors, or a file of `torch.save` with a bare state dict or one under `state_dict`,
    names with or without `module.`. Nothing in the file is executed.
    """
    try:
        found = load_file(path) if _is_safetensors(path) else _unpickled(path)
    except BenchError:
        raise
    except Exception as error:
        raise BenchError(f"'{path}' is not a checkpoint that can be read: {error}") from error
    return {name.removeprefix("module."): value.float() for name, value in found.items()}


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(9)
    return len(start) == 9 and start[8:9] == b"{"


def _unpickled(path: Path) -> dict[str, Tensor]:
    found = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping) or not found:
        raise BenchError(f"'{path}' holds no state dict")
    return {str(name): value for name, value in found.items() if isinstance(value, Tensor)}


def put(
    model: nn.Module, tensors: Mapping[str, Tensor], required: Iterable[str], origin: str
) -> None:
    """Give the model the tensors by name, as parameters and buffers of its own.

    `required` are the names that must be there. BenchError with all missing, unexpected and
    mis-shaped names where they do not fit; the model is then as it was.
    """
    present = model.state_dict()
    missing = sorted(set(required) - set(tensors) - OPTIONAL)
    unexpected = sorted(set(tensors) - set(present))
    shapes = [
        f"{name} {tuple(value.shape)} instead of {tuple(present[name].shape)}"
        for name, value in sorted(tensors.items())
        if name in present and value.shape != present[name].shape
    ]
    problems = [
        f"{len(names)} {what} ({_some(names)})"
        for what, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("mis-shaped", shapes),
        )
        if names
    ]
    if problems:
        raise BenchError(f"'{origin}' does not fit this model: {'; '.join(problems)}")
    parameters = dict(model.named_parameters())
    for name, value in tensors.items():
        value = value.to(present[name].device)
        if torch.equal(value, present[name]):
            continue
        if name in parameters:
            own(model, name, value)
        else:
            present[name].copy_(value)


def _some(names: list[str]) -> str:
    more = f", … {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
