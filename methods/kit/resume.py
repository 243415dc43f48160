"""Trainings that continue after their process was killed."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch

from bench.api import Context


class Checkpoint:
    """One file in the context's scratch folder, replaced in one step; nothing without a folder.

    `identity` (any JSON value) names the training: a file of another training is not
    read. The context's seed is part of it.
    """

    def __init__(self, context: Context, name: str, identity: object) -> None:
        self.path: Path | None = context.scratch / f"{name}.pt" if context.scratch else None
        self._device = context.device
        content = json.dumps([context.seed, identity], sort_keys=True, default=str)
        self._identity = hashlib.sha256(content.encode()).hexdigest()

    def write(self, state: dict[str, Any]) -> None:
        """Replace the file. `state` holds tensors, numbers, texts, lists and dictionaries."""
        if self.path is None:
            return
        partial = self.path.with_name(f"{self.path.name}.{os.getpid()}.tmp")
        # Torch says only of a stream, not of a name, that the disk is full.
        with partial.open("wb") as stream:
            torch.save({"identity": self._identity, "state": state}, stream)
        partial.replace(self.path)

    def read(self) -> dict[str, Any] | None:
        """The last state under this identity, None if there is none."""
        if self.path is None or not self.path.is_file():
            return None
        found = torch.load(self.path, map_location=self._device, weights_only=True)
        if found.get("identity") != self._identity:
            return None
        state: dict[str, Any] = found["state"]
        return state
