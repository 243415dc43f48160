"""Pixels and networks on their way to the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from bench.api import Pixels

if TYPE_CHECKING:
    from torch import Tensor, nn

Precision = Literal["fp32", "bf16"]
"""Arithmetic of a forward pass; weights and the optimiser stay in float32."""


def send(pixels: Tensor, device: str | torch.device) -> Tensor:
    """A tensor on the device; to a GPU through pinned memory, so that the copy waits for nothing
    that runs there."""
    if torch.device(device).type == "cuda":
        return pixels.pin_memory().to(device, non_blocking=True)
    return pixels.to(device)


def placed(network: nn.Module, device: str | torch.device) -> nn.Module:
    """A network on the device; on a GPU its convolutions' weights channels-last, as `upload`'s
    pixels are: its tensor cores take them so."""
    if torch.device(device).type == "cuda":
        return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.to(device)


def upload(pixels: Pixels, device: str | torch.device) -> Tensor:
    """(B, H, W, 3) uint8 to (B, 3, H, W) float32 in 0-1 on the device.

    The bytes travel, a quarter of the floats. The result is channels-last in memory, as it came.
    """
    return send(torch.from_numpy(pixels), device).permute(0, 3, 1, 2).float() / 255


def autocast(device: str, precision: Precision) -> torch.autocast:
    """bf16 arithmetic, if set."""
    kind = torch.device(device).type
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=precision == "bf16")
