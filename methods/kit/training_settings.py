"""Settings of a network that is trained to regress quality (`bench.methods.kit.regression`)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from bench.api import Settings


class TrainingSettings(Settings):
    """The processing of images and the training of a network on them."""

    initial: Literal["scratch", "imagenet"] = "scratch"
    """Random weights, or an ImageNet backbone (downloaded if missing)."""
    weights: Path | None = None
    """A file of tensors to start from; those that fit are taken."""
    resize_mode: Literal["none", "short_side", "squash"] = "none"
    """How a file becomes the image that is cropped."""
    resize: int | tuple[int, int] | None = None
    """Pixels of that size; a pair is width and height, for 'squash'."""
    resize_kernel: Literal["pillow", "pillow_bilinear", "cv2", "skimage"] = "pillow"
    """The resizing kernel (`ImagePolicy`)."""
    crop: int = Field(default=224, ge=8)
    """Side of the square crops in training."""
    crops: int = Field(default=1, ge=1)
    """Random crops of an image in one epoch."""
    test_crops: int = Field(default=1, ge=1)
    """Crops a prediction averages: the centre, or fixed others, none of them mirrored."""
    flip: bool = True
    """Mirror half of the training crops."""
    epochs: int = Field(default=10, ge=1)
    """Passes over the training images."""
    steps: int | None = Field(default=None, ge=1)
    """Updates, in place of `epochs`: as many whole passes as come nearest."""
    batch_size: int = Field(default=16, ge=1)
    """Crops a step."""
    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    """Optimiser."""
    lr: float = Field(default=1e-4, gt=0)
    """Learning rate."""
    head_lr: float | None = Field(default=None, gt=0)
    """Learning rate of what is not the backbone, on the same schedule; None: `lr`."""
    first_steps: int = Field(default=0, ge=0)
    """Updates before all of that in which only what is not the backbone learns, by SGD."""
    first_lr: float = Field(default=1e-3, gt=0)
    """Learning rate of those."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of SGD."""
    weight_decay: float = Field(default=5e-4, ge=0)
    """Of the optimiser."""
    undecayed: tuple[str, ...] | None = None
    """Parameters without weight decay, by the last part of their names, beside biases and norms;
    None: all decay alike."""
    clip: float | None = Field(default=None, gt=0)
    """Largest norm of the whole gradient; None: any."""
    schedule: Literal["cosine", "step", "constant", "waves"] = "cosine"
    """Rate over epochs, counted from the end of the warm-up; 'step': times `decay` a few times;
    'waves': down a cosine and up again."""
    wave_steps: int = Field(default=50, ge=1)
    """Updates from the top of a wave to its bottom."""
    rate_per: Literal["epoch", "step"] = "epoch"
    """How often the rate is set."""
    decay: float = Field(default=0.1, gt=0, lt=1)
    """Factor of a step."""
    decay_epochs: int = Field(default=3, ge=1)
    """Epochs between steps."""
    warmup_epochs: int = Field(default=0, ge=0)
    """First epochs, in which the rate rises to `lr`."""
    warmup_share: float = Field(default=0.0, ge=0, le=1)
    """Share of `lr` at which it begins to rise."""
    loss: Literal["l1", "smooth_l1", "mse", "plcc"] = "l1"
    """To the label; 'plcc' compares the batch's scores with its labels by their correlation."""
    batch_loss: Literal["none", "plcc", "nin", "rank"] = "none"
    """Added to it: the correlation, the norm-in-norm loss (Li et al., ACM MM 2020), or what pairs
    of images lack of their labels' difference."""
    label_scale: float = Field(default=1.0, gt=0)
    """Labels are multiplied by it for training, and predictions divided."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of forward passes; bf16 is what GPUs are quick at. A network of pyiqa then gives
    scores of eight bits, of which some tie."""

    @model_validator(mode="after")
    def _size_fits_mode(self) -> Self:
        if (self.resize_mode == "none") != (self.resize is None):
            raise ValueError("resize goes with resize_mode short_side or squash, and they with it")
        if isinstance(self.resize, tuple) and self.resize_mode != "squash":
            raise ValueError("resize as width and height goes with resize_mode squash")
        least = min(self.resize) if isinstance(self.resize, tuple) else self.resize
        if least is not None and least < self.crop:
            raise ValueError(f"resize={least} is smaller than crop={self.crop}")
        return self
