"""Visual encoders: a timm vision transformer, or the image tower of a CLIP model.

Both give the outputs of blocks at every quarter of their depth, without the class token.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import timm
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from bench.api import UsageError
from bench.methods.kit import checkpoints
from bench.methods.promptiqa.recipes import VIT

HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class EncoderInfo:
    """The properties of an encoder that determine its input and the layers behind it."""

    image_size: int
    grid: int
    """Side of its maps, in tokens."""
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def quarters(depth: int, taps: int = 4) -> list[int]:
    """Blocks (from 0) at every `taps`-th part of the depth.

    >>> quarters(12)
    [2, 5, 8, 11]
    """
    return [-(-(part + 1) * depth // taps) - 1 for part in range(taps)]


class TapTransformer(VisionTransformer):
    """timm's vision transformer without final norm and head, giving intermediate tokens."""

    def __init__(
        self,
        size: int,
        patch: int,
        width: int,
        depth: int,
        heads: int,
        taps: int = 4,
        mlp_ratio: float = 4.0,
    ) -> None:
        super().__init__(
            img_size=size,
            patch_size=patch,
            embed_dim=width,
            depth=depth,
            num_heads=heads,
            mlp_ratio=mlp_ratio,
            num_classes=0,
        )
        self.norm = nn.Identity()
        self.wanted = quarters(depth, taps)

    def taps(self, x: Tensor) -> list[Tensor]:
        """Normalised images (B, 3, S, S) -> maps (B, P, width) of the blocks in `wanted`."""
        found = self.forward_intermediates(
            x, indices=self.wanted, output_fmt="NLC", intermediates_only=True
        )
        return cast(list[Tensor], found)


class ClipTower(nn.Module):
    """A CLIP image tower's tokens, normalised and pooled `pool` x `pool`."""

    def __init__(self, visual: nn.Module, depth: int, pool: int = 1, taps: int = 4) -> None:
        super().__init__()
        self.visual = visual
        self.wanted = quarters(depth, taps)
        self.pool = pool

    def taps(self, x: Tensor) -> list[Tensor]:
        """Normalised images (B, 3, S, S) -> maps (B, (grid / pool)², width)."""
        run = cast(Callable[..., dict[str, list[Tensor]]], self.visual.forward_intermediates)
        found = run(x, indices=self.wanted, intermediates_only=True, output_fmt="NCHW")[
            "image_intermediates"
        ]
        if self.pool > 1:
            found = [F.avg_pool2d(item, self.pool) for item in found]
        tokens = [item.flatten(2).transpose(1, 2) for item in found]
        return [F.layer_norm(item, item.shape[-1:]) for item in tokens]


def encoder_info(backbone: str | None, image_size: int | None = None, pool: int = 1) -> EncoderInfo:
    """Sizes of a CLIP backbone's tower, or of ViT-B/8 for None; loads no weights."""
    if backbone is None:
        if pool > 1:
            raise UsageError("promptiqa.map_pool: only a CLIP tower's maps are pooled")
        size = image_size or 224
        return EncoderInfo(size, size // 8, 768, HALF, HALF)
    from bench.backbones import resolve_vit

    found = resolve_vit(backbone)
    if image_size not in (None, found.image_size):
        raise UsageError(
            f"promptiqa.image_size: {backbone} takes images of {found.image_size} pixels"
        )
    grid = found.image_size // found.patch_size // pool
    return EncoderInfo(found.image_size, grid, found.width, _three(found.mean), _three(found.std))


def build_encoder(
    backbone: str | None, info: EncoderInfo, pool: int, imagenet: bool, weights: Path | None
) -> nn.Module:
    """The encoder module on the CPU; `imagenet` loads ViT-B/8's weights through timm or a file.

    A CLIP tower always comes with its own weights, as a copy that may be trained. Raises
    `UsageError` if weights are not available.
    """
    if backbone is not None:
        from bench.backbones import load, resolve_vit

        visual = copy.deepcopy(load(backbone, "cpu").model.visual)
        return ClipTower(visual, resolve_vit(backbone).layers, pool)
    module = TapTransformer(info.image_size, 8, info.width, 12, 12)
    if imagenet:
        _load_imagenet(module, weights)
    return module


def _load_imagenet(module: nn.Module, weights: Path | None) -> None:
    # Read here, since older timm would unpickle a file without asking what is in it.
    overlay = {"state_dict": checkpoints.read(weights).tensors} if weights else None
    try:
        source = timm.create_model(
            VIT, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay
        )
    except (OSError, RuntimeError) as error:
        raise UsageError(
            f"promptiqa: the ImageNet weights of {VIT} could not be downloaded ({error}); give a "
            "local file with promptiqa.encoder_weights, or a trained promptiqa.checkpoint"
        ) from error
    kept = module.state_dict()
    found = {key: value for key, value in source.state_dict().items() if key in kept}
    module.load_state_dict(found)


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return (red, green, blue)


def pixels_to_input(pixels: Tensor, info: EncoderInfo) -> Tensor:
    """uint8 (B, H, W, 3) -> normalised float (B, 3, H, W)."""
    mean = torch.tensor(info.mean, device=pixels.device) * 255
    std = torch.tensor(info.std, device=pixels.device) * 255
    return ((pixels.float() - mean) / std).permute(0, 3, 1, 2).contiguous()
