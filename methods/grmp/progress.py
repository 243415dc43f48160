"""Checkpoints of a pre-training under way, so that a killed one goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from methods.grmp.prompt_settings import PretrainSettings

FILE = "grmp-pretraining.safetensors"


@dataclass(frozen=True)
class Progress:
    """A pre-training after some epochs; tensors run along with the parameters' names."""

    epoch: int
    theta: list[Tensor]
    inner: list[Tensor]
    first: list[Tensor]
    """Adam's first moments (ERM only)."""
    second: list[Tensor]
    steps: int
    best: tuple[float, list[Tensor]] | None = None


def _fingerprint(settings: PretrainSettings) -> str:
    wanted = {name: getattr(settings, name) for name in PretrainSettings.model_fields}
    text = json.dumps(wanted, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def write_progress(
    folder: Path, names: Sequence[str], settings: PretrainSettings, progress: Progress
) -> None:
    """Replace the checkpoint in `folder` in one step."""
    parts = {
        "theta": progress.theta,
        "inner": progress.inner,
        "first": progress.first,
        "second": progress.second,
        "best": progress.best[1] if progress.best else [],
    }
    tensors = {
        f"{part}/{name}": value.detach().cpu().contiguous()
        for part, values in parts.items()
        for name, value in zip(names, values, strict=False)
    }
    header = {
        "epoch": str(progress.epoch),
        "steps": str(progress.steps),
        "score": repr(progress.best[0]) if progress.best else "",
        "settings": _fingerprint(settings),
    }
    path = folder / FILE
    temporary = path.with_name(f"{FILE}.{os.getpid()}.tmp")
    save_file(tensors, temporary, metadata=header)
    temporary.replace(path)


def read_progress(
    folder: Path, names: Sequence[str], settings: PretrainSettings
) -> Progress | None:
    """The checkpoint in `folder`, or None where there is none of these settings."""
    path = folder / FILE
    if not path.exists():
        return None
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
        if header.get("settings") != _fingerprint(settings):
            return None
        keys = set(file.keys())

        def part(kind: str) -> list[Tensor]:
            wanted = [f"{kind}/{name}" for name in names]
            return [file.get_tensor(key) for key in wanted if key in keys]

        best = (float(header["score"]), part("best")) if header["score"] else None
        return Progress(
            int(header["epoch"]),
            part("theta"),
            part("inner"),
            part("first"),
            part("second"),
            int(header["steps"]),
            best,
        )
