"""A frozen CLIP's image features: one crop with positions, or whole images without."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from bench import backbones
from bench.api import BenchError, Context, ImagePolicy, Images, Pixels, Settings, UsageError
from bench.methods.kit.batches import same_shape
from bench.methods.kit.views import CENTRE, Crop, titled

if TYPE_CHECKING:
    from torch import Tensor

RESNET_STRIDE = 32
"""Pixels of an image that become one position in front of a CLIP ResNet's pooling."""


class ImageSettings(Settings):
    """The CLIP and the form of its input."""

    backbone: str = "ViT-B-16:openai"
    """The CLIP."""
    positions: bool = True
    """Positional embeddings. With them the encoder sees a square of its own size, without them
    (CLIP-IQA) a whole image of any size."""
    resize_mode: Literal["squash", "short_side", "none"] = "squash"
    """How a file becomes an image: a square whatever the aspect ratio, the short side set, or as it
    is (without positions only)."""
    resize: int | None = Field(default=None, ge=1)
    """Pixels of the square or the short side; by default 244 for a crop of 224, in proportion for
    other encoders."""

    @model_validator(mode="after")
    def _square_needs_a_size(self) -> Self:
        if self.positions and self.resize_mode == "none":
            raise ValueError("positions need resize_mode squash or short_side")
        return self

    @property
    def policy(self) -> ImagePolicy:
        """How images are decoded. `UsageError` if the backbone does not support it."""
        if not self.positions:
            smallest_side(self.backbone)
        if self.resize_mode == "none":
            return ImagePolicy()
        side = self.resize or round(
            backbones.resolve_clip(self.backbone).image_size / backbones.CLIP_SHOWN
        )
        return ImagePolicy(self.resize_mode, side)


class Encoder:
    """Image features of length one from a frozen CLIP; computed features are kept."""

    def __init__(self, settings: ImageSettings, context: Context) -> None:
        import torch

        from bench.methods.kit import cache
        from bench.methods.kit.forms import Frozen

        self.context = context
        self.backbone: Any = backbones.shared(settings.backbone, context.device)
        info = self.backbone.info
        self.size: int | None = info.image_size if settings.positions else None
        self.smallest = 1 if settings.positions else smallest_side(settings.backbone)
        self.mean = torch.tensor(info.mean, device=context.device)[:, None, None]
        self.std = torch.tensor(info.std, device=context.device)[:, None, None]
        self._kept = cache.shared(context.device).shelf()
        self.forward = Frozen(
            self._features_of, context, self._pack if packable(settings) else None
        )

    def features(self, images: Images) -> Tensor:
        """Features of the central crops, or of the whole images, (n, e)."""
        places = range(len(images))
        return self.crops(
            [Crop(images, place, CENTRE, (images.digest(place), CENTRE)) for place in places]
        )

    def crops(self, crops: Sequence[Crop]) -> Tensor:
        """Features of crops (n, e), in their order; without positions a crop is the whole image.

        BenchError names an image that is too small.
        """
        import torch

        if not crops:
            return torch.empty(0, self.backbone.info.embed_dim, device=self.context.device)
        return self._kept.rows(
            [crop.key for crop in crops],
            lambda places: self._compute([crops[place] for place in places]),
        )

    def _compute(self, crops: Sequence[Crop]) -> Tensor:
        import torch

        rows: list[Tensor] = []
        with torch.no_grad():
            for batch in self.inputs(crops):
                rows.extend(self.forward(batch))
        return torch.stack(rows)

    def inputs(self, crops: Sequence[Crop]) -> Iterator[Tensor]:
        """The network's inputs from crops, in batches of one shape."""
        from bench.methods.kit.devices import upload

        for _, pixels in same_shape(map(self._cut, crops), self.context.batch_size):
            yield (upload(np.stack(pixels), self.context.device) - self.mean) / self.std

    def _cut(self, shown: Crop) -> Pixels:
        if self.size is not None:
            return shown.pixels(self.size)
        image = shown.images[shown.index]
        if min(image.shape[:2]) < self.smallest:
            height, width = image.shape[:2]
            name = titled(shown.images.names[shown.index])
            raise BenchError(
                f"{name} of {width} x {height} is smaller than a patch of CLIP ({self.smallest})"
            )
        # Without positions a crop is the whole image; only its mirroring counts.
        return image[:, ::-1] if shown.view.flip else image

    def _pack(self, batch: Tensor) -> Callable[[Tensor], Tensor]:
        from bench.methods.kit import onednn

        return onednn.encoder(self.backbone.model, batch)

    def _features_of(self, batch: Tensor) -> Tensor:
        import torch

        from bench.methods.kit.clip_tower import without_positions

        if self.size is None:
            features = without_positions(self.backbone.model.visual, batch)
            return torch.nn.functional.normalize(features, dim=-1)
        found: Tensor = self.backbone.model.encode_image(batch, normalize=True)
        return found


def packable(settings: ImageSettings) -> bool:
    """Whether oneDNN may compute the features: of squares, by open_clip's own ViT."""
    from bench.methods.kit.forms import has_onednn

    return settings.positions and has_onednn(settings.backbone)


def smallest_side(backbone: str) -> int:
    """The shortest side of an image that a CLIP takes without positional embeddings, in pixels.

    A `UsageError` for image towers that cannot leave them out.
    """
    tower = backbones.resolve_clip(backbone).tower
    if tower == "resnet":
        return RESNET_STRIDE
    if tower == "timm":
        raise UsageError(
            f"backbone '{backbone}': towers of timm keep their positional embeddings; set "
            "positions=true and resize_mode=squash or short_side"
        )
    return backbones.resolve_vit(backbone).patch_size


def as_array(features: Tensor) -> npt.NDArray[np.float64]:
    """A tensor as float64 on the CPU."""
    return np.asarray(features.detach().cpu().double().numpy())
