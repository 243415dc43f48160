"""Tensors of a TorchScript archive (OpenAI's own CLIP files), read without running its program.

`torch.jit.load` loads code along with the weights. An archive is a zip file whose `data.pkl` is a
tree of modules with their tensors' places in it; here that tree is read as data. The pickle may
name modules, tensors and lists, and nothing that can be called.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_TYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_LISTS = ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist")


class _Module:
    """A module of the archive: its attributes by name."""

    def __setstate__(self, state: Any) -> None:
        self.attributes = state if isinstance(state, dict) else {}


class _Reader(pickle.Unpickler):
    """Reads `data.pkl`; refuses every name that is not listed here."""

    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{folder}/data.pkl")))
        self._archive = archive
        self._folder = folder

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return _Module
        known: dict[tuple[str, str], Callable[..., Any] | torch.dtype] = {
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("collections", "OrderedDict"): OrderedDict,
            ("torch.jit._pickle", "restore_type_tag"): _untagged,
            **{("torch.jit._pickle", kind): list for kind in _LISTS},
            **{("torch", kind): dtype for kind, dtype in _TYPES.items()},
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"'{module}.{name}' does not belong into weights")
        return known[module, name]

    def persistent_load(self, pid: Any) -> Tensor:
        _, dtype, key, *_ = pid
        content = bytearray(self._archive.read(f"{self._folder}/data/{key}"))
        return torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)


def is_archive(path: Path) -> bool:
    """Whether a file is a TorchScript archive rather than one of `torch.save`."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read_archive(path: Path) -> dict[str, Tensor]:
    """The state dict of a TorchScript archive; none of its code is loaded.

    Raises `pickle.UnpicklingError`, `zipfile.BadZipFile`, ValueError or KeyError for a file that
    is something else.
    """
    with zipfile.ZipFile(path) as archive:
        inside = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        folder = next(inside, "").rpartition("/")[0]
        if not folder:
            raise ValueError("a zip file without data.pkl is not a TorchScript archive")
        root = _Reader(archive, folder).load()
    return dict(_named(root, ""))


def _named(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, _Module):
        for key, part in value.attributes.items():
            yield from _named(part, f"{name}.{key}" if name else str(key))


def _tensor(
    flat: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> Tensor:
    """A view, so that a file that claims a shape beyond its bytes takes no memory."""
    return flat.as_strided(size, stride, offset)


def _untagged(value: Any, _: Any) -> Any:
    return value
