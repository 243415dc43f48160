"""The attention blocks of MoNet, PromptIQA's visual encoder, on token layout (B, P, C).

Names of parameters are those of the released checkpoint. The layout differs from the released
graph: maps stay (B, positions, channels) as the vision transformer leaves them, all opinions are
stacked once, and in evaluation queries and keys are one matrix (see `AttentionBlock`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import Tensor, nn


class PositionAttention(nn.Module):
    """Self-attention over the positions of one map, with a learnt weight `gamma` (0 at first)."""

    def __init__(self, width: int, ratio: int = 8) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))
        self.qConv = nn.Conv2d(width, width // ratio, 1)
        self.kConv = nn.Conv2d(width, width // ratio, 1)
        self.vConv = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, P, C) -> (B, P, C). The energies are not divided by a root."""
        with full_precision(x):
            x = at_least_single(x)
            q, k, v = (_pointwise(conv, x) for conv in (self.qConv, self.kConv, self.vConv))
            return torch.addcmul(x, self.gamma, _attend(q, k, v, scale=1.0))


def _pointwise(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """A 1x1 convolution as a linear map of tokens."""
    return F.linear(x, conv.weight.flatten(1), conv.bias)


def _attend(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """Attention in fp32 whatever autocast says: the softmax multiplies the energies' errors."""
    with full_precision(q):
        q, k, v = (at_least_single(x) for x in (q, k, v))
        energy = torch.bmm(q * scale, k.transpose(1, 2))
        return torch.bmm(energy.softmax(dim=-1), v)


def at_least_single(x: Tensor) -> Tensor:
    """Half precision as float32; float64 stays, so that a whole step can be checked in it."""
    return x if x.dtype == torch.float64 else x.float()


def full_precision(x: Tensor) -> torch.autocast:
    """Switches autocast off for small and sensitive parts."""
    return torch.autocast(x.device.type, enabled=False)


class AttentionBlock(nn.Module):
    """Single-head attention whose result is transposed and *reshaped*, not transposed back.

    The reshape of (dim, tokens) to (tokens, dim) shuffles the result; the published weights were
    trained with it. In evaluation q·k needs one product instead of two: with M = Wq'Wk and
    c = Wk'bq, q_i·k_j = (x_i M + c)·x_j plus terms that do not depend on j, which the softmax
    cancels. M is computed once per set of weights.
    """

    def __init__(self, dim: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.c_q = nn.Linear(dim, dim)
        self.c_k = nn.Linear(dim, dim)
        self.c_v = nn.Linear(dim, dim)
        self.drop = nn.Dropout(dropout)
        self.scale = dim**-0.5
        self._folded: tuple[tuple[object, ...], Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, dim) -> (B, T, dim)."""
        if self.training or torch.is_grad_enabled():
            q, k = self.c_q(x), self.c_k(x)
        else:
            matrix, shift = self._fold()
            q, k = F.linear(x, matrix, shift), x
        out = _attend(q, k, self.c_v(x), self.scale)
        return x + self.drop(out.transpose(1, 2).reshape(x.shape))

    def _fold(self) -> tuple[Tensor, Tensor]:
        parts = (self.c_q.weight, self.c_q.bias, self.c_k.weight)
        state = tuple((part.data_ptr(), part._version, part.device) for part in parts)
        if self._folded is None or self._folded[0] != state:
            with full_precision(parts[0]):
                matrix = self.c_k.weight.T @ self.c_q.weight
                shift = self.c_q.bias @ self.c_k.weight
            self._folded = (state, matrix, shift)
        return self._folded[1], self._folded[2]


def first_token(block: Block, x: Tensor) -> Tensor:
    """The first token's output of a transformer block, (B, T, C) -> (B, C).

    Equal to `block(x)[:, 0]`: the other tokens' queries, projections and MLPs, most of the work,
    would be thrown away.
    """
    attention = cast(Any, block.attn)  # an nn.Module does not know its children's types
    normed = block.norm1(x)
    width, heads = x.shape[2], attention.num_heads
    weight, bias = attention.qkv.weight, attention.qkv.bias
    own, others = (None, None) if bias is None else (bias[:width], bias[width:])
    q = F.linear(normed[:, :1], weight[:width], own)
    k, v = F.linear(normed, weight[width:], others).chunk(2, dim=2)
    split = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in (q, k, v))
    mixed = F.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)
    token = x[:, :1] + attention.proj(mixed)
    return (token + block.mlp(block.norm2(token)))[:, 0]


class MAL(nn.Module):
    """Multi-view attention learning: n maps become one 'opinion'."""

    def __init__(self, width: int, maps: int, positions: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.channel_attention = AttentionBlock(width * maps, dropout)
        self.feature_attention = AttentionBlock(positions * maps, dropout)
        self.attention_module = nn.ModuleList(PositionAttention(width) for _ in range(maps))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """n maps of (B, P, C) -> (B, P, C).

        With X = (B, n·C, P) the maps one after another along channels: pixel attention sees X
        reinterpreted as (B, C, n·P), which mixes maps, as the weights were trained; channel
        attention sees X transposed. Their mean is averaged over the n maps.
        """
        count = len(maps)
        batch, positions, width = maps[0].shape
        attended = [layer(x) for layer, x in zip(self.attention_module, maps, strict=True)]
        tokens = torch.cat(attended, dim=2)
        mixed = tokens.transpose(1, 2).reshape(batch, width, count * positions)
        by_channel = self.channel_attention(tokens).view(batch, positions, count, width).mean(2)
        by_pixel = self.feature_attention(mixed).view(batch, count, width, positions).mean(1)
        return (by_channel + by_pixel.transpose(1, 2)) / 2
