"""pyiqa's architectures trained by this harness, on the labels that a protocol gives.

pyiqa's networks, our training: crops, optimiser and epochs are settings, the same for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from bench.api import Context
from bench.errors import nearest
from methods._regression import Regression, TrainingSettings

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
    "crops": 16,
    "test_crops": 32,
    "lr": 1e-3,
    "batch_size": 128,
    "epochs": 30,
}
"""Kang et al. (CVPR 2014) train on 32 x 32 patches under the label of their image."""

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

NOT_TRAINED: dict[str, str] = {
    "liqe": "LIQE learns from scene and distortion labels together with quality, on the towers of "
    "OpenAI's ViT-B/32; pyiqa has its scoring only, with text features that stay fixed",
    "liqe_mix": "see liqe",
    "unique": "UNIQUE learns from pairs of images of several databases; pyiqa's class always loads "
    "its finished checkpoint",
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

    @model_validator(mode="before")
    @classmethod
    def _fill_defaults(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        known = ARCHITECTURES.get(str(given.get("arch")))
        return {**known.defaults, **given} if known else given

    @model_validator(mode="after")
    def _can_be_trained(self) -> PyiqaTrainedSettings:
        if self.arch in NOT_TRAINED:
            raise ValueError(f"'{self.arch}' cannot be trained here: {NOT_TRAINED[self.arch]}")
        if self.arch not in ARCHITECTURES:
            near = nearest(self.arch, ARCHITECTURES)
            hint = f"did you mean '{near}'? " if near else ""
            raise ValueError(f"no architecture '{self.arch}': {hint}{', '.join(ARCHITECTURES)}")
        return self


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

    @property
    def whole_images(self) -> bool:
        """Whether the network crops by itself."""
        return bool(self.architecture.own_crops)

    def build(self) -> nn.Module:
        """pyiqa's network. BenchError where ImageNet weights cannot be had."""
        from methods._pyiqa_library import architecture

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


def _patches(network: Any, pixels: Tensor) -> Tensor:
    """What MUSIQ takes in training: patches of all scales with their places (B, T, d)."""
    from pyiqa.data.multiscale_trans_util import get_multiscale_patches

    found: Tensor = get_multiscale_patches((pixels - 0.5) * 2, **network.data_preprocess_opts)
    return found
