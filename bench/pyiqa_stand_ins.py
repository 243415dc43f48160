"""Building pyiqa's networks without the weights that are not here, to learn which they would read.

A file that is not here reads as `Absent`, which every network loads without a change. An absent
CLIP is one of its architecture with random weights.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock


class Absent(dict[Any, Any]):
    """What a weights file that is not here holds: anything that is asked for, of no value."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def __bool__(self) -> bool:
        return True  # libraries write `found or another`

    def __missing__(self, key: Any) -> Absent:
        return self


class AbsentFile(io.BytesIO):
    """An open file that is not here."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.absent = name


@contextmanager
def stand_ins(clip_modules: Sequence[Any], create_model: Callable[..., Any]) -> Iterator[None]:
    """Inside, absent files are read as `Absent`; `create_model` is timm's in its place."""
    import scipy.io
    import timm
    import torch

    take = torch.nn.Module.load_state_dict

    def read(load: Callable[..., Any], absent: Callable[[str], Any]) -> Callable[..., Any]:
        def run(file: Any, *args: Any, **settings: Any) -> Any:
            if isinstance(file, AbsentFile):
                return absent(file.absent)
            if isinstance(file, str | Path) and not Path(file).exists():
                return absent(Path(file).name)
            return load(file, *args, **settings)

        return run

    def taken(network: Any, state: Any, *args: Any, **settings: Any) -> Any:
        # Empty: copied key by key from an absent one.
        if not dict(state) or any(isinstance(one, Absent) for one in state.values()):
            return torch.nn.modules.module._IncompatibleKeys([], [])
        return take(network, state, *args, **settings)

    with ExitStack() as stack:
        enter = stack.enter_context
        enter(mock.patch.object(timm, "create_model", create_model))
        # Some keep what they compute from weights: of stand-ins that would be wrong for ever.
        enter(mock.patch.object(torch, "save"))
        enter(mock.patch.object(torch, "load", read(torch.load, Absent)))
        enter(mock.patch.object(scipy.io, "loadmat", read(scipy.io.loadmat, Absent)))
        enter(mock.patch.object(torch.jit, "load", read(torch.jit.load, _no_script)))
        enter(mock.patch.object(torch.nn.Module, "load_state_dict", taken))
        for module in clip_modules:
            enter(mock.patch.object(module, "open", _opened, create=True))
            enter(mock.patch.object(module, "build_model", _clip(module, module.build_model)))
        yield


def _no_script(name: str) -> Any:
    """A network that gives back what it gets. Raises `RuntimeError` for a CLIP, which is then read
    as a file of tensors."""
    import torch

    if Path(name).suffix == ".pt":
        raise RuntimeError(f"{name} is not here")
    return torch.nn.Identity()


def _opened(path: Any, *args: Any, **settings: Any) -> Any:
    return Path(path).open(*args, **settings) if Path(path).exists() else AbsentFile(str(path))


def _clip(module: Any, build: Callable[..., Any]) -> Callable[..., Any]:
    """OpenAI's `build_model`, which reads the architecture off the weights; here off their name."""

    def built(state: Any) -> Any:
        if not isinstance(state, Absent):
            return build(state)
        import open_clip

        config: dict[str, Any] = open_clip.get_model_config(Path(state.name).stem) or {}
        image, text = config["vision_cfg"], config["text_cfg"]
        layers = image["layers"]
        return _class(module)(
            config["embed_dim"],
            image["image_size"],
            tuple(layers) if isinstance(layers, list) else layers,
            image["width"],
            image.get("patch_size"),
            *(text[key] for key in ("context_length", "vocab_size", "width", "heads", "layers")),
        ).eval()

    return built


def _class(module: Any) -> Any:
    """The module's class CLIP; the package `clip` has it beside."""
    import importlib

    if hasattr(module, "CLIP"):
        return module.CLIP
    return importlib.import_module(f"{module.__package__}.model").CLIP
