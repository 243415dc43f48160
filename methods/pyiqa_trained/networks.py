"""pyiqa's trainable networks: their construction, input, training and sources.

Recipes state the source's values and the differences here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

IMAGENET = "ImageNet weights"


@dataclass(frozen=True)
class Architecture:
    """Construction, input and training of one of pyiqa's networks."""

    kind: str
    """pyiqa's class."""
    options: Mapping[str, Any] = field(default_factory=dict)
    published: Mapping[str, Any] = field(default_factory=dict)
    """Its training as published, in our settings; given ones win."""
    source: str = ""
    """The source of the recipe; '' for the common one."""
    own_crops: str = ""
    """The option that counts the crops it takes of a whole image by itself when it is asked."""
    whole: bool = False
    """Whether it predicts from whole, unchanged images, as in its published tests."""
    starts_from: str = IMAGENET
    """Its authors' starting weights; '' for random ones."""
    backbone: tuple[str, ...] = ()
    """Prefixes of its backbone's parameters, for parts that learn at another rate or later."""


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

HALVES: Mapping[str, Any] = {"resize_mode": "short_side", "resize": 384, "crop": 384}
"""KonIQ-10k at 512 x 384, as pyiqa trains on it."""

BILINEAR: Mapping[str, Any] = {
    **HALVES,
    "batch_size": 8,
    "first_steps": 10_000,
    "first_lr": 1e-3,
    "steps": 10_000,
    "lr": 1e-5,
    "weight_decay": 5e-4,
    "schedule": "constant",
    "loss": "mse",
}
"""DBCNN by pyiqa on KonIQ-10k: the last layer by SGD (momentum 0.9), then all of it by Adam. On
LIVEC it has crops of 448 and twice 6,000 steps. pyiqa begins the second part with the first one's
best state on its validation images, here it is the last."""

HYPER: Mapping[str, Any] = {
    "crops": 25,
    "test_crops": 25,
    "batch_size": 96,
    "epochs": 16,
    "lr": 2e-5,
    "head_lr": 2e-4,
    "weight_decay": 5e-4,
    "schedule": "step",
    "decay_epochs": 6,
    "loss": "l1",
    "label_scale": 100.0,
}
"""HyperIQA's released code (SSL92/hyperIQA): 25 random patches of 224, L1 on the databases' own
scales. There the backbone's rate stays, a new Adam begins with every epoch, and from the second
epoch on no part of the hyper network learns any more (an iterator that is used up); here both rates
fall, and all of it learns to the end."""

TOPIQ: Mapping[str, Any] = {
    **HALVES,
    "batch_size": 16,
    "optimiser": "adamw",
    "lr": 3e-5,
    "weight_decay": 1e-5,
    "epochs": 50,
    "loss": "mse",
    "batch_loss": "nin",
}
"""TOPIQ by pyiqa on KonIQ-10k: a cosine over 50 epochs, of which its limit of steps leaves 45."""

WADIQAM: Mapping[str, Any] = {
    **HALVES,
    "batch_size": 64,
    "lr": 1e-4,
    "weight_decay": 0.0,
    "steps": 40_000,
    "schedule": "constant",
    "loss": "plcc",
}
"""WaDIQaM-NR by pyiqa on KonIQ-10k: 32 patches that the network takes by itself, here of a square
crop."""

NIMA: Mapping[str, Any] = {
    "resize_mode": "squash",
    "resize": 330,
    "resize_kernel": "pillow_bilinear",
    "crop": 299,
    "batch_size": 64,
    "lr": 5e-5,
    "head_lr": 5e-4,
    "weight_decay": 0.0,
    "steps": 10_000,
    "schedule": "constant",
    "loss": "l1",
}
"""NIMA by pyiqa on KonIQ-10k, scores in place of distributions: crops of 299 out of 330 x 330;
asked, the network shrinks the whole image to its 299."""

META: Mapping[str, Any] = {
    "batch_size": 50,
    "lr": 1e-4,
    "head_lr": 1e-2,
    "weight_decay": 0.0,
    "steps": 1_900,
    "schedule": "step",
    "decay": 0.8,
    "decay_epochs": 10,
    "loss": "mse",
}
"""MetaIQA's fine-tuning by pyiqa on LIVEC: the rate times 0.8 every 190 steps, ten epochs there."""

MANIQA: Mapping[str, Any] = {
    "batch_size": 8,
    "test_crops": 5,
    "epochs": 300,
    "lr": 1e-5,
    "weight_decay": 1e-5,
    "schedule": "waves",
    "wave_steps": 50,
    "rate_per": "step",
    "loss": "mse",
}
"""IIGROUP/MANIQA: the rate goes down a cosine and up again every 50 steps, for 300 epochs, of which
its authors take the best on validation images; five crops a test image."""

TRES: Mapping[str, Any] = {
    "crops": 50,
    "test_crops": 50,
    "batch_size": 53,
    "epochs": 3,
    "lr": 2e-5,
    "weight_decay": 5e-4,
    "schedule": "step",
    "decay_epochs": 1,
    "loss": "l1",
    "label_scale": 100.0,
}
"""isalirezag/TReS: three epochs, each at a tenth of the rate of the one before, with its relative
ranking and the same for the mirrored crops (`losses.py`). Its Adam begins anew with every epoch."""

_VGG: Mapping[str, Any] = {**NIMA, "resize": 256, "crop": 224}

ARCHITECTURES: dict[str, Architecture] = {
    "cnniqa": Architecture(
        "CNNIQA",
        {"pretrained": None},
        PATCHES,
        "Kang et al., CVPR 2014",
        starts_from="",
    ),
    "dbcnn": Architecture(
        "DBCNN",
        {"pretrained": False, "fc": False},
        BILINEAR,
        "pyiqa, train_DBCNN_koniq10k.yml",
        whole=True,
        starts_from="ImageNet weights and its authors' network of synthetic distortions",
        backbone=("features1.", "features2."),
    ),
    "hyperiqa": Architecture(
        "HyperNet",
        {"pretrained": False},
        HYPER,
        "SSL92/hyperIQA",
        own_crops="num_crop",
        backbone=("base_model.",),
    ),
    "maniqa": Architecture(
        "MANIQA",
        {"pretrained": False, "scale": 0.8},
        MANIQA,
        "IIGROUP/MANIQA",
        own_crops="test_sample",
    ),
    "metaiqa": Architecture(
        "MetaIQA",
        {"pretrained": False},
        META,
        "pyiqa, train_MetaIQA_finetune.yml",
        starts_from="its authors' meta-learned weights",
        backbone=("resnet_layer.",),
    ),
    "musiq": Architecture("MUSIQ", {"pretrained": False}, {**HALVES}),
    "nima": Architecture(
        "NIMA",
        {"pretrained": False, "num_classes": 1, "base_model_name": "inception_resnet_v2"},
        NIMA,
        "pyiqa, train_NIMA_inception_koniq.yml",
        whole=True,
        backbone=("base_model.",),
    ),
    "nima-vgg16": Architecture(
        "NIMA",
        {"pretrained": False, "num_classes": 1, "base_model_name": "vgg16"},
        _VGG,
        whole=True,
        backbone=("base_model.",),
    ),
    "paq2piq": Architecture("PAQ2PIQ", {"pretrained": False}, whole=True),
    "topiq_nr": Architecture(
        "CFANet",
        {"pretrained": False, "use_ref": False, "semantic_model_name": "resnet50"},
        TOPIQ,
        "pyiqa, train_TOPIQ_res50_koniq.yml",
        whole=True,
    ),
    "tres": Architecture(
        "TReS", {"pretrained": False}, TRES, "isalirezag/TReS", own_crops="test_sample"
    ),
    "wadiqam_nr": Architecture(
        "WaDIQaM",
        {"pretrained": False, "metric_type": "NR", "model_name": "wadiqam_nr_koniq"},
        WADIQAM,
        "pyiqa, train_WaDIQaM_NR_koniq.yml",
        whole=True,
        starts_from="its features learned on KADID-10k with references",
    ),
}

_FEW: Mapping[str, Any] = {
    "initial": "scratch",
    "resize_mode": "none",
    "resize": None,
    "crops": 1,
    "test_crops": 1,
    "steps": None,
    "first_steps": 0,
    "head_lr": None,
    "batch_size": 4,
    "optimiser": "adam",
    "schedule": "cosine",
    "loss": "mse",
    "batch_loss": "none",
    "label_scale": 1.0,
}
PLAIN: Mapping[str, Any] = {**_FEW, "epochs": 6, "lr": 1e-3, "crop": 96}
# Running means of batch norms take some twenty steps to be near what they follow.
_NORMED: Mapping[str, Any] = {**PLAIN, "crop": 64, "epochs": 20}
_LARGE: Mapping[str, Any] = {**PLAIN, "crop": 224, "resize_mode": "short_side", "resize": 224}
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
    "nima": {**PLAIN, "resize_mode": "squash", "resize": 299, "crop": 299, "epochs": 16},
    "nima-vgg16": {**_LARGE, "epochs": 8, "lr": 1e-4},
    "paq2piq": {**_NORMED, "crop": 96, "epochs": 40},
    "topiq_nr": _NORMED,
    "hyperiqa": {**_LARGE, "epochs": 12},
    "maniqa": {**_LARGE, "epochs": 2, "lr": 1e-4},
    "tres": _LARGE,
    "musiq": {**_LARGE, "crop": 96, "resize": 96, "epochs": 4, "lr": 1e-4},
}
"""Settings for a short fit on eight small images, if not `PLAIN`; no published training."""
