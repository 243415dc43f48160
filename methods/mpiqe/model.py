"""A frozen CLIP with text and visual prompts, and the multi-modal encoder behind it (Fig. 2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench.methods.kit.clip_tower import TextPrompts, TextTower, VisualTower, private_copy
from bench.methods.mpiqe.alignment import Alignment
from bench.methods.mpiqe.decoder import MultiModalEncoder, linear
from bench.methods.mpiqe.model_settings import MpiqeModelSettings

Tokenizer = Callable[[list[str]], Tensor]
SPREAD = 0.02
"""Deviation of random prompts (CoOp, MaPLe)."""


@dataclass(frozen=True)
class Queries:
    """Q of Eq. 12 and the texts in it."""

    all: Tensor
    """(Q, e): V^s and V^d one after the other, or the visual-only model's learned ones."""
    scenes: Tensor | None
    """V^s (9, e) of length one; None without scene prompts."""
    distortions: Tensor | None
    """V^d (11, e) of length one; None without distortion prompts."""


@dataclass(frozen=True)
class CropOutput:
    """The model's outputs for B crops."""

    score: Tensor
    """S of Eq. 14, (B,)."""
    features: Tensor
    """Multi-modal features in front of the MLP, (B, Q, e)."""
    scenes: Tensor | None
    """log p of Eq. 8, (B, 9); None without scene prompts."""
    distortions: Tensor | None
    """log p by Eq. 10, (B, 11); None without distortion prompts."""


class PromptedCLIP(nn.Module):
    """The model. Everything of CLIP is shared with the backbone and never trained."""

    def __init__(
        self, clip: Any, tokenizer: Tokenizer, settings: MpiqeModelSettings, seed: int
    ) -> None:
        super().__init__()
        self.settings = settings
        body = private_copy(clip)
        frozen = {id(value) for value in clip.parameters()}
        device = body.logit_scale.device
        generator = torch.Generator().manual_seed(seed)
        self.text_encoder = TextTower(body)
        self.text_prompts = self._prompts(tokenizer, generator)
        self.image_encoder = self._image_tower(body, generator)
        width = self.image_encoder.proj.shape[1]
        self.queries: nn.Parameter | None = None
        n_queries = sum(len(words) for words in settings.branches)
        if not n_queries:
            n_queries = settings.visual_only_queries
            start = torch.randn((n_queries, width), generator=generator)
            self.queries = nn.Parameter(start * SPREAD)
        self.projection: nn.Linear | None = None
        if settings.projection != "clip":
            self.projection = linear(self.image_encoder.proj.shape[0], width, generator)
        self.alignment = Alignment(settings, 1 / float(body.logit_scale.exp()))
        self.encoder = MultiModalEncoder(width, n_queries, settings, generator)
        self._own = [name for name, value in self.named_parameters() if id(value) not in frozen]
        self.to(device)
        self.requires_grad_(False)

    def own_names(self) -> list[str]:
        """Names of the parameters that are not the backbone's."""
        return [name for name in self._own if self.get_parameter(name).numel()]

    def trained_names(self) -> list[str]:
        """Names of what training changes: prompts and the multi-modal encoder."""
        fixed = set() if self.settings.train_temperature else {"alignment.log_temperatures"}
        return [name for name in self.own_names() if name not in fixed]

    # -- text -------------------------------------------------------------------------------------

    def texts(self) -> Queries:
        """The queries; gradients reach the contexts."""
        if self.queries is not None:
            return Queries(self.queries, None, None)
        learners: list[Any] = list(self.text_prompts)
        starts = torch.cat([learner() for learner in learners])
        ends = torch.cat([learner.ends for learner in learners])
        found = self.text_encoder(starts, ends).float()
        own = self.settings
        scenes, distortions = None, None
        if own.uses_scenes:
            scenes = found[: len(own.scene_words)]
        if own.uses_distortions:
            distortions = found[-len(own.distortion_words) :]
        return Queries(found, scenes, distortions)

    def _prompts(self, tokenizer: Tokenizer, generator: torch.Generator) -> nn.ModuleList:
        """One context a branch, one for both, or one a class."""
        own, branches = self.settings, self.settings.branches
        if own.context_sharing == "all" and branches:
            branches = (tuple(word for words in branches for word in words),)
        learners = nn.ModuleList()
        for words in branches:
            tokens = tokenizer(list(words)).to(self.text_encoder.text_projection.device)
            shared = own.context_sharing != "class"
            learner = TextPrompts(self.text_encoder, tokens, own.text_length, shared)
            self._start(learner, tokenizer, generator)
            learners.append(learner)
        return learners

    @torch.no_grad()
    def _start(
        self, learner: TextPrompts, tokenizer: Tokenizer, generator: torch.Generator
    ) -> None:
        drawn = torch.randn(learner.ctx.shape, generator=generator) * SPREAD
        learner.ctx.copy_(drawn)
        if words := self.settings.context_words:
            tokens = tokenizer([words])[0].to(learner.ctx.device)
            known = self.text_encoder.token_embedding(tokens[1 : int(tokens.argmax())])
            known = known[-self.settings.text_length :]
            learner.ctx[..., -len(known) :, :] = known

    # -- image ------------------------------------------------------------------------------------

    def _image_tower(self, body: Any, generator: torch.Generator) -> VisualTower:
        own = self.settings
        depth = {"deep": None, "shallow": 1, "none": None}[own.visual_prompts]
        length = 0 if own.visual_prompts == "none" else own.visual_length
        tower = VisualTower(body.visual, length, depth)
        if not length:
            return tower
        # Drawn on the CPU, so that every device starts from the same prompts.
        rows, columns = tower.conv1.kernel_size
        bound = math.sqrt(6 / (3 * rows * columns + tower.conv1.out_channels))
        for parameter in (tower.prompt_embeddings, tower.deep_prompt_embeddings):
            if own.visual_init == "xavier":
                parameter.data.uniform_(-bound, bound, generator=generator)
            else:
                parameter.data.normal_(0, SPREAD, generator=generator)
        return tower

    def tokens(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (B, 3, S, S) to the last block's tokens [CLS, E], (B, 1 + N, d)."""
        tower = self.image_encoder
        x = tower.embed(pixels)
        prompts = tower.prompts()
        if self.settings.visual_prompts != "shallow" or self.settings.shallow == "dropped":
            return tower.run(x, prompts, patches=True).float()
        assert prompts[0] is not None
        carried = prompts[0].expand(len(x), -1, -1)
        joined = torch.cat([x[:, :1], carried, x[:, 1:]], dim=1)
        out = tower.run(joined, [None] * tower.n_layers, patches=True)
        return torch.cat([out[:, :1], out[:, 1 + carried.shape[1] :]], dim=1).float()

    def image_features(self, tokens: Tensor) -> Tensor:
        """Tokens (B, 1 + N, d) to I' = [CLS, E] in the texts' space, (B, 1 + N, e)."""
        tower, own = self.image_encoder, self.settings
        cls, patches = tower.ln_post(tokens[:, :1]), tokens[:, 1:]
        if own.patch_norm:
            patches = tower.ln_post(patches)
        if self.projection is None:
            return torch.cat([cls, patches], dim=1) @ tower.proj
        if own.projection == "linear":
            return self.projection(torch.cat([cls, patches], dim=1))
        return torch.cat([cls @ tower.proj, self.projection(patches)], dim=1)

    # -- both -------------------------------------------------------------------------------------

    def forward(
        self, tokens: Tensor, queries: Queries, generator: torch.Generator | None = None
    ) -> CropOutput:
        """The last block's tokens (B, 1 + N, d) and the queries to scores and probabilities.

        `generator` draws the dropout; without one there is none.
        """
        image = self.image_features(tokens)
        features = self.encoder.features(queries.all, image, generator)
        scenes, distortions = None, None
        if queries.scenes is not None:
            scenes = self.alignment.scenes(image[:, 0], queries.scenes)
        if queries.distortions is not None:
            distortions = self.alignment.distortions(image[:, 1:], queries.distortions)
        return CropOutput(self.encoder.score(features), features, scenes, distortions)
