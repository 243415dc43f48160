"""The method `pyiqa_trained`: a network of pyiqa under the harness's contract."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from bench.api import Context, nearest
from bench.methods.kit.regression import Regression
from bench.methods.kit.training_settings import TrainingSettings
from bench.methods.pyiqa_trained.networks import ARCHITECTURES, IMAGENET, PLAIN, SMALL
from bench.methods.pyiqa_trained.refused import why_not

if TYPE_CHECKING:
    from torch import Tensor, nn

LOCAL_REACH = 3
"""Pixels to each side of a window of local contrast; P = Q = 3 in Kang et al."""


class PyiqaTrainedSettings(TrainingSettings):
    """The architecture; training settings are its published ones, if any."""

    arch: str = Field(description="One of " + ", ".join(ARCHITECTURES) + ".")
    local_contrast: bool = False
    """Each pixel less the mean of its 7 x 7 neighbours, over their spread, by channel (Kang et al.,
    Eq. 1). Crops are cut with 3 pixels around them for it."""

    @model_validator(mode="before")
    @classmethod
    def _fill_defaults(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        known = ARCHITECTURES.get(str(given.get("arch")))
        if known is None:
            return given
        initial = "imagenet" if IMAGENET in known.starts_from else "scratch"
        return {"initial": initial, **known.published, **given}

    @model_validator(mode="after")
    def _can_be_trained(self) -> PyiqaTrainedSettings:
        if self.arch in ARCHITECTURES:
            return self
        if reason := why_not(self.arch):
            raise ValueError(f"'{self.arch}' cannot be trained here: {reason}")
        near = nearest(self.arch, ARCHITECTURES)
        hint = f"did you mean '{near}'? " if near else ""
        raise ValueError(f"no architecture '{self.arch}': {hint}{', '.join(ARCHITECTURES)}")


class PyiqaTrained(Regression):
    """An architecture of pyiqa trained on the protocol's labels (`pyiqa_trained:hyperiqa`, ...).

    For a prediction, networks that crop by themselves, or whose authors test on whole images, get
    whole images. The others get the centre crop, or fixed random crops whose scores are averaged.
    """

    name = "pyiqa_trained"
    argument = "arch"
    Settings: ClassVar[type[PyiqaTrainedSettings]] = PyiqaTrainedSettings
    settings: PyiqaTrainedSettings

    def __init__(self, settings: PyiqaTrainedSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.architecture = ARCHITECTURES[settings.arch]
        if not self.architecture.source:
            self.note_at_table("under a common recipe, not its published training")

    @classmethod
    def small(cls, argument: str | None) -> dict[str, Any]:
        """Few steps on small crops; networks that take 224 pixels take seconds an image."""
        return dict(SMALL.get(argument or "", PLAIN))

    @property
    def whole_images(self) -> bool:
        """Whether the network crops by itself, or predicts from whole images as published."""
        return bool(self.architecture.own_crops) or self.architecture.whole

    @property
    def starts_from(self) -> str:
        """The starting weights of the architecture's published training."""
        return self.architecture.starts_from

    def in_backbone(self, parameter: str) -> bool:
        """By the architecture's own names."""
        return parameter.startswith(self.architecture.backbone)

    @property
    def margin(self) -> int:
        """The pixels around a crop that local contrast looks at."""
        return LOCAL_REACH if self.settings.local_contrast else 0

    def downloads(self) -> tuple[str, ...]:
        """The backbone's ImageNet weights, if training starts from them."""
        if self.settings.initial != "imagenet":
            return ()
        return (f"pyiqa_network:{self.architecture.kind} {json.dumps(self._options)}",)

    def build(self) -> nn.Module:
        """pyiqa's network. BenchError if ImageNet weights are not available."""
        from bench.pyiqa_library import architecture

        imagenet = self.settings.initial == "imagenet"
        network: nn.Module = architecture(self.architecture.kind, imagenet, **self._options)
        return network

    @property
    def _options(self) -> dict[str, Any]:
        options = dict(self.architecture.options)
        if self.architecture.own_crops:
            options[self.architecture.own_crops] = self.settings.test_crops
        return options

    def loss(self, network: nn.Module, pixels: Tensor, labels: Tensor) -> Tensor:
        """The settings' loss; TReS has a special one."""
        if self.architecture.kind == "TReS":
            from bench.methods.pyiqa_trained.losses import tres

            return tres(network, pixels, labels, self.distance)
        return super().loss(network, pixels, labels)

    def answers(self, network: nn.Module, pixels: Tensor) -> Tensor:
        """Scores (B,); MUSIQ takes patches in training."""
        if self.architecture.kind == "MUSIQ":
            pixels = _patches(network, pixels)
        return super().answers(network, pixels)

    def prepared(self, pixels: Tensor) -> Tensor:
        """Local contrast, if set."""
        return local_contrast(pixels) if self.settings.local_contrast else pixels


def local_contrast(pixels: Tensor) -> Tensor:
    """Kang et al., Eq. 1-3, of (B, 3, H, W) in 0–1: (B, 3, H - 6, W - 6), around zero.

    Their constant 1, which keeps flat regions flat, is one grey level of 255.
    """
    import torch.nn.functional as F

    window, inside = 2 * LOCAL_REACH + 1, slice(LOCAL_REACH, -LOCAL_REACH)
    mean = F.avg_pool2d(pixels, window, stride=1)
    variance = F.avg_pool2d(pixels.square(), window, stride=1) - mean.square()
    return (pixels[:, :, inside, inside] - mean) / (variance.clamp(min=0).sqrt() + 1 / 255)


def _patches(network: Any, pixels: Tensor) -> Tensor:
    """MUSIQ's input in training: patches of all scales with their places (B, T, d)."""
    from pyiqa.data.multiscale_trans_util import get_multiscale_patches

    found: Tensor = get_multiscale_patches((pixels - 0.5) * 2, **network.data_preprocess_opts)
    return found
