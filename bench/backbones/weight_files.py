"""The tensors of a weights file by name, written by any program. No code in it is executed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from bench.backbones.openai_archives import is_archive, read_archive

WRAPPERS = ("state_dict", "params", "model")
"""Keys under which training programs save a state dict."""
PARALLEL = "module."
"""DataParallel's prefix of every name."""


@dataclass(frozen=True)
class WeightFile:
    """The content of a weights file."""

    tensors: dict[str, Tensor]
    """In the file's own precision, on the CPU; names without 'module.'."""
    header: dict[str, str | int | float] = field(default_factory=dict)
    """Plain values beside the tensors: metadata of safetensors, or an epoch, say, of a
    `torch.save`."""


def read(path: Path) -> WeightFile:
    """Read safetensors, a `torch.save` (bare, or under one of `WRAPPERS`) or a TorchScript archive.

    Pickled files are read with `weights_only`, archives as data. Raises OSError, ValueError (a file
    without tensors) or an error of safetensors, torch or pickle for a damaged file.
    """
    if path.suffix == ".safetensors" or _looks_like_safetensors(path):
        found = _safetensors(path)
    elif is_archive(path):
        found = WeightFile(read_archive(path))
    else:
        found = _pickled(torch.load(path, map_location="cpu", weights_only=True))
    if not found.tensors:
        raise ValueError("it holds no state dict")
    bare = {name.removeprefix(PARALLEL): value for name, value in found.tensors.items()}
    return WeightFile(bare, found.header)


def _looks_like_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(9)
    # Eight bytes give the length of the header, which is JSON.
    return len(start) == 9 and start[8:9] == b"{"


def _safetensors(path: Path) -> WeightFile:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return WeightFile(tensors, dict(file.metadata() or {}))


def _pickled(content: Any) -> WeightFile:
    header: dict[str, str | int | float] = {}
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            header |= _plain(content)
            content = content[key]
    items = content.items() if isinstance(content, Mapping) else ()
    return WeightFile({str(k): v for k, v in items if isinstance(v, Tensor)}, header)


def _plain(content: Mapping[Any, Any]) -> dict[str, str | int | float]:
    return {str(k): v for k, v in content.items() if isinstance(v, str | int | float)}
