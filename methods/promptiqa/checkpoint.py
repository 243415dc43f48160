"""Reads checkpoints strictly: the published file, a bare state dict, or safetensors."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from bench.api import UsageError

SHOWN = 6


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], int | None]:
    """The state dict in `path` without `module.` prefix, and its `prompt_num` where it has one.

    Nothing in the file is executed (`weights_only`). Raises `UsageError` for a file that is not
    there or holds something else.
    """
    if not path.is_file():
        raise UsageError(f"promptiqa.checkpoint: no file '{path}'")
    try:
        if path.suffix == ".safetensors":
            return _bare(load_file(path)), None
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, ValueError) as error:
        raise UsageError(
            f"promptiqa.checkpoint: '{path.name}' is not a PyTorch file of plain tensors: "
            f"{str(error).splitlines()[0] if str(error) else 'it is empty'}"
        ) from error
    state = content.get("state_dict", content) if isinstance(content, dict) else content
    if not _is_state(state):
        raise UsageError(f"promptiqa.checkpoint: '{path.name}' holds no state dict")
    count = content.get("prompt_num")
    return _bare(state), int(count) if isinstance(count, int) else None


def _is_state(state: object) -> bool:
    if not isinstance(state, Mapping) or not state:
        return False
    return all(isinstance(value, Tensor) for key, value in state.items() if key != "prompt_num")


def _bare(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    return {key.removeprefix("module."): value for key, value in tensors.items()}


def fit_state(model: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Load `state` strictly; tensors of a model on the meta device are taken as they are.

    Raises `UsageError` that lists missing, unexpected and mis-shaped keys.
    """
    expected = model.state_dict()
    problems = [
        _list("missing", expected.keys() - state.keys()),
        _list("unexpected", state.keys() - expected.keys()),
        _list("of another shape", _misshapen(expected, state)),
    ]
    if any(problems):
        details = "; ".join(text for text in problems if text)
        raise UsageError(f"{what} does not fit this PromptIQA model: {details}")
    meta = any(value.is_meta for value in expected.values())
    model.load_state_dict(dict(state), strict=True, assign=meta)


def _misshapen(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    return [
        f"{key} {tuple(state[key].shape)} instead of {tuple(value.shape)}"
        for key, value in expected.items()
        if key in state and state[key].shape != value.shape
    ]


def _list(what: str, keys: Iterable[str]) -> str:
    found = sorted(keys)
    if not found:
        return ""
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"{what}: {', '.join(found[:SHOWN])}{more}"
