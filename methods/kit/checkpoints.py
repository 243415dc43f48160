"""Reading and writing weights, for every method."""

from __future__ import annotations

import os
import pickle
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.api import BenchError
from bench.backbones import weight_files
from bench.backbones.weight_files import WeightFile

SHOWN = 5
"""Names that an error lists of each kind; the others are counted."""


def read(path: Path) -> WeightFile:
    """The tensors of a checkpoint by name, without 'module.', and the plain values beside them.

    Takes safetensors, files of `torch.save` and TorchScript archives; nothing in them is executed.
    BenchError that names the file and the problem.
    """
    if not path.is_file():
        raise BenchError(f"there is no file '{path}'")
    try:
        return weight_files.read(path)
    except pickle.UnpicklingError as error:  # its text advises to execute what is in the file
        reason = "it is damaged, or holds other things than tensors and plain values"
        raise BenchError(f"'{path}' is not a checkpoint that can be read: {reason}") from error
    except Exception as error:  # damaged files fail in many classes, none worth a traceback
        reason = (str(error).splitlines() or ["it is empty"])[0]
        raise BenchError(f"'{path}' is not a checkpoint that can be read: {reason}") from error


def write(path: Path, tensors: Mapping[str, Tensor], **header: str) -> None:
    """Write tensors to one safetensors file, in one step."""
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    save_file(plain, temporary, metadata=header or None)
    temporary.replace(path)


def misfits(
    present: Mapping[str, Tensor], tensors: Mapping[str, Tensor], required: Iterable[str]
) -> str:
    """Why tensors do not fit a state dict, in one line; empty if they fit.

    >>> here = {"a": torch.zeros(2), "b": torch.zeros(3)}
    >>> misfits(here, {"a": torch.zeros(5), "c": torch.zeros(1)}, here)
    '1 missing (b); 1 unexpected (c); 1 mis-shaped (a (5,) instead of (2,))'
    """
    shapes = [
        f"{name} {tuple(value.shape)} instead of {tuple(present[name].shape)}"
        for name, value in tensors.items()
        if name in present and value.shape != present[name].shape
    ]
    kinds = (
        ("missing", set(required) - set(tensors)),
        ("unexpected", set(tensors) - set(present)),
        ("mis-shaped", shapes),
    )
    return "; ".join(f"{len(names)} {what} ({_some(names)})" for what, names in kinds if names)


def _some(names: Collection[str]) -> str:
    more = f", … {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(sorted(names)[:SHOWN]) + more


def put(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    origin: str,
    required: Iterable[str] | None = None,
    own: bool = False,
) -> None:
    """Give the model the tensors by name, in the model's precision and on its device.

    `required` are the names that must be there, by default all of the model's. Values are copied
    into the tensors that are there, where a captured CUDA graph or an optimiser looks for them.
    With `own` tensors that differ are replaced instead: the model may share the present ones with
    another (`clip_tower.private_copy`). Parameters on the meta device are always replaced.
    BenchError that starts with `origin` and lists what is missing, unexpected or of another shape;
    the model is then as it was.
    """
    present = model.state_dict()
    if problems := misfits(present, tensors, present if required is None else required):
        raise BenchError(f"{origin} does not fit this model: {problems}")
    fitting = {name: _like(present[name], value) for name, value in tensors.items()}
    if own:
        # What is equal stays shared, and takes no memory.
        fitting = {n: v.clone() for n, v in fitting.items() if not torch.equal(v, present[n])}
    replace = own or any(value.is_meta for value in present.values())
    model.load_state_dict(fitting, strict=False, assign=replace)


def _like(present: Tensor, value: Tensor) -> Tensor:
    return value.to(present.dtype) if present.is_meta else value.to(present)


def start_from(network: nn.Module, path: Path) -> str:
    """Load the tensors of a file that fit by name and shape; returns a text with their number.

    BenchError if none fits, or for a file that cannot be read.
    """
    found = read(path).tensors
    present = network.state_dict()
    fitting = {k: v for k, v in found.items() if k in present and v.shape == present[k].shape}
    if not fitting:
        raise BenchError(f"'{path}': none of its {len(found)} tensors fits this network")
    network.load_state_dict(fitting, strict=False)
    return f"started from {len(fitting)} of {len(present)} tensors of {path.name}"
