"""CLIP's image tower on a CPU with its matrix products by oneDNN, which is part of torch.

torch multiplies float32 matrices by MKL, which is slow on processors that are not Intel's. oneDNN's
products take weights in an order of their own (packed once) and add a residual or apply the
activation while they are at it: what `torch.compile` makes of a linear layer when it freezes one,
here without a compiler. The last block gives the class token alone, since its other outputs are
unused, and patches become tokens by a product too. The operators are torch's own but not a public
interface: if one is missing or fails, the tower is not changed (`bench.methods.kit.forms`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.methods.kit.clip_tower import private_copy

QUICK = 1.702
"""QuickGELU is x * sigmoid(QUICK x)."""


class Unsuited(RuntimeError):
    """A tower of other blocks than open_clip's usual ones, or a torch without oneDNN."""


def packed(clip: Any, images: int, tokens: int) -> Any:
    """A second CLIP whose image tower runs on oneDNN; its other weights are those of `clip`.

    Its weights are constants, laid out for batches of so many images of `tokens` tokens each,
    though any number may come. Raises `Unsuited`.
    """
    if not torch.backends.mkldnn.is_available():
        raise Unsuited("this torch has no oneDNN")
    copied = private_copy(clip)
    tower = copied.visual
    *most, last = tower.transformer.resblocks
    blocks = [_Block(block, images, tokens) for block in most]
    blocks.append(_Block(last, images, tokens, first_only=_reads_first_only(tower)))
    tower.transformer.resblocks = nn.ModuleList(blocks)
    tower.conv1 = _Patches(tower.conv1, images * (tokens - 1))
    return copied


def encoder(clip: Any, batch: Tensor) -> Callable[[Tensor], Tensor]:
    """The image features of length one of a CLIP, (B, 3, S, S) to (B, e). Raises `Unsuited`."""
    patch = clip.visual.conv1.kernel_size[0]
    tokens = 1 + (batch.shape[2] // patch) * (batch.shape[3] // patch)
    network = packed(clip, len(batch), tokens)

    def features(pixels: Tensor) -> Tensor:
        found: Tensor = network.encode_image(pixels, normalize=True)
        return found

    return features


def _reads_first_only(tower: Any) -> bool:
    """Whether an image feature follows from the class token alone."""
    return tower.pool_type == "tok" and tower.attn_pool is None and not tower.output_tokens


class _Block(nn.Module):
    """A residual block of open_clip's without mask and scales.

    With `first_only` it gives the first token alone, whose output is all that is read of the last
    block: the others take part as keys and values, which is a sixth of the block's products.
    """

    def __init__(self, block: Any, images: int, tokens: int, first_only: bool = False) -> None:
        super().__init__()
        plain = type(block).__name__ == "ResidualAttentionBlock" and block.attn.batch_first
        scaled = not all(isinstance(part, nn.Identity) for part in (block.ls_1, block.ls_2))
        if not plain or scaled or hasattr(block, "ln_1_kv"):
            raise Unsuited(f"a block of kind {type(block).__name__}")
        self._heads, width = block.attn.num_heads, block.attn.embed_dim
        self._depth = width // self._heads
        self._ln_1, self._ln_2 = _norm(block.ln_1), _norm(block.ln_2)
        attention, mlp = block.attn, block.mlp
        weight, bias = attention.in_proj_weight, attention.in_proj_bias
        rows, asked = images * tokens, images if first_only else images * tokens
        self._query: _Linear | None = None
        if first_only:
            self._query = _Linear(weight[:width], bias[:width], asked)
            weight, bias = weight[width:], bias[width:]
        self._pairs = _Linear(weight, bias, rows)
        self._mix = _Linear(attention.out_proj.weight, attention.out_proj.bias, asked)
        activation, scale = _activation(mlp.gelu)
        self._up = _Linear(scale * mlp.c_fc.weight, scale * mlp.c_fc.bias, asked, activation)
        self._down = _Linear(mlp.c_proj.weight / scale, mlp.c_proj.bias, asked)

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
        """(B, T, d) tokens to (B, T, d), or (B, 1, d); an image tower has neither keys of its own
        nor a mask."""
        images, tokens, _ = q_x.shape
        normed = self._ln_1(q_x)
        # Views that are made in few steps: of a small tower they take as long as its arithmetic.
        pairs = self._pairs(normed).view(images, tokens, -1, self._heads, self._depth)
        parts = list(pairs.permute(2, 0, 3, 1, 4).unbind())
        if self._query is not None:
            q_x = q_x[:, :1].contiguous()
            asked = self._query(normed[:, :1].contiguous())
            parts.insert(0, asked.view(images, self._heads, 1, self._depth))
        query, key, value = parts
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(q_x.shape)
        x = self._mix(mixed, q_x)
        return self._down(self._up(self._ln_2(x)), x)


class _Patches(nn.Module):
    """The convolution that makes tokens of patches, as one product of matrices."""

    def __init__(self, convolution: nn.Conv2d, rows: int) -> None:
        super().__init__()
        side, step = convolution.kernel_size, convolution.stride
        if side != step or side[0] != side[1] or convolution.padding != (0, 0):
            raise Unsuited("patches that overlap")
        self._side = side[0]
        self._linear = _Linear(convolution.weight.flatten(1), convolution.bias, rows)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) to (B, d, N), whose two last dimensions open_clip makes one and swaps."""
        images, channels, height, width = pixels.shape
        side = self._side
        rows, columns = height // side, width // side
        cut = pixels.reshape(images, channels, rows, side, columns, side)
        flat = cut.permute(0, 2, 4, 1, 3, 5).reshape(images, rows * columns, -1)
        return self._linear(flat).transpose(1, 2)


def _norm(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """A layer norm without the steps that open_clip takes around it for other precisions."""
    if not isinstance(module, nn.LayerNorm):
        raise Unsuited(f"a norm of kind {type(module).__name__}")
    return partial(
        torch.layer_norm,
        normalized_shape=module.normalized_shape,
        weight=module.weight,
        bias=module.bias,
        eps=module.eps,
    )


def _activation(module: nn.Module) -> tuple[tuple[str, str], float]:
    """oneDNN's name of an activation, and the factor of its input and divisor of its output.

    QuickGELU is a swish of 1.702 x, divided by 1.702.
    """
    if type(module).__name__ == "QuickGELU":
        return ("swish", ""), QUICK
    if isinstance(module, nn.GELU):
        return ("gelu", module.approximate), 1.0
    raise Unsuited(f"an activation of kind {type(module).__name__}")


class _Linear:
    """A linear layer with packed weights, and the operation after it."""

    def __init__(
        self, weight: Tensor, bias: Tensor | None, rows: int, then: tuple[str, str] = ("none", "")
    ) -> None:
        operators: Any = torch.ops.mkldnn
        with torch.no_grad():
            self._weight = operators._reorder_linear_weight(weight.detach().contiguous(), rows)
        self._bias = None if bias is None else bias.detach()
        self._then = then
        self._plain: Callable[..., Tensor] = operators._linear_pointwise
        self._adding: Callable[..., Tensor] = operators._linear_pointwise.binary

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """x W + b, after the activation or plus the residual."""
        if residual is not None:
            return self._adding(x, residual, self._weight, self._bias, "add")
        name, algorithm = self._then
        return self._plain(x, self._weight, self._bias, name, [], algorithm)
