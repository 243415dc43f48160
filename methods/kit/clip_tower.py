"""CLIP's two towers in parts: block ranges, deep visual prompts, text from embeddings.

open_clip runs a tower from pixels or tokens to a feature in one go. Prompt learning needs more:
tokens that join the sequence at every layer, text that starts from learned embeddings, and, where
the first blocks are frozen, a way to run only the others. The modules here hold the parameters of
an open_clip CLIP under the names of OpenAI's towers, so a state dict of CoOp, VPT or GRMP-IQA maps
onto them one to one.

Two computations give the same numbers. `plain` runs whole blocks of open_clip on whole sequences.
The other one (default) leaves out unused outputs: those of prompt tokens, which the next
layer replaces, all outputs of the last visual block but the class token's, and the text positions
behind the longest end-of-text token, which causal attention hides from it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PROMPT_NORM_EPS = 1e-6


def private_copy(clip: nn.Module) -> Any:
    """A second CLIP with new modules and the parameters of `clip`.

    Replacing a parameter of the copy (`own`) leaves `clip` unchanged; shared parameters take no
    extra memory.
    """
    shared = {id(tensor): tensor for tensor in [*clip.parameters(), *clip.buffers()]}
    return copy.deepcopy(clip, memo=shared)


def own(module: nn.Module, name: str, value: Tensor | None = None) -> nn.Parameter:
    """Give `module` its own parameter `name` (dotted), a copy of `value` or of the present one."""
    path, _, leaf = name.rpartition(".")
    parent = module.get_submodule(path)
    source = getattr(parent, leaf) if value is None else value
    parameter = nn.Parameter(source.detach().clone(), requires_grad=False)
    setattr(parent, leaf, parameter)
    return parameter


def _heads(x: Tensor, heads: int) -> Tensor:
    """(B, T, d) to (B, heads, T, d / heads)."""
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


def run_block(
    block: Any,
    x: Tensor,
    prompts: Tensor | None = None,
    keep: int | None = None,
    causal: bool = False,
) -> Tensor:
    """One pre-norm residual block of open_clip for the tokens whose outputs are wanted.

    `x` (B, T, d) are the tokens; `prompts`, (P, d) for the whole batch or (B, P, d), take part as
    keys and values only. Returns the outputs of the first `keep` tokens of `x` (all by default).
    """
    attention = block.attn
    width = x.shape[-1]
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    normed = block.ln_1(x)
    query = F.linear(normed[:, :keep], weight[:width], bias[:width])
    pairs = F.linear(normed, weight[width:], bias[width:])
    if prompts is not None:
        extra = F.linear(block.ln_1(prompts), weight[width:], bias[width:])
        pairs = torch.cat([pairs, extra.expand(len(x), -1, -1)], dim=1)
    key, value = pairs.chunk(2, dim=-1)
    heads = attention.num_heads
    mixed = F.scaled_dot_product_attention(
        _heads(query, heads), _heads(key, heads), _heads(value, heads), is_causal=causal
    )
    mixed = attention.out_proj(mixed.transpose(1, 2).flatten(2))
    x = x[:, :keep] + block.ls_1(mixed)
    return x + block.ls_2(block.mlp(block.ln_2(x)))


class VisualTower(nn.Module):
    """CLIP's image encoder with deep prompts (VPT): P tokens join every one of `depth` layers.

    Layer l reads [CLS, prompts of l, patches]; the outputs at the prompts are dropped (GRMP-IQA
    Eq. 1). `projection` sends every layer's prompts through one shared linear map, `norm` adds a
    layer norm before CLIP's `ln_post`. With `n_prompts` = 0 it is CLIP's own tower.
    """

    def __init__(
        self,
        visual: Any,
        n_prompts: int = 0,
        depth: int | None = None,
        projection: bool = False,
        norm: bool = False,
    ) -> None:
        super().__init__()
        self.class_embedding: nn.Parameter = visual.class_embedding
        self.positional_embedding: nn.Parameter = visual.positional_embedding
        self.proj: nn.Parameter = visual.proj
        self.conv1: nn.Conv2d = visual.conv1
        self.ln_pre: nn.Module = visual.ln_pre
        self.transformer: Any = visual.transformer
        self.ln_post: nn.Module = visual.ln_post
        self.n_layers = len(self.transformer.resblocks)
        self.depth = 0 if not n_prompts else min(depth or self.n_layers, self.n_layers)
        width = self.positional_embedding.shape[1]
        self.prompt_proj: nn.Module = nn.Identity()
        self.prompt_norm: nn.Module = nn.Identity()
        if self.depth:
            self.prompt_embeddings = nn.Parameter(torch.zeros(1, n_prompts, width))
            self.deep_prompt_embeddings = nn.Parameter(
                torch.zeros(self.depth - 1, n_prompts, width)
            )
            if projection:
                self.prompt_proj = nn.Linear(width, width)
            if norm:
                self.prompt_norm = nn.LayerNorm(width, eps=PROMPT_NORM_EPS)
        self.requires_grad_(False)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator, patch: int) -> None:
        """Random prompts as VPT draws them: uniform by Xavier's rule, projection by Kaiming's."""
        if not self.depth:
            return
        width = self.positional_embedding.shape[1]
        bound = math.sqrt(6 / (3 * patch * patch + width))
        self.prompt_embeddings.uniform_(-bound, bound, generator=generator)
        self.deep_prompt_embeddings.uniform_(-bound, bound, generator=generator)
        if isinstance(self.prompt_proj, nn.Linear):
            spread = math.sqrt(2 / width)
            self.prompt_proj.weight.normal_(0, spread, generator=generator)
            # As `nn.Linear` leaves it; VPT's code draws the weight anew and not the bias.
            least = 1 / math.sqrt(width)
            self.prompt_proj.bias.uniform_(-least, least, generator=generator)

    def embed(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (B, 3, S, S) to the first block's tokens (B, 1 + N, d)."""
        patches = self.conv1(pixels).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(patches), 1, -1)
        return self.ln_pre(torch.cat([first, patches], dim=1) + self.positional_embedding)

    def prompts(
        self, batch: int = 1, dropout: float = 0.0, generator: torch.Generator | None = None
    ) -> list[Tensor | None]:
        """Each layer's prompts after the projection: (P, d), or (batch, P, d) under dropout."""
        if not self.depth:
            return [None] * self.n_layers
        projected = self.prompt_proj(
            torch.cat([self.prompt_embeddings, self.deep_prompt_embeddings])
        )
        layers: list[Tensor | None] = list(projected)
        if dropout:
            layers = [_dropped(layer, batch, dropout, generator) for layer in projected]
        return layers + [None] * (self.n_layers - self.depth)

    def run(
        self,
        x: Tensor,
        prompts: Sequence[Tensor | None],
        start: int = 0,
        stop: int | None = None,
        plain: bool = False,
        patches: bool = False,
    ) -> Tensor:
        """Blocks `start` to `stop` on tokens (B, 1 + N, d).

        After the last block (B, 1, d), the class token; with `patches` all of them.
        """
        stop = self.n_layers if stop is None else stop
        for index in range(start, stop):
            block = self.transformer.resblocks[index]
            last = index == self.n_layers - 1 and not patches
            if plain:
                x = _whole_block(block, x, prompts[index])
            else:
                x = run_block(block, x, prompts[index], keep=1 if last else None)
        return x[:, :1] if stop == self.n_layers and not patches else x

    def head(self, x: Tensor) -> Tensor:
        """The class token (B, 1, d) of the last block to the joint space (B, e), unnormalised."""
        return self.ln_post(self.prompt_norm(x[:, 0])) @ self.proj

    def forward(self, pixels: Tensor, plain: bool = False) -> Tensor:
        """Normalised pixels (B, 3, S, S) to features (B, e) of length one."""
        return F.normalize(
            self.head(self.run(self.embed(pixels), self.prompts(), plain=plain)), dim=-1
        )


def without_positions(visual: Any, pixels: Tensor) -> Tensor:
    """An image tower of open_clip without positional embeddings (CLIP-IQA), on any image size.

    Normalised pixels (B, 3, H, W) to features (B, e), not of length one. `visual` is a vision
    transformer in CLIP's form, or a ResNet, whose pooling alone has positions.
    """
    if hasattr(visual, "attnpool"):
        return _pooled(visual.attnpool, _resnet_maps(visual, pixels))
    tower = VisualTower(visual)
    patches = tower.conv1(pixels).flatten(2).transpose(1, 2)
    first = tower.class_embedding.expand(len(patches), 1, -1)
    tokens = tower.ln_pre(torch.cat([first, patches], dim=1))
    return tower.head(tower.run(tokens, tower.prompts()))


def _resnet_maps(visual: Any, pixels: Tensor) -> Tensor:
    """The output of a ResNet's last stage, (B, C, h, w)."""
    x: Tensor = visual.stem(pixels)
    for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
        x = layer(x)
    return x


def _pooled(pool: Any, maps: Tensor) -> Tensor:
    """CLIP's attention pooling of (B, C, h, w) without its positions: the mean asks, (B, e)."""
    positions = maps.flatten(2).transpose(1, 2)
    tokens = torch.cat([positions.mean(dim=1, keepdim=True), positions], dim=1)
    query, key, value = pool.q_proj(tokens[:, :1]), pool.k_proj(tokens), pool.v_proj(tokens)
    heads = pool.num_heads
    mixed = F.scaled_dot_product_attention(
        _heads(query, heads), _heads(key, heads), _heads(value, heads)
    )
    pooled: Tensor = pool.c_proj(mixed.transpose(1, 2).flatten(2))[:, 0]
    return pooled


def _dropped(layer: Tensor, batch: int, rate: float, generator: torch.Generator | None) -> Tensor:
    mask = torch.rand((batch, *layer.shape), generator=generator) >= rate
    return layer * mask.to(layer) / (1 - rate)


def _whole_block(block: Any, x: Tensor, prompts: Tensor | None) -> Tensor:
    """The block on CLS, prompts and patches together, as VPT writes it."""
    if prompts is None:
        return block(x)
    joined = torch.cat([x[:, :1], prompts.expand(len(x), -1, -1), x[:, 1:]], dim=1)
    out = block(joined)
    return torch.cat([out[:, :1], out[:, 1 + prompts.shape[-2] :]], dim=1)


class TextTower(nn.Module):
    """CLIP's text encoder, from token embeddings onwards."""

    def __init__(self, clip: Any) -> None:
        super().__init__()
        self.positional_embedding: nn.Parameter = clip.positional_embedding
        self.text_projection: nn.Parameter = clip.text_projection
        self.transformer: Any = clip.transformer
        self.ln_final: nn.Module = clip.ln_final
        self.token_embedding: nn.Embedding = clip.token_embedding
        self.n_layers = len(self.transformer.resblocks)
        self.requires_grad_(False)

    def start(self, embeddings: Tensor, ends: Tensor, plain: bool = False) -> Tensor:
        """Token embeddings (C, 77, d) to the first block's tokens (C, T, d).

        `ends` (C,) are the positions of the end-of-text tokens; T is just enough for them.
        """
        length = embeddings.shape[1] if plain else int(ends.max()) + 1
        return embeddings[:, :length] + self.positional_embedding[:length]

    def run(self, x: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """Blocks `start` to `stop` under causal attention, (C, T, d) to (C, T, d)."""
        for block in self.transformer.resblocks[start:stop]:
            x = run_block(block, x, causal=True)
        return x

    def head(self, x: Tensor, ends: Tensor) -> Tensor:
        """The last block's tokens (C, T, d) to features (C, e) of length one."""
        pooled = self.ln_final(x)[torch.arange(len(x), device=x.device), ends]
        return F.normalize(pooled @ self.text_projection, dim=-1)

    def forward(self, embeddings: Tensor, ends: Tensor, plain: bool = False) -> Tensor:
        """Token embeddings (C, 77, d) to features (C, e) of length one."""
        return self.head(self.run(self.start(embeddings, ends, plain)), ends)


class TextPrompts(nn.Module):
    """Learned context beside fixed words (CoOp): [SOT] v1 … vM words [EOT].

    The context (M, d) is shared by all texts, or (C, M, d), one for each. `token_prefix` (C, 1, d)
    and `token_suffix` (C, 76 - M, d) are the embeddings of what stays; `ends` (C,) says where each
    text ends. `ahead` context vectors stand before the words, all of them by default, and the
    others behind the first `words` tokens of each text (CoOp's class token in the middle or in
    front).
    """

    ends: Tensor
    token_prefix: Tensor
    token_suffix: Tensor

    def __init__(
        self,
        tower: TextTower,
        tokens: Tensor,
        n_context: int,
        shared: bool = True,
        ahead: int | None = None,
        words: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.ahead = n_context if ahead is None else ahead
        self.words = tuple(words) or (0,) * len(tokens)
        embedded = tower.token_embedding(tokens).detach()
        texts, length, width = embedded.shape
        shape = (n_context, width) if shared else (texts, n_context, width)
        self.ctx = nn.Parameter(torch.zeros(shape), requires_grad=False)
        self.register_buffer("token_prefix", embedded[:, :1])
        self.register_buffer("token_suffix", embedded[:, 1 : length - n_context])
        self.register_buffer("ends", tokens.argmax(dim=-1) + n_context, persistent=False)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator, spread: float = 0.02) -> None:
        """Context from N(0, spread), as CoOp draws it."""
        self.ctx.normal_(0, spread, generator=generator)

    def forward(self) -> Tensor:
        """The texts as token embeddings (C, 77, d)."""
        context = self.ctx.expand(len(self.token_prefix), -1, -1)
        if self.ahead == context.shape[1]:
            return torch.cat([self.token_prefix, context, self.token_suffix], dim=1)
        texts = zip(self.token_prefix, context, self.token_suffix, self.words, strict=True)
        before = self.ahead
        return torch.stack(
            [
                torch.cat([start, own[:before], rest[:count], own[before:], rest[count:]])
                for start, own, rest, count in texts
            ]
        )
