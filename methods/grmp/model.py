"""CLIP with quality prompts: the model of GRMP-IQA §3.2 under the authors' parameter names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench.methods.grmp.prompt_settings import PromptSettings
from bench.methods.kit.clip_tower import TextPrompts, TextTower, VisualTower, own, private_copy

Tokenizer = Callable[[list[str]], Tensor]


class QualityCLIP(nn.Module):
    """A prompted CLIP that gives the probability of high quality (Eq. 2).

    Its state dict has the names of the released checkpoints. Parameters start out shared with the
    backbone it is built from; `train_only` gives the model copies of those that will change.
    """

    def __init__(self, clip: Any, tokenizer: Tokenizer, settings: PromptSettings) -> None:
        super().__init__()
        body = private_copy(clip)
        self.logit_scale: nn.Parameter = body.logit_scale
        self.text_encoder = TextTower(body)
        tokens = tokenizer(list(settings.quality_texts)).to(self.logit_scale.device)
        self.prompt_learner2 = TextPrompts(self.text_encoder, tokens, settings.context_length)
        self.image_encoder = VisualTower(
            body.visual,
            settings.prompt_count,
            settings.prompt_depth,
            settings.prompt_projection,
            settings.prompt_norm,
        )
        scenes = tokenizer(list(settings.scene_texts)).to(self.logit_scale.device)
        self.scene_tokens: Tensor
        self.register_buffer("scene_tokens", scenes, persistent=False)
        self.logit_scale.requires_grad_(False)
        self.to(self.logit_scale.device)

    def initialise(self, seed: int, settings: PromptSettings) -> None:
        """Draw the prompts: text N(0, 0.02), visual as VPT, scaled by `prompt_scale`."""
        device = self.logit_scale.device
        generator = torch.Generator(device).manual_seed(seed)
        self.prompt_learner2.initialise(generator)
        patch = self.image_encoder.conv1.kernel_size[0]
        self.image_encoder.initialise(generator, int(patch))
        with torch.no_grad():
            if self.image_encoder.depth:
                self.image_encoder.prompt_embeddings.mul_(settings.prompt_scale)
                self.image_encoder.deep_prompt_embeddings.mul_(settings.prompt_scale)

    def train_only(self, names: Sequence[str]) -> list[nn.Parameter]:
        """Make `names` the trained parameters, each the model's own; the rest is frozen."""
        for parameter in self.parameters():
            parameter.requires_grad_(False)
        trained = [own(self, name) for name in names]
        for parameter in trained:
            parameter.requires_grad_(True)
        return trained

    def quality_texts(self, plain: bool = False) -> Tensor:
        """Features (2, e) of the quality prompts, high quality first."""
        learner = self.prompt_learner2
        return self.text_encoder(learner(), learner.ends, plain)

    def scene_start(self, plain: bool = False) -> SceneTokens:
        """The nine scene prompts as tokens of the first text block."""
        tower, ends = self.text_encoder, self.scene_tokens.argmax(dim=-1)
        return SceneTokens(tower.start(tower.token_embedding(self.scene_tokens), ends, plain), ends)

    def scene_texts(self) -> Tensor:
        """Features (9, e) of the scene prompts through this model's text encoder."""
        start = self.scene_start()
        return self.text_encoder.head(self.text_encoder.run(start.tokens), start.ends)

    def logits(self, images: Tensor, texts: Tensor) -> Tensor:
        """Image features (B, e) against text features (C, e), both of length one: (B, C)."""
        return self.logit_scale.exp() * images.float() @ texts.float().T


@dataclass(frozen=True)
class SceneTokens:
    """Texts inside the text tower: tokens (C, T, d) and where each text ends (C,)."""

    tokens: Tensor
    ends: Tensor


def is_prompt(name: str) -> bool:
    """Whether a parameter belongs to the visual-text prompts θ of §3.3.

    As in the released code, the projection and the norm of the visual prompts count among them.
    """
    return "prompt" in name and not name.endswith(("token_prefix", "token_suffix"))


def prompt_names(model: QualityCLIP) -> list[str]:
    """Parameters of meta-pre-training: the prompts, or without any (Table 4, row 2) both
    encoders' blocks."""
    names = [name for name, value in model.named_parameters() if is_prompt(name) and value.numel()]
    return names or [name for name, _ in model.named_parameters() if ".resblocks." in name]


def finetuned_names(model: QualityCLIP, blocks: int, visual_prompts: bool) -> list[str]:
    """Parameters of fine-tuning: text context, the last `blocks` blocks and final norms.

    At ViT-B/16 with four blocks these are the 101 tensors of the released code. `visual_prompts`
    adds the visual prompts with their projection and norm.
    """
    wanted = ["prompt_learner2.ctx"]
    for tower, norm in (("image_encoder", "ln_post"), ("text_encoder", "ln_final")):
        encoder: VisualTower | TextTower = model.get_submodule(tower)  # type: ignore[assignment]
        first = max(encoder.n_layers - blocks, 0)
        wanted += [f"{tower}.transformer.resblocks.{i}." for i in range(first, encoder.n_layers)]
        if blocks:
            wanted.append(f"{tower}.{norm}.")
    if visual_prompts:
        wanted.append("image_encoder.")
    return [
        name for name, value in model.named_parameters() if value.numel() and _wanted(name, wanted)
    ]


def _wanted(name: str, prefixes: Sequence[str]) -> bool:
    exact = [prefix for prefix in prefixes if prefix != "image_encoder."]
    if any(name.startswith(prefix) for prefix in exact):
        return True
    return "image_encoder." in prefixes and name.startswith("image_encoder.") and is_prompt(name)
