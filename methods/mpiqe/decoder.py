"""The multi-modal encoder of the paper: Eq. 12 to 14."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.methods.mpiqe.model_settings import MpiqeModelSettings


def linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer with Xavier-uniform weights and no offset, drawn from `generator`."""
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
    bound = math.sqrt(6 / (inputs + outputs))
    with torch.no_grad():
        drawn = torch.empty(outputs, inputs).uniform_(-bound, bound, generator=generator)
        layer.weight.copy_(drawn)
        layer.bias.zero_()
    return layer


def dropped(x: Tensor, rate: float, generator: torch.Generator | None) -> Tensor:
    """Dropout drawn from a CPU generator; none without one."""
    if not rate or generator is None:
        return x
    # On the CPU: a run gives the same mask on every device.
    mask = torch.rand(x.shape, generator=generator) >= rate
    return x * mask.to(x) / (1 - rate)


class Attention(nn.Module):
    """Multi-head attention of queries (B, Q, d) over tokens (B, T, d)."""

    def __init__(self, width: int, heads: int, generator: torch.Generator) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{width} dimensions cannot be divided among {heads} heads")
        self.heads = heads
        self.query = linear(width, width, generator)
        self.key = linear(width, width, generator)
        self.value = linear(width, width, generator)
        self.out = linear(width, width, generator)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """(B, Q, d)."""
        parts = [self.query(queries), self.key(tokens), self.value(tokens)]
        heads = [part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts]
        mixed = F.scaled_dot_product_attention(heads[0], heads[1], heads[2])
        return self.out(mixed.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Self-attention among queries, cross-attention to the image, and optional parts."""

    def __init__(
        self, width: int, settings: MpiqeModelSettings, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.rate = settings.dropout
        self.self_norm = nn.LayerNorm(width)
        self.self_attention = Attention(width, settings.heads, generator)
        self.cross_norm = nn.LayerNorm(width)
        self.cross_attention = Attention(width, settings.heads, generator)
        self.feed_forward: nn.Module | None = None
        if settings.feed_forward:
            self.feed_forward = nn.Sequential(
                nn.LayerNorm(width),
                linear(width, settings.feed_forward, generator),
                nn.GELU(),
                linear(settings.feed_forward, width, generator),
            )

    def forward(
        self, queries: Tensor, image: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Queries Q (B or 1, Q, d) and image features I' (B, 1 + N, d) to (B, Q, d)."""
        normed = self.self_norm(queries)
        queries = queries + dropped(self.self_attention(normed, normed), self.rate, generator)
        queries = queries.expand(len(image), -1, -1)
        seen = self.cross_attention(self.cross_norm(queries), image)
        queries = queries + dropped(seen, self.rate, generator)
        if self.feed_forward is not None:
            queries = queries + dropped(self.feed_forward(queries), self.rate, generator)
        return queries


class MultiModalEncoder(nn.Module):
    """Queries from texts attend to an image; a small MLP gives its score."""

    def __init__(
        self, width: int, n_queries: int, settings: MpiqeModelSettings, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.memory = settings.memory
        self.pooling = settings.pooling
        self.sigmoid = settings.sigmoid
        self.memory_norm: nn.Module = nn.Identity()
        if settings.memory == "normed":
            self.memory_norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(
            Layer(width, settings, generator) for _ in range(settings.decoder_layers)
        )
        inputs = width * n_queries if settings.pooling == "flatten" else width
        hidden = settings.mlp_width or width
        self.mlp = nn.Sequential(
            linear(inputs, hidden, generator), nn.GELU(), linear(hidden, 1, generator)
        )

    @torch.no_grad()
    def start_at(self, score: float) -> None:
        """Set the offset of the last layer so that scores start out near `score`."""
        if self.sigmoid:
            # The inverse of the sigmoid is infinite at 0 and 1.
            score = min(max(score, 1e-3), 1 - 1e-3)
            score = math.log(score / (1 - score))
        offset: Tensor = self.mlp[-1].bias  # type: ignore[assignment]
        offset.fill_(score)

    def features(
        self, queries: Tensor, image: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Q (Q, d) and I' (B, 1 + N, d) to the multi-modal features (B, Q, d) of Eq. 14."""
        if self.memory == "unit":
            image = F.normalize(image, dim=-1)
        image, found = self.memory_norm(image), queries[None]
        for layer in self.layers:
            found = layer(found, image, generator)
        return found

    def score(self, features: Tensor) -> Tensor:
        """Multi-modal features (B, Q, d) to S, (B,)."""
        if self.pooling == "mean":
            features = features.mean(dim=1, keepdim=True)
        elif self.pooling == "flatten":
            features = features.flatten(1)[:, None]
        scores = self.mlp(features)[..., 0].mean(dim=1)
        return scores.sigmoid() if self.sigmoid else scores
