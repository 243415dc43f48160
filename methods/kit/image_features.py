"""Features of frozen backbones, CLIP or timm: a row for each image, computed once, kept on disk.

Of a CLIP it is the joint feature of `clip_features`; of a network of timm the means and standard
deviations of its levels (`stages`), side by side. Rows follow from pixels and weights alone, and so
the harness keeps them for all repeats, budgets and methods (`Context.features`).
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from bench import backbones
from bench.api import BenchError, Context, ImagePolicy, Images, Pixels, Rows, UsageError
from bench.methods.kit.clip_features import ImageSettings, packable
from bench.methods.kit.stages import Statistic
from bench.methods.kit.views import CENTRE, crop

if TYPE_CHECKING:
    from bench.methods.kit.forms import Form

Array = npt.NDArray[np.float64]

SIDE = 384
"""Shorter side of an image in front of networks that take any size. Larger than in their
training, since shrinking images loses distortions."""
SMALLEST = 32
"""Least side of an image that is not empty behind five strides of two."""
LEAST_TO_PROVE = 16
"""Images with which another arithmetic proves itself: four views of each are 64."""
PROOF = "0" * 64
"""Where a proof stands among the digests of images."""
LIBRARIES = ("torch", "timm", "open_clip_torch")
"""Whose versions may change a feature."""


class FeatureSettings(ImageSettings):
    """The backbone, the form of its input, and the features that are used."""

    backbone: str = "ViT-B-16:openai"
    """The frozen network: a CLIP, `lite0`, or timm:NAME[:TAG|:FILE]."""
    resize_mode: Literal["squash", "short_side", "none"] = "squash"
    """How a file becomes an image: a square whatever the aspect ratio, the short side set (the
    central square is seen), or as it is (a whole image of any size; a CLIP needs positions=false,
    and ViTs of timm cannot). By default 'squash' for CLIP, 'short_side' for networks of timm."""
    resize: int | None = Field(default=None, ge=1)
    """Pixels of the square or the short side. By default for CLIP 244 for a crop of 224, in
    proportion for other encoders; for networks of timm that take any size 384, for others what
    timm's configuration makes of their input size."""
    stages: tuple[int, ...] | None = None
    """Levels of a network of timm whose statistics are taken, from 0 or backwards from -1, the last
    features; None: all of at most eight inner ones, else four evenly spaced ones, and the
    last features."""
    pooling: tuple[Statistic, ...] = Field(default=("mean", "std"), min_length=1)
    """Statistics of a level of timm's: mean, standard deviation, or both."""

    @model_validator(mode="before")
    @classmethod
    def _as_the_network_needs(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        name = given.get("backbone", cls.model_fields["backbone"].default)
        info = backbones.resolve(name) if isinstance(name, str) else None
        if not isinstance(info, backbones.TimmInfo):
            return given
        values = {"positions": info.fixed_size, "resize_mode": "short_side", **given}
        if values["positions"] != info.fixed_size:
            what = "keeps its positions" if info.fixed_size else "has no positions"
            raise ValueError(f"positions: {name} {what}")
        if values["resize_mode"] != "none" and values.get("resize") is None:
            shown = info.shown if values["resize_mode"] == "short_side" else 1
            values["resize"] = round(info.image_size / shown) if info.fixed_size else SIDE
        return values

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        least = self.resize or 0
        if self.timm is not None and self.timm.fixed_size and least < self.timm.image_size:
            raise ValueError(f"resize: {self.backbone} sees {self.timm.image_size} pixels")
        if self.timm is None and self.stages is not None:
            raise ValueError(
                f"stages: {self.backbone} is a CLIP, of which the joint feature counts"
            )
        return self

    @property
    def timm(self) -> backbones.TimmInfo | None:
        """The backbone, if it is of timm."""
        info = backbones.resolve(self.backbone)
        return info if isinstance(info, backbones.TimmInfo) else None

    @property
    def policy(self) -> ImagePolicy:
        """How images are decoded. `UsageError` if the backbone does not support it."""
        info = self.timm
        if info is None:
            return super().policy
        if self.resize_mode == "none":
            return ImagePolicy()
        if info.interpolation == "bilinear":
            return ImagePolicy(self.resize_mode, self.resize, "pillow_bilinear")
        return ImagePolicy(self.resize_mode, self.resize)


class ImageFeatures:
    """Rows of features of a frozen backbone, which is loaded when an image is new."""

    def __init__(self, settings: FeatureSettings, context: Context) -> None:
        self.settings, self.context = settings, context
        self._made: _Clip | _Timm | None = None
        self._what: dict[str, Any] | None = None
        self._kept: Any = None
        self._arithmetic = ""
        """That of rows from now on; empty until it is decided."""
        self._form: Form | None = None

    def of(self, images: Images, scale: float = 1.0) -> Array:
        """Features of all images, each resized by a factor before, (n, d)."""
        import torch

        from bench.methods.kit import cache, forms

        if self._kept is None:
            self._kept = cache.shared("cpu").shelf()
        digests = [images.digest(place) for place in range(len(images))]
        # Rows of another arithmetic are other rows: neither memory nor disk gives them instead.
        arithmetic = self._in_which(images)
        other = {} if arithmetic == forms.PLAIN else {"arithmetic": arithmetic}

        def stored(places: list[int]) -> torch.Tensor:
            rows = self.context.features(
                __name__,
                {**self.what(), "scale": scale, **other},
                [digests[place] for place in places],
                lambda some: self._compute(images, [places[place] for place in some], scale),
            )
            return torch.from_numpy(rows)

        keys = [(digest, scale, arithmetic) for digest in digests]
        found: torch.Tensor = self._kept.rows(keys, stored)
        return np.asarray(found.double().numpy())

    def what(self) -> dict[str, Any]:
        """Everything that a row depends on beside the pixels, this code and its arithmetic."""
        if self._what is None:
            own = self.settings
            timm = {"stages": own.stages, "pooling": own.pooling} if own.timm else {}
            self._what = {
                **backbones.identity(own.backbone),
                "positions": own.positions,
                "cut": own.resize_mode != "none",
                **timm,
                "device": self.context.device.partition(":")[0],
                **{name: metadata.version(name) for name in LIBRARIES},
            }
        return self._what

    def _in_which(self, images: Images) -> str:
        """The arithmetic of rows from now on: what proves itself on the first images that are
        enough to prove anything; fp32 before.

        A proof is kept like a feature, so that each kind of processor decides once, and a process
        whose rows are all on disk loads no network. Machines that share the cache share the rows of
        an arithmetic, and not what proved it: other kernels may round otherwise.
        """
        from bench.methods.kit import forms

        wanted = forms.candidates(self.context, packable(self.settings))
        if self._arithmetic or not wanted or len(images) < LEAST_TO_PROVE:
            return self._arithmetic or forms.PLAIN
        (row,) = self.context.features(
            __name__,
            {**self.what(), "proof of": list(wanted), "on": _processor(self.context.device)},
            [PROOF],
            lambda _: self._prove(images, wanted)[None],
        )
        pairs = zip(wanted, row.reshape(-1, 2).tolist(), strict=True)
        proofs = {
            form: forms.Agreement(worst, 1 - lost)
            for form, (worst, lost) in pairs
            if np.isfinite(worst)
        }
        self.context.note(forms.told(proofs, forms.IMAGES))
        self._form = forms.fastest(proofs)
        self._arithmetic = self._form or forms.PLAIN
        if self._made is not None:
            self._made.forward.use(self._form)
        return self._arithmetic

    def _prove(self, images: Images, wanted: Sequence[Form]) -> Rows:
        """(2 f,) the largest difference of a score and 1 - SRCC, by form; infinite
        for a form that cannot compute them."""
        from bench.api import ArrayImages
        from bench.methods.kit import forms

        views = [_turned(images[at % len(images)], at // len(images)) for at in range(forms.IMAGES)]
        parts = [ArrayImages([view]) for view in views]
        batches = (batch for part in parts for batch in self._network().inputs(part))
        proofs = self._network().forward.prove(batches, wanted)
        worst = {form: (one.worst, 1 - one.srcc) for form, one in proofs.items()}
        return np.array([worst.get(form, (np.inf, np.inf)) for form in wanted], np.float32).ravel()

    def _network(self) -> _Clip | _Timm:
        if self._made is None:
            kind = _Clip if self.settings.timm is None else _Timm
            self._made = kind(self.settings, self.context)
            # Until it is decided, rows are float32; another form never decides by itself here.
            self._made.forward.use(self._form)
        return self._made

    def _compute(self, images: Images, places: Sequence[int], scale: float) -> Rows:
        import torch

        network = self._network()
        # Alone on a CPU, a row has the same bits whatever was in a batch beside it.
        size = 1 if self.context.device == "cpu" else self.context.batch_size
        parts = [places[start : start + size] for start in range(0, len(places), size)]
        rows = []
        with torch.no_grad():
            for part in parts:
                batches = network.inputs(_scaled(images.subset(part), scale))
                rows += [network.forward(batch).cpu().float().numpy() for batch in batches]
        return np.concatenate(rows) if rows else np.empty((0, network.width()), np.float32)


class _Clip:
    """Joint features, by `clip_features.Encoder`."""

    def __init__(self, settings: FeatureSettings, context: Context) -> None:
        from bench.methods.kit.clip_features import Encoder

        self._encoder = Encoder(settings, context)
        self.forward = self._encoder.forward

    def inputs(self, images: Images) -> Iterator[Any]:
        """The network's inputs, in batches of one shape."""
        from bench.methods.kit.views import Crop

        return self._encoder.inputs([Crop(images, row, CENTRE, None) for row in range(len(images))])

    def width(self) -> int:
        """Numbers of a row."""
        return int(self._encoder.backbone.info.embed_dim)


class _Timm:
    """Statistics of the levels of a network of timm."""

    def __init__(self, settings: FeatureSettings, context: Context) -> None:
        import torch

        from bench.methods.kit.forms import Frozen

        self.settings, self.context = settings, context
        loaded = backbones.shared(settings.backbone, context.device)
        info = loaded.info
        assert isinstance(info, backbones.TimmInfo)
        self._info, self._model = info, loaded.model
        self._mean, self._std = (
            torch.tensor(value, device=context.device)[:, None, None]
            for value in (info.mean, info.std)
        )
        self.forward = Frozen(self._pooled, context)

    def inputs(self, images: Images) -> Iterator[Any]:
        """The network's inputs, in batches of one shape. BenchError names an image that is too
        small."""
        from bench.methods.kit.batches import same_shape
        from bench.methods.kit.devices import upload

        shown = (self._cut(*pair) for pair in zip(images, images.names, strict=True))
        for _, pixels in same_shape(shown, self.context.batch_size):
            yield (upload(np.stack(pixels), self.context.device) - self._mean) / self._std

    def _pooled(self, batch: Any) -> Any:
        from bench.methods.kit import stages

        own = self.settings
        try:
            found = stages.chosen(stages.levels(self._model, batch), own.stages)
        except UsageError as error:
            raise UsageError(f"{own.backbone}: {error}") from error
        return stages.pooled(found, own.pooling)

    def width(self) -> int:
        """Numbers of a row."""
        import torch

        side = self._info.image_size
        with torch.no_grad():
            return int(
                self._pooled(torch.zeros(1, 3, side, side, device=self._mean.device)).shape[1]
            )

    def _cut(self, image: Pixels, name: str) -> Pixels:
        if self._info.fixed_size:
            return crop(image, CENTRE, self._info.image_size, name)
        if self.settings.resize_mode != "none":
            image = crop(image, CENTRE, min(image.shape[:2]))
        if min(image.shape[:2]) < SMALLEST:
            height, width = image.shape[:2]
            raise BenchError(
                f"image '{name}' of {width} x {height} is smaller than {SMALLEST} pixels"
            )
        return image


def _processor(device: str) -> str:
    """The processor: the model of a GPU, or the architecture and instruction set of a CPU."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


def _turned(image: Pixels, quarter: int) -> Pixels:
    """An image flipped in one of four ways: 16 images are 64 views."""
    across, down = (-1 if quarter % 2 else 1), (-1 if quarter // 2 % 2 else 1)
    return np.ascontiguousarray(image[::down, ::across])


def _scaled(images: Images, scale: float) -> Images:
    """All images resized by a factor, bicubic with antialiasing."""
    from PIL import Image

    from bench.api import ArrayImages

    if scale == 1:
        return images
    smaller = []
    for image in images:
        size = [max(1, round(side * scale)) for side in (image.shape[1], image.shape[0])]
        resized = Image.fromarray(image).resize((size[0], size[1]), Image.Resampling.BICUBIC)
        smaller.append(np.asarray(resized))
    return ArrayImages(smaller, images.names)
