"""The zero-shot baseline: the original CLIP compares high and low quality."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from bench import backbones
from bench.api import ImagePolicy, Images, Method, Scores, Settings

if TYPE_CHECKING:
    from torch import Tensor

    from bench.methods.kit.forms import Frozen


class ZeroShotSettings(Settings):
    """The CLIP, the words, and the part of the image."""

    backbone: str = "ViT-B-16:openai"
    """The CLIP."""
    high: str = "high quality"
    """Words for the good end."""
    low: str = "low quality"
    """Words for the bad end."""
    templates: tuple[str, ...] = Field(
        default=("a photo of {}.", "a {} photo.", "{}."), min_length=1
    )
    """Sentences around the words; features are averaged over them. GRMP-IQA's paper names none for
    its baseline, its code 'a photo with …' (a row of `zero_shot_ablation`); CLIP-IQA has 'Good
    photo.' and 'Bad photo.'."""
    resize_mode: Literal["squash", "short_side"] = "squash"
    """'squash' shows the whole image, whatever its aspect ratio; 'short_side' the central
    square."""


class ClipZeroShot(Method):
    """CLIP without training: high quality or low quality, by antonym prompts."""

    name = "clip_zeroshot"
    Settings: ClassVar[type[ZeroShotSettings]] = ZeroShotSettings
    settings: ZeroShotSettings

    @property
    def policy(self) -> ImagePolicy:
        """The backbone's own input size."""
        size = backbones.resolve_clip(self.settings.backbone).image_size
        return ImagePolicy(self.settings.resize_mode, size)

    def predict(self, images: Images) -> Scores:
        """Probability of the good end, (n,) in 0–1."""
        texts = self._texts()
        model = self._loaded().model
        scores = [
            (model.logit_scale.exp() * features @ texts.T).softmax(dim=-1)[:, 0].cpu().numpy()
            for features in self._features(images)
        ]
        return np.concatenate(scores).astype(np.float64) if scores else np.empty(0)

    def embed(self, images: Images) -> npt.NDArray[np.floating[Any]]:
        """CLIP's image features, (n, e) of length one."""
        return np.concatenate([features.cpu().numpy() for features in self._features(images)])

    def _loaded(self) -> Any:
        return backbones.shared(self.settings.backbone, self.context.device)

    @cached_property
    def _forward(self) -> Frozen:
        """The image tower; one for all predictions, since it proves its arithmetic once."""
        from bench.methods.kit import onednn
        from bench.methods.kit.forms import Frozen, has_onednn

        model = self._loaded().model
        return Frozen(
            lambda batch: model.encode_image(batch, normalize=True),
            self.context,
            partial(onednn.encoder, model) if has_onednn(self.settings.backbone) else None,
        )

    def _texts(self) -> Tensor:
        """Features (2, e) of the two ends, the good one first."""
        import torch

        backbone = self._loaded()
        ends = []
        for word in (self.settings.high, self.settings.low):
            texts = [template.format(word) for template in self.settings.templates]
            tokens = backbone.tokenizer(texts).to(self.context.device)
            with torch.no_grad():
                ends.append(backbone.model.encode_text(tokens, normalize=True).mean(dim=0))
        return torch.nn.functional.normalize(torch.stack(ends), dim=-1)

    def _features(self, images: Images) -> list[Tensor]:
        """Features of all images, batch by batch."""
        import torch

        from bench.methods.kit.devices import upload

        backbone, size, device = self._loaded(), self.context.batch_size, self.context.device
        mean, std = (
            torch.tensor(v, device=device)[:, None, None]
            for v in (backbone.info.mean, backbone.info.std)
        )
        found = []
        for start in range(0, len(images), size):
            places = range(start, min(start + size, len(images)))
            square = np.stack([_centre(images[place]) for place in places])
            batch = (upload(square, device) - mean) / std
            with torch.no_grad():
                found.append(self._forward(batch))
        return found


def _centre(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The central square (S, S, 3) of an image (H, W, 3)."""
    height, width = image.shape[:2]
    size = min(height, width)
    top, left = (height - size) // 2, (width - size) // 2
    return image[top : top + size, left : left + size]
