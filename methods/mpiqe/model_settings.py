"""Settings of the model: prompts, alignment, multi-modal encoder.

Descriptions give the paper's value. After "Unstated" or "Open" they give the choice made here,
with its reason; the authors have published no code to compare it with.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bench.api import Settings
from bench.methods.mpiqe.class_names import DISTORTIONS, SCENES


class MpiqeModelSettings(Settings):
    """Everything that gives the model its form."""

    backbone: str = "ViT-B-16:openai"
    """The CLIP that is prompted. Paper: ViT-B/16."""
    scene_prompts: bool = True
    """Scene prompts P_s (Table 4)."""
    distortion_prompts: bool = True
    """Distortion prompts P_d (Table 4)."""
    visual_only: bool = False
    """No text at all (Fig. 3): learned queries take the place of Q, and the decoder has a single
    layer, as the paper says of its visual-only model."""
    visual_only_queries: int = Field(default=1, ge=1)
    """Learned queries of the visual-only model. Unstated. One: it stands for the image as a whole,
    like a class token."""
    text_length: int = Field(default=8, ge=1)
    """Learned context vectors M of a text (Eq. 6). Paper: 8."""
    context_sharing: Literal["branch", "all", "class"] = "branch"
    """Which texts have one context: those of a branch, all of both branches, or every class its
    own. Unstated. 'branch': Fig. 2 draws two prompts, and CoOp, which the paper follows, shares a
    context among classes."""
    context_words: str = ""
    """Words whose embeddings the last context vectors start from; the others, and all if it is
    empty, from N(0, 0.02). Unstated. Random, as in CoOp's main experiments."""
    scene_words: tuple[str, ...] = Field(
        default=SCENES, min_length=len(SCENES), max_length=len(SCENES)
    )
    """[class] of the nine scene prompts. Paper: these."""
    distortion_words: tuple[str, ...] = Field(
        default=DISTORTIONS, min_length=len(DISTORTIONS), max_length=len(DISTORTIONS)
    )
    """[class] of the eleven distortion prompts. Paper: these."""
    visual_prompts: Literal["deep", "shallow", "none"] = "deep"
    """Learned tokens between CLS and patches in every layer, in the first, or in none (Table 4).
    Paper: deep, new ones in each layer."""
    visual_length: int = Field(default=4, ge=1)
    """Visual tokens a layer. Paper: 4 (Table 6)."""
    visual_init: Literal["normal", "xavier"] = "normal"
    """Start of the visual tokens: N(0, 0.02), or uniform as VPT draws them. Unstated. 'normal':
    MaPLe's start, which the paper names as its model."""
    shallow: Literal["carried", "dropped"] = "carried"
    """Treatment of shallow tokens behind the first layer. Unstated. 'carried' through all
    layers, as in VPT, where the word comes from; 'dropped' is Eq. 7 once."""
    projection: Literal["clip", "linear", "linear_patches"] = "clip"
    """The 'linear layer' from the tower's width to the texts'. Open: CLIP's own, or a new, trained
    one for CLS and patches, or for the patches alone. 'clip': it is linear, and the alignment of
    CLS with texts that the paper builds on exists behind it only."""
    patch_norm: bool = True
    """Patches pass CLIP's `ln_post` before the projection, as CLS does. Unstated. Yes: the
    projection was trained behind it."""
    similarity: Literal["cosine", "dot"] = "cosine"
    """Sim of Eq. 8 and 10. Unstated. Cosine, as in CLIP's own objective."""
    temperature: float | None = Field(default=None, gt=0)
    """𝒯 of Eq. 8 and of the softmax behind Eq. 10. Unstated. None: CLIP's own (0.01 for ViT-B/16),
    which its similarities were trained with."""
    window_temperature: float | None = Field(default=None, gt=0)
    """𝒯̄ of Eq. 10; the smaller, the more the best window decides. Unstated. None: the same as
    `temperature`."""
    train_temperature: bool = False
    """Learn both temperatures. Unstated. No: the paper trains prompts and the multi-modal encoder
    'exclusively'."""
    windows: int = Field(default=7, ge=1)
    """w of Eq. 10: patches are max-pooled to w × w windows. Unstated. 7: four patches a window at
    224 pixels."""
    decoder_layers: int = Field(default=3, ge=1)
    """Layers of the multi-modal encoder. Contradictory: 'a three-layer transformer decoder'
    (Models), one layer written in Eq. 13–14 and said of the visual-only model. 3: the sentence that
    describes the model itself."""
    heads: int = Field(default=8, ge=1)
    """Attention heads of the multi-modal encoder. Unstated. 8, as CLIP's text tower has for these
    512 dimensions."""
    feed_forward: int = Field(default=0, ge=0)
    """Width of a feed-forward block at the end of a layer; 0: none. Unstated. None, since Eq. 13–14
    have none."""
    memory: Literal["projected", "unit", "normed"] = "projected"
    """I' of Eq. 14: features as projected, scaled to length one, or behind a layer norm. Unstated.
    'projected': Eq. 14 writes Norm around Q' only."""
    pooling: Literal["token", "mean", "flatten"] = "token"
    """From query tokens to one score: the MLP on each token and the mean of its scores, the MLP on
    the mean token, or on all tokens end to end. Unstated. 'token': Eq. 14 applies the MLP to the
    matrix of tokens."""
    mlp_width: int | None = Field(default=None, ge=1)
    """Hidden units of the score's MLP (one hidden layer, GELU). Unstated. None: as many as a token
    has dimensions."""
    sigmoid: bool = False
    """A sigmoid at the end. Unstated. No: Eq. 14 has none."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout of each branch of the multi-modal encoder. Unstated. 0."""

    @property
    def branches(self) -> tuple[tuple[str, ...], ...]:
        """The class words of the text branches in use, scenes first."""
        if self.visual_only:
            return ()
        chosen = []
        if self.scene_prompts:
            chosen.append(self.scene_words)
        if self.distortion_prompts:
            chosen.append(self.distortion_words)
        return tuple(chosen)

    @property
    def uses_scenes(self) -> bool:
        """Whether there are scene prompts to align."""
        return self.scene_prompts and not self.visual_only

    @property
    def uses_distortions(self) -> bool:
        """Whether there are distortion prompts to align."""
        return self.distortion_prompts and not self.visual_only
