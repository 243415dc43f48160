"""Files of tensors that a network starts from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.api import BenchError

if TYPE_CHECKING:
    from torch import nn


def start_from(network: nn.Module, path: Path) -> str:
    """Take the tensors of a file that fit by name and shape; says how many.

    Reads safetensors and files of `torch.save`, bare or under 'params', 'state_dict' or 'model';
    nothing in them is executed. BenchError where no tensor fits.
    """
    found = tensors_of(path)
    present = network.state_dict()
    fitting = {k: v for k, v in found.items() if k in present and v.shape == present[k].shape}
    if not fitting:
        raise BenchError(f"'{path}': none of its {len(found)} tensors fits this network")
    network.load_state_dict(fitting, strict=False)
    return f"started from {len(fitting)} of {len(present)} tensors of {path.name}"


def tensors_of(path: Path) -> dict[str, Any]:
    """The tensors in a file by name, as `start_from` reads it. BenchError for another file."""
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise BenchError(f"'{path}' is not a checkpoint that can be read: {error}") from error
    for key in ("params", "state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    tensors = found.items() if isinstance(found, Mapping) else ()
    return {str(k).removeprefix("module."): v for k, v in tensors if isinstance(v, torch.Tensor)}
