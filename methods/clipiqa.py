"""CLIP-IQA (Wang et al., AAAI 2023): CLIP asked by antonyms, attribute by attribute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from bench.api import Context, ImagePolicy, Images, Method, Scores
from bench.methods.kit.clip_features import Encoder, ImageSettings, as_array

if TYPE_CHECKING:
    from torch import Tensor

ATTRIBUTES: dict[str, tuple[str, str]] = {
    "quality": ("Good photo.", "Bad photo."),
    "brightness": ("Bright photo.", "Dark photo."),
    "noisiness": ("Clean photo.", "Noisy photo."),
    "colourfulness": ("Colorful photo.", "Dull photo."),
    "sharpness": ("Sharp photo.", "Blurry photo."),
    "contrast": ("High contrast photo.", "Low contrast photo."),
}
"""The good end and the bad end of each attribute."""


class ClipIqaSettings(ImageSettings):
    """Which attributes; by default the paper's: quality, whole images, no positions."""

    positions: bool = False
    """Positional embeddings; the paper leaves them out."""
    resize_mode: Literal["squash", "short_side", "none"] = "none"
    """How a file becomes an image; the paper keeps its size."""
    attributes: tuple[str, ...] = Field(
        default=("quality",),
        min_length=1,
        description="Attributes whose probabilities are averaged: " + ", ".join(ATTRIBUTES) + ".",
    )

    @field_validator("attributes", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return value.split(",") if isinstance(value, str) else value

    @field_validator("attributes")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in ATTRIBUTES:
                raise ValueError(f"no attribute '{name}'; known: {', '.join(ATTRIBUTES)}")
        return value


class ClipIqa(Method):
    """CLIP-IQA without training: antonym prompts, several attributes, whole images.

    The paper's encoder is ResNet-50; here it is the given ViT, without positional embeddings as
    in the paper, so that whole images of any size go in.
    """

    name = "clipiqa"
    Settings: ClassVar[type[ClipIqaSettings]] = ClipIqaSettings
    settings: ClipIqaSettings

    def __init__(self, settings: ClipIqaSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._encoder: Encoder | None = None

    @property
    def encoder(self) -> Encoder:
        """The frozen CLIP, loaded at first use."""
        if self._encoder is None:
            self._encoder = Encoder(self.settings, self.context)
        return self._encoder

    @property
    def policy(self) -> ImagePolicy:
        """As the settings say."""
        return self.settings.policy

    def predict(self, images: Images) -> Scores:
        """Mean probability of the good ends, (n,) in 0–1."""
        found = self.per_image(images)
        return np.mean([found[name] for name in self.settings.attributes], axis=0)

    def per_image(self, images: Images) -> dict[str, npt.NDArray[np.floating[Any]]]:
        """Probability of each attribute's good end, (n,) each."""
        features = self.encoder.features(images)
        scale = self.encoder.backbone.model.logit_scale.exp()
        found: dict[str, npt.NDArray[np.floating[Any]]] = {}
        for name in self.settings.attributes:
            logits = scale * features @ self._ends(name).T
            found[name] = as_array(logits.softmax(dim=-1)[:, 0])
        return found

    def embed(self, images: Images) -> npt.NDArray[np.floating[Any]]:
        """Image features of length one, (n, e)."""
        return as_array(self.encoder.features(images))

    def _ends(self, attribute: str) -> Tensor:
        """Features (2, e) of the two texts, the good one first."""
        import torch

        backbone = self.encoder.backbone
        tokens = backbone.tokenizer(list(ATTRIBUTES[attribute])).to(self.context.device)
        with torch.no_grad():
            found: Tensor = backbone.model.encode_text(tokens, normalize=True)
        return found
