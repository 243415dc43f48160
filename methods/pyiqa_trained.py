"""pyiqa's architectures trained by this harness, on the labels that a protocol gives.

pyiqa's networks, our training: crops, optimiser and epochs are settings, the same for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from bench.api import Context, nearest
from methods.kit.regression import Regression, TrainingSettings

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Architecture:
    """How one of pyiqa's networks is built and fed."""

    kind: str
    """pyiqa's class."""
    options: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Training settings that differ from the common ones; given ones win."""
    own_crops: str = ""
    """The option that counts the crops it takes of a whole image by itself when it is asked."""


PATCHES: Mapping[str, Any] = {
    "crop": 32,
    "crops": 8,
    "test_crops": 32,
    "local_contrast": True,
    "lr": 1e-3,
    "weight_decay": 0.0,
    "batch_size": 64,
    "epochs": 30,
}
"""Kang et al. (CVPR 2014, section 3): 32 x 32 patches of a locally normalised image under the label
of their image, L1 loss, an image's score the mean over patches. Theirs is grey, with all patches of
an image and SGD; here colour (pyiqa's first layer), random patches and Adam."""

LOCAL_REACH = 3
"""Pixels to each side of a window of local contrast; P = Q = 3 in Kang et al."""

ARCHITECTURES: dict[str, Architecture] = {
    "cnniqa": Architecture("CNNIQA", {"pretrained": None}, PATCHES),
    "dbcnn": Architecture("DBCNN", {"pretrained": False, "fc": False}),
    "hyperiqa": Architecture("HyperNet", {"pretrained": False}, own_crops="num_crop"),
    "maniqa": Architecture("MANIQA", {"pretrained": False, "scale": 0.8}, own_crops="test_sample"),
    "metaiqa": Architecture("MetaIQA", {"pretrained": False}),
    "musiq": Architecture(
        "MUSIQ", {"pretrained": False}, {"crop": 384, "resize_mode": "short_side", "resize": 384}
    ),
    "nima": Architecture(
        "NIMA", {"pretrained": False, "num_classes": 1, "base_model_name": "inception_resnet_v2"}
    ),
    "nima-vgg16": Architecture(
        "NIMA", {"pretrained": False, "num_classes": 1, "base_model_name": "vgg16"}
    ),
    "paq2piq": Architecture("PAQ2PIQ", {"pretrained": False}),
    "topiq_nr": Architecture(
        "CFANet", {"pretrained": False, "use_ref": False, "semantic_model_name": "resnet50"}
    ),
    "tres": Architecture("TReS", {"pretrained": False}, own_crops="test_sample"),
    "wadiqam_nr": Architecture(
        "WaDIQaM", {"pretrained": False, "metric_type": "NR", "model_name": "wadiqam_nr_koniq"}
    ),
}

_FEW: Mapping[str, Any] = {"batch_size": 4, "test_crops": 1, "loss": "mse"}
_PLAIN: Mapping[str, Any] = {**_FEW, "epochs": 6, "lr": 1e-3, "crop": 96}
# Running means of batch norms take some twenty steps to be near what they follow.
_NORMED: Mapping[str, Any] = {**_PLAIN, "crop": 64, "epochs": 20}
_LARGE: Mapping[str, Any] = {**_PLAIN, "crop": 224, "resize_mode": "short_side", "resize": 224}
SMALL: Mapping[str, Mapping[str, Any]] = {
    "cnniqa": {
        **_FEW,
        "lr": 1e-3,
        "epochs": 14,
        "crop": 32,
        "crops": 6,
        "test_crops": 2,
        "batch_size": 8,
    },
    "metaiqa": _NORMED,
    "nima": {**_PLAIN, "epochs": 16},
    "nima-vgg16": {**_PLAIN, "crop": 64, "epochs": 8, "lr": 1e-4},
    "paq2piq": _NORMED,
    "topiq_nr": _NORMED,
    "hyperiqa": {**_LARGE, "epochs": 12},
    "maniqa": {**_LARGE, "epochs": 2, "lr": 1e-4},
    "tres": _LARGE,
    "musiq": {**_LARGE, "crop": 96, "resize": 96, "epochs": 4, "lr": 1e-4},
}
"""What makes a fit on eight small images short, where it is not `_PLAIN`."""

NOT_TRAINED: dict[str, str] = {
    "liqe": "LIQE learns from scene and distortion labels together with quality, on the towers of "
    "OpenAI's ViT-B/32; pyiqa has its scoring only, with text features that stay fixed",
    "liqe_mix": "see liqe",
    "unique": "UNIQUE learns from pairs of images of several databases; pyiqa's class always loads "
    "its finished checkpoint",
    "afine_nr": "A-FINE's part without reference stands on the towers of a fine-tuned CLIP "
    "ViT-B/32 that only its authors' weights hold",
    "fgresq": "FGResQ learns from pairs of images, on two CLIP towers that only its authors' "
    "weights hold",
    "entropy": "it does not learn",
    "qrealign": "it is a multimodal language model",
    "topiq_iaa": "it learns distributions of aesthetic ratings; TOPIQ for quality is 'topiq_nr'",
    "arniqa": "ARNIQA is a ridge regression on a self-supervised encoder that only its authors' "
    "weights hold; pyiqa's class always loads them",
    "clipiqa": "it does not train; its learned contexts are the method 'clipiqa_plus'",
    "clipiqa+": "its learned contexts are the method 'clipiqa_plus'",
    "qualiclip": "it is trained on degraded images without labels",
    "maclip": "it does not train",
    "qalign": "it is a multimodal language model of 8 billion parameters",
    "compare2score": "it is a multimodal language model that learns from comparisons",
    "uranker": "URanker learns from rankings of underwater images, not from scores",
    "laion_aes": "it is a linear layer on CLIP ViT-L/14; the method 'linear_probe' is that on ours",
    "brisque": "pyiqa has its finished SVR only",
    "nrqm": "pyiqa has its finished forests only",
    "niqe": "it does not learn from labels",
    "ilniqe": "it does not learn from labels",
    "piqe": "it does not learn",
    "pi": "it does not learn from labels",
}


class PyiqaTrainedSettings(TrainingSettings):
    """Which architecture; training settings take that architecture's defaults."""

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
        return {**known.defaults, **given} if known else given

    @model_validator(mode="after")
    def _can_be_trained(self) -> PyiqaTrainedSettings:
        if self.arch in ARCHITECTURES:
            return self
        if reason := why_not(self.arch):
            raise ValueError(f"'{self.arch}' cannot be trained here: {reason}")
        near = nearest(self.arch, ARCHITECTURES)
        hint = f"did you mean '{near}'? " if near else ""
        raise ValueError(f"no architecture '{self.arch}': {hint}{', '.join(ARCHITECTURES)}")


def why_not(metric: str) -> str:
    """Why a metric of pyiqa is no architecture here; empty for one that is, or is unknown.

    pyiqa names other weights of one network `NAME-DATABASE`, `NAME_VARIANT` or `NAME+`.
    """
    known = [*ARCHITECTURES, *NOT_TRAINED]
    stems = [stem for stem in known if metric.startswith(stem) and metric[len(stem) :][:1] in "-_+"]
    if metric in ARCHITECTURES or not stems:
        return ""
    stem = max(stems, key=len)
    if stem in NOT_TRAINED:
        return NOT_TRAINED[stem]
    return f"it is pyiqa's {stem} with weights of its own; train '{stem}'"


class PyiqaTrained(Regression):
    """An architecture of pyiqa trained on the protocol's labels (`pyiqa_trained:hyperiqa`, ...).

    Asked for a score, networks that take crops of a whole image by themselves get whole images,
    the others centre or fixed random crops whose scores are averaged.
    """

    name = "pyiqa_trained"
    argument = "arch"
    Settings: ClassVar[type[PyiqaTrainedSettings]] = PyiqaTrainedSettings
    settings: PyiqaTrainedSettings

    def __init__(self, settings: PyiqaTrainedSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.architecture = ARCHITECTURES[settings.arch]

    @classmethod
    def small(cls, argument: str | None) -> dict[str, Any]:
        """Few steps on small crops; networks that take 224 pixels take seconds an image."""
        return dict(SMALL.get(argument or "", _PLAIN))

    @property
    def whole_images(self) -> bool:
        """Whether the network crops by itself."""
        return bool(self.architecture.own_crops)

    @property
    def margin(self) -> int:
        """The pixels around a crop that local contrast looks at."""
        return LOCAL_REACH if self.settings.local_contrast else 0

    def build(self) -> nn.Module:
        """pyiqa's network. BenchError where ImageNet weights cannot be had."""
        from bench.pyiqa_library import architecture

        options = dict(self.architecture.options)
        if self.architecture.own_crops:
            options[self.architecture.own_crops] = self.settings.test_crops
        imagenet = self.settings.initial == "imagenet"
        network: nn.Module = architecture(self.architecture.kind, imagenet, **options)
        return network

    def loss(self, network: nn.Module, pixels: Tensor, labels: Tensor) -> Tensor:
        """The setting's loss; TReS adds its consistency under mirroring."""
        if self.architecture.kind == "MUSIQ":
            pixels = _patches(network, pixels)
        found = network(pixels)
        if isinstance(found, tuple):
            score, consistency = found
            return self.distance(score.reshape(-1), labels) + consistency
        return self.distance(found.reshape(-1), labels)

    def prepared(self, pixels: Tensor) -> Tensor:
        """Local contrast where the setting asks for it."""
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
    """What MUSIQ takes in training: patches of all scales with their places (B, T, d)."""
    from pyiqa.data.multiscale_trans_util import get_multiscale_patches

    found: Tensor = get_multiscale_patches((pixels - 0.5) * 2, **network.data_preprocess_opts)
    return found
