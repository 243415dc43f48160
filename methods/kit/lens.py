"""How crops become network inputs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.methods.kit.devices import upload
from bench.methods.kit.views import Crop

PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Lens:
    """Size and normalisation of a network's input, its device, and the arithmetic behind it."""

    size: int
    mean: Sequence[float]
    std: Sequence[float]
    device: torch.device
    autocast: str = "off"

    def pixels(self, crops: Sequence[Crop]) -> Tensor:
        """Normalised crops (B, 3, size, size) float32."""
        pixels = upload(np.stack([crop.pixels(self.size) for crop in crops]), self.device)
        mean = torch.tensor(self.mean, device=self.device)[:, None, None]
        std = torch.tensor(self.std, device=self.device)[:, None, None]
        return (pixels - mean) / std

    def precision(self) -> AbstractContextManager[Any]:
        """Autocast on a GPU, if set."""
        enabled = self.device.type == "cuda" and self.autocast != "off"
        return torch.autocast(
            self.device.type, PRECISIONS.get(self.autocast, torch.bfloat16), enabled=enabled
        )
