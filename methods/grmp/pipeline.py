"""From crops to logits: student and teacher, with everything frozen computed once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.methods.grmp.model import QualityCLIP, SceneTokens
from bench.methods.grmp.reuse import Reuse
from bench.methods.kit import cache
from bench.methods.kit.lens import Lens
from bench.methods.kit.views import Crop


class Pipeline:
    """Runs a model whose first `frozen` blocks of each tower never change.

    `frozen` is (image blocks, text blocks). Visual prompts count as frozen unless `live_prompts`.
    """

    def __init__(
        self,
        model: QualityCLIP,
        lens: Lens,
        frozen: tuple[int, int] = (0, 0),
        reuse: Reuse | None = None,
        live_prompts: bool = False,
        chunk: int = 64,
    ) -> None:
        self.model = model
        self.lens = lens
        self.reuse = reuse or Reuse()
        self.live_prompts = live_prompts
        self.chunk = chunk
        self.image_blocks = 0 if live_prompts else frozen[0]
        self.text_blocks = frozen[1]
        self.kept = cache.shared(str(lens.device)).shelf()
        self._scenes: SceneTokens | None = None
        self._prompts: list[Tensor | None] | None = None

    def image_features(
        self, crops: Sequence[Crop], dropout: float = 0.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Features (B, e) of length one; gradients reach what trains."""
        tower = self.model.image_encoder
        with self.lens.precision():
            prompts = self._visual_prompts(len(crops), dropout, generator)
            # Dropout or trained prompts change the frozen blocks' outputs from step to step.
            if dropout or self.live_prompts:
                start, tokens = 0, tower.embed(self.lens.pixels(crops))
            else:
                start, tokens = self.image_blocks, self._tokens(crops)
            plain = not self.reuse.skip_unread
            features = tower.head(tower.run(tokens, prompts, start=start, plain=plain))
        return F.normalize(features.float(), dim=-1)

    def quality_texts(self) -> Tensor:
        """Features (2, e) of the quality prompts."""
        with self.lens.precision():
            return self.model.quality_texts(plain=not self.reuse.skip_unread).float()

    def scene_texts(self) -> Tensor:
        """Features (9, e) of the scene prompts through the tuned text encoder."""
        tower = self.model.text_encoder
        with self.lens.precision():
            start = self._scene_tokens()
            tokens = tower.run(start.tokens, start=self.text_blocks)
            return tower.head(tokens, start.ends).float()

    def _visual_prompts(
        self, batch: int, dropout: float, generator: torch.Generator | None
    ) -> list[Tensor | None]:
        tower = self.model.image_encoder
        if dropout or self.live_prompts:
            return tower.prompts(batch, dropout, generator)
        if self._prompts is None or not self.reuse.prefix:
            with torch.no_grad():
                self._prompts = tower.prompts()
        return self._prompts

    def _tokens(self, crops: Sequence[Crop]) -> Tensor:
        """Tokens (B, 1 + N, d) behind the frozen image blocks."""
        if not self.reuse.prefix:
            return self._through_frozen(crops)
        return self.kept.rows(
            [crop.key for crop in crops],
            lambda places: self._through_frozen([crops[place] for place in places]),
        )

    @torch.no_grad()
    def _through_frozen(self, crops: Sequence[Crop]) -> Tensor:
        tower, plain = self.model.image_encoder, not self.reuse.skip_unread
        prompts = self._visual_prompts(len(crops), 0.0, None)
        parts = [
            tower.run(
                tower.embed(self.lens.pixels(crops[i : i + self.chunk])),
                prompts,
                stop=self.image_blocks,
                plain=plain,
            ).float()
            for i in range(0, len(crops), self.chunk)
        ]
        return torch.cat(parts)

    def _scene_tokens(self) -> SceneTokens:
        if self._scenes is None or not self.reuse.texts:
            with torch.no_grad():
                start = self.model.scene_start(plain=not self.reuse.skip_unread)
                tokens = self.model.text_encoder.run(start.tokens, stop=self.text_blocks)
                self._scenes = SceneTokens(tokens.float(), start.ends)
        return self._scenes


class Teacher:
    """Untouched CLIP's scene probabilities, the p_sem of Eq. 7."""

    def __init__(self, model: QualityCLIP, clip: Any, lens: Lens, reuse: Reuse) -> None:
        self.clip = clip
        self.lens = lens
        self.reuse = reuse
        self.kept = cache.shared(str(lens.device)).shelf()
        with torch.no_grad():
            self.texts = clip.encode_text(model.scene_tokens, normalize=True)

    def probabilities(self, crops: Sequence[Crop]) -> Tensor:
        """(B, 9) float32."""
        if not self.reuse.teacher:
            return self._compute(crops)
        return self.kept.rows(
            [crop.key for crop in crops],
            lambda places: self._compute([crops[place] for place in places]),
        )

    @torch.no_grad()
    def _compute(self, crops: Sequence[Crop]) -> Tensor:
        with self.lens.precision():
            features = self.clip.encode_image(self.lens.pixels(crops), normalize=True)
        logits = self.clip.logit_scale.exp() * features.float() @ self.texts.float().T
        return logits.softmax(dim=-1)
