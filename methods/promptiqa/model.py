"""PromptIQA's graph: visual encoder, prompt encoder, ISPP fusion, image-prompt fusion, score head.

Chen et al., "PromptIQA", ECCV 2024, section 3.2; details that the text leaves open are those of
the published weights. At the default sizes the state dict has the 505 tensors of the published
checkpoint. An ISP is an image-score pair, an ISPP the set of pairs that forms a prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from bench.methods.promptiqa.layers import MAL, at_least_single, first_token, full_precision


@dataclass(frozen=True)
class ModelSize:
    """Sizes of everything behind the encoder's maps; the defaults are the published model's."""

    taps: int = 4
    """Maps that the encoder gives."""
    tap_width: int = 768
    """Channels of those maps."""
    width: int = 768
    """Channels in the MALs; maps of another width are projected first."""
    grid: int = 28
    """Side of the maps, in tokens."""
    opinions: int = 3
    """Number of MALs on the encoder's maps."""
    visual_heads: int = 12
    """Attention heads of the block behind the MALs."""
    channels: tuple[int, int, int] = (256, 128, 128)
    """Channels of the three convolutions; the last is the feature's dimension."""
    kernels: tuple[int, int, int] = (5, 3, 3)
    pools: tuple[int, int, int] = (2, 2, 3)
    heads: int = 4
    """Attention heads of the prompt and fusion blocks."""
    prompt_depth: int = 3
    """Blocks over the (image, score) pair."""
    ispp_depth: int = 3
    """Blocks over the ISPs of a prompt."""
    fusion_depth: int = 8
    """Blocks over the query and the prompt."""
    dropout: float = 0.1
    """In the MALs' attention and the score head."""
    prompted: bool = True
    """False builds the ablation without prompt encoder and fusion (paper, Table 6)."""

    @property
    def feature(self) -> int:
        """Dimension of an image's feature."""
        return self.channels[-1]


class FeatureEncoder(Protocol):
    """The encoder that gives the maps."""

    def taps(self, x: Tensor, /) -> list[Tensor]:
        """Normalised images (B, 3, S, S) -> maps (B, P, C)."""


class PromptIQANet(nn.Module):
    """The network; scores images (B, 3, H, W) against a prompt of n image-score pairs.

    `encoder` has `taps(x)`, giving `size.taps` maps of (B, grid², tap_width).
    """

    def __init__(self, encoder: nn.Module, size: ModelSize | None = None) -> None:
        super().__init__()
        self.size = size = size or ModelSize()
        self.vit = encoder
        # The published network has no such layer: its encoder has the width of the MALs.
        if size.tap_width != size.width:
            self.reduce = nn.ModuleList(
                nn.Linear(size.tap_width, size.width) for _ in range(size.taps)
            )
        positions = size.grid**2
        self.MALs = nn.ModuleList(
            MAL(size.width, size.taps, positions, size.dropout) for _ in range(size.opinions)
        )
        self.fusion_mal = MAL(size.width, size.opinions, positions, size.dropout)
        self.block = Block(size.width, size.visual_heads, norm_layer=nn.LayerNorm)
        self.cnn = _cnn(size)
        if size.prompted:
            self.i_p_fusion = _blocks(size, size.prompt_depth)
            self.mlp = nn.Sequential(
                nn.Linear(size.feature, size.feature // 2),
                nn.GELU(),
                nn.Linear(size.feature // 2, size.feature),
            )
            self.prompt_fusion = _blocks(size, size.ispp_depth)
            self.blocks = _blocks(size, size.fusion_depth, as_vit=True)
            self.norm = nn.LayerNorm(size.feature)
        self.score_block = nn.Sequential(
            nn.Linear(size.feature, size.feature // 2),
            nn.ReLU(),
            nn.Dropout(size.dropout),
            nn.Linear(size.feature // 2, 1),
            nn.Sigmoid(),
        )

    def taps(self, images: Tensor) -> Tensor:
        """The encoder's maps of normalised images, (B, taps, P, tap_width)."""
        return torch.stack(cast(FeatureEncoder, self.vit).taps(images), dim=1)

    def head(self, taps: Tensor) -> Tensor:
        """From the encoder's maps, kept as `taps` gives them, to image features, (B, feature)."""
        return self._merge(list(taps.unbind(dim=1)))

    def features(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) -> features (B, feature); no prompt enters here."""
        return self._merge(cast(FeatureEncoder, self.vit).taps(images))

    def _merge(self, maps: list[Tensor]) -> Tensor:
        """Maps of (B, P, tap_width), unstacked unless they are kept -> (B, feature)."""
        if hasattr(self, "reduce"):
            maps = [layer(x) for layer, x in zip(self.reduce, maps, strict=True)]
        opinions = [mal(maps) for mal in self.MALs]
        merged = self.fusion_mal(opinions)
        grid = self.size.grid
        with full_precision(merged):
            tokens = self.block(at_least_single(merged))
            plane = tokens.transpose(1, 2).reshape(len(tokens), self.size.width, grid, grid)
            return self.cnn(plane).mean(dim=(2, 3))

    def encode_pairs(self, features: Tensor, scores: Tensor) -> Tensor:
        """Features (M, d) with scores (M,) -> ISP features (M, d), each by itself."""
        pair = torch.stack([features, scores.to(features)[:, None].expand_as(features)], dim=1)
        return self.mlp(self.i_p_fusion(pair).mean(dim=1))

    def fuse_prompt(self, pairs: Tensor) -> Tensor:
        """ISP features (B, n, d) -> assessment requirement (B, n, d)."""
        return self.prompt_fusion(pairs)

    def fuse_image(self, queries: Tensor, requirement: Tensor) -> Tensor:
        """Query features (B, d) with (B or 1, n, d) -> image-prompt features (B, d)."""
        tokens = torch.cat([queries[:, None], requirement.expand(len(queries), -1, -1)], dim=1)
        tokens = self.blocks[:-1](tokens)
        return self.norm(first_token(cast(Block, self.blocks[-1]), tokens))

    def score(self, embedded: Tensor) -> Tensor:
        """Image-prompt features (B, d) -> scores (B,) in 0 to 1."""
        return self.score_block(embedded).squeeze(-1)

    def forward(self, images: Tensor, prompt_images: Tensor, prompt_scores: Tensor) -> Tensor:
        """Scores (B,) of images against one prompt, all of it computed here and now.

        Under autocast the encoder and the MALs' large products run in lower precision; the
        rest is cheap and stays in fp32.
        """
        shown, queries = self.features(prompt_images), self.features(images)
        with full_precision(queries):
            requirement = self.fuse_prompt(self.encode_pairs(shown, prompt_scores)[None])
            return self.score(self.fuse_image(queries, requirement))


class _SmallNorm(nn.LayerNorm):
    """Layer norm as timm's vision transformer has it."""

    def __init__(self, dim: int, **options: Any) -> None:
        super().__init__(dim, eps=1e-6, **options)


def _blocks(size: ModelSize, depth: int, as_vit: bool = False) -> nn.Sequential:
    """Blocks over features; `as_vit` ones have biases for q, k, v and another norm."""
    norm = _SmallNorm if as_vit else nn.LayerNorm
    return nn.Sequential(
        *(Block(size.feature, size.heads, qkv_bias=as_vit, norm_layer=norm) for _ in range(depth))
    )


def _cnn(size: ModelSize) -> nn.Sequential:
    """Three times convolution without padding, batch norm, ReLU, average pooling."""
    layers: list[nn.Module] = []
    width, side = size.width, size.grid
    for channels, kernel, pool in zip(size.channels, size.kernels, size.pools, strict=True):
        layers += [
            nn.Conv2d(width, channels, kernel),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.AvgPool2d(pool),
        ]
        width, side = channels, (side - kernel + 1) // pool
    if side < 1:
        raise ValueError(f"kernels {size.kernels}, pools {size.pools}: too big for {size.grid}")
    return nn.Sequential(*layers)
