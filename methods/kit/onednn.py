"""CLIP's image tower on a CPU with its matrix products by oneDNN, which is part of torch.

torch multiplies float32 matrices by MKL, which is slow on processors that are not Intel's. oneDNN's
products take weights in an order of their own (packed once) and add a residual or apply the
activation while they are at it: what `torch.compile` makes of a linear layer when it freezes one,
here without compiling anything. The operators are torch's own but no public interface: where one is
missing or refuses, the tower stays as it is (`bench.methods.kit.forms`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.methods.kit.clip_tower import private_copy

QUICK = 1.702
"""QuickGELU is x * sigmoid(QUICK x)."""


class Unsuited(RuntimeError):
    """A tower of other blocks than open_clip's usual ones, or a torch without oneDNN."""


def packed(clip: Any, rows: int) -> Any:
    """A second CLIP whose image tower runs on oneDNN; its other weights are those of `clip`.

    Its weights are constants. `rows` are the tokens of a usual batch, for which weights are laid
    out; any number may come. Raises `Unsuited`.
    """
    if not torch.backends.mkldnn.is_available():
        raise Unsuited("this torch has no oneDNN")
    copied = private_copy(clip)
    transformer = copied.visual.transformer
    transformer.resblocks = nn.ModuleList(_Block(block, rows) for block in transformer.resblocks)
    return copied


def encoder(clip: Any, batch: Tensor) -> Callable[[Tensor], Tensor]:
    """The image features of length one of a CLIP, (B, 3, S, S) to (B, e). Raises `Unsuited`."""
    patch = clip.visual.conv1.kernel_size[0]
    tokens = 1 + (batch.shape[2] // patch) * (batch.shape[3] // patch)
    network = packed(clip, len(batch) * tokens)

    def features(pixels: Tensor) -> Tensor:
        found: Tensor = network.encode_image(pixels, normalize=True)
        return found

    return features


class _Block(nn.Module):
    """A residual block of open_clip's without mask and scales."""

    def __init__(self, block: Any, rows: int) -> None:
        super().__init__()
        plain = type(block).__name__ == "ResidualAttentionBlock" and block.attn.batch_first
        scaled = not all(isinstance(part, nn.Identity) for part in (block.ls_1, block.ls_2))
        if not plain or scaled or hasattr(block, "ln_1_kv"):
            raise Unsuited(f"a block of kind {type(block).__name__}")
        self._heads = block.attn.num_heads
        self.ln_1, self.ln_2 = block.ln_1, block.ln_2
        attention, mlp = block.attn, block.mlp
        self._pairs = _Linear(attention.in_proj_weight, attention.in_proj_bias, rows)
        self._mix = _Linear(attention.out_proj.weight, attention.out_proj.bias, rows)
        activation, scale = _activation(mlp.gelu)
        self._up = _Linear(scale * mlp.c_fc.weight, scale * mlp.c_fc.bias, rows, activation)
        self._down = _Linear(mlp.c_proj.weight / scale, mlp.c_proj.bias, rows)

    def get_weight_dtype(self) -> torch.dtype:
        """As open_clip asks its blocks."""
        return torch.float32

    def forward(
        self,
        q_x: Tensor,
        k_x: Tensor | None = None,
        v_x: Tensor | None = None,
        attn_mask: Tensor | None = None,
    ) -> Tensor:
        """(B, T, d) tokens to (B, T, d); an image tower has neither keys of its own nor a mask."""
        parts = self._pairs(self.ln_1(q_x)).chunk(3, dim=-1)
        query, key, value = (
            part.unflatten(-1, (self._heads, -1)).transpose(1, 2) for part in parts
        )
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x = self._mix(mixed, q_x)
        return self._down(self._up(self.ln_2(x)), x)


def _activation(module: nn.Module) -> tuple[tuple[str, str], float]:
    """oneDNN's name of an activation, and what its input is multiplied with, its output divided by.

    QuickGELU is a swish of 1.702 x, over 1.702.
    """
    if type(module).__name__ == "QuickGELU":
        return ("swish", ""), QUICK
    if isinstance(module, nn.GELU):
        return ("gelu", module.approximate), 1.0
    raise Unsuited(f"an activation of kind {type(module).__name__}")


class _Linear:
    """A linear layer with packed weights, and what follows it."""

    def __init__(
        self, weight: Tensor, bias: Tensor, rows: int, then: tuple[str, str] = ("none", "")
    ) -> None:
        operators: Any = torch.ops.mkldnn
        with torch.no_grad():
            self._weight = operators._reorder_linear_weight(weight.detach().contiguous(), rows)
        self._bias = bias.detach()
        self._then = then
        self._plain: Callable[..., Tensor] = operators._linear_pointwise
        self._adding: Callable[..., Tensor] = operators._linear_pointwise.binary

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """x W + b, after the activation or plus the residual."""
        if residual is not None:
            return self._adding(x, residual, self._weight, self._bias, "add")
        name, algorithm = self._then
        return self._plain(x, self._weight, self._bias, name, [], algorithm)
