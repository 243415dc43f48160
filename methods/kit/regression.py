"""A network trained to regress quality: crops, optimiser and epochs as settings, seeded throughout.

Shared by methods that bring a network of their own; the network takes (B, 3, H, W) in 0–1.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from bench.api import (
    BenchError,
    Context,
    Epoch,
    ImagePolicy,
    Images,
    LabelledSet,
    Method,
    Pixels,
    Scores,
)
from bench.api import Settings as BaseSettings
from methods.kit.batches import same_shape
from methods.kit.seeding import seeded
from methods.kit.views import CENTRE, View, crop, draw, test_views

if TYPE_CHECKING:
    from torch import Tensor, nn


class TrainingSettings(BaseSettings):
    """What an image becomes and how a network is trained on it."""

    initial: Literal["scratch", "imagenet"] = "scratch"
    """Random weights, or an ImageNet backbone (fetched where it is not here yet)."""
    weights: Path | None = None
    """A file of tensors to start from; those that fit are taken."""
    resize_mode: Literal["none", "short_side", "squash"] = "none"
    """How a file becomes the image that is cropped."""
    resize: int | None = Field(default=None, ge=1)
    """Pixels of that size."""
    crop: int = Field(default=224, ge=8)
    """Side of the square crops in training."""
    crops: int = Field(default=1, ge=1)
    """Random crops of an image in one epoch."""
    test_crops: int = Field(default=1, ge=1)
    """Crops a prediction averages: the centre, or fixed others."""
    flip: bool = True
    """Mirror half of the training crops."""
    epochs: int = Field(default=10, ge=1)
    """Passes over the training images."""
    batch_size: int = Field(default=16, ge=1)
    """Crops a step."""
    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    """Optimiser."""
    lr: float = Field(default=1e-4, gt=0)
    """Learning rate."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of SGD."""
    weight_decay: float = Field(default=5e-4, ge=0)
    """Of the optimiser."""
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    """Rate over epochs; 'step': times `decay` a few times."""
    decay: float = Field(default=0.1, gt=0, lt=1)
    """Factor of a step."""
    decay_epochs: int = Field(default=3, ge=1)
    """Epochs between steps."""
    warmup_epochs: int = Field(default=0, ge=0)
    """First epochs, at a rising rate."""
    loss: Literal["l1", "smooth_l1", "mse"] = "l1"
    """To the label."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of forward passes; bf16 is what GPUs are quick at. A network of pyiqa then gives
    scores of eight bits, of which some tie."""

    @model_validator(mode="after")
    def _size_fits_mode(self) -> Self:
        if (self.resize_mode == "none") != (self.resize is None):
            raise ValueError("resize goes with resize_mode short_side or squash, and they with it")
        if self.resize is not None and self.resize < self.crop:
            raise ValueError(f"resize={self.resize} is smaller than crop={self.crop}")
        return self


class Regression(Method):
    """A network and its training; subclasses build the network."""

    Settings: ClassVar[type[TrainingSettings]] = TrainingSettings
    settings: TrainingSettings

    def __init__(self, settings: TrainingSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._network: nn.Module | None = None

    @abstractmethod
    def build(self) -> nn.Module:
        """The untrained network. Global generators are seeded around the call."""

    @property
    def whole_images(self) -> bool:
        """Whether the network is asked for whole images instead of crops."""
        return False

    @property
    def scratch(self) -> bool:
        """Whether training starts from random weights, which a record says."""
        return self.settings.initial == "scratch"

    @property
    def policy(self) -> ImagePolicy:
        """As the settings say."""
        return ImagePolicy(self.settings.resize_mode, self.settings.resize)

    @property
    def network(self) -> nn.Module:
        """The network, built at first use."""
        from methods.kit.checkpoints import start_from
        from methods.kit.devices import placed

        if self._network is None:
            device = self.context.device
            with seeded(self.context.seed_for("network"), device):
                built = self.build()
            if self.settings.weights is not None:
                self.notes.append(start_from(built, self.settings.weights))
            elif self.scratch:
                self.notes.append("no pretrained weights: trained from scratch")
            self._network = placed(built, device).eval()
        return self._network

    @property
    def margin(self) -> int:
        """Pixels on each side of a crop that `prepared` uses up."""
        return 0

    def prepared(self, pixels: Tensor) -> Tensor:
        """What the network is shown: (B, 3, S, S) of crops with their margin, in 0–1."""
        return pixels

    def loss(self, network: nn.Module, pixels: Tensor, labels: Tensor) -> Tensor:
        """Training loss of prepared crops against labels (B,)."""
        return self.distance(network(pixels).reshape(-1), labels)

    def distance(self, found: Tensor, labels: Tensor) -> Tensor:
        """The setting `loss`, of (B,) and (B,); of answers in bf16 too it is float32."""
        import torch.nn.functional as F

        kinds = {"l1": F.l1_loss, "smooth_l1": F.smooth_l1_loss, "mse": F.mse_loss}
        return kinds[self.settings.loss](found.float(), labels)

    def fit(self, train: LabelledSet) -> Generator[Epoch, float | None, None]:
        """Train all parameters that the network leaves trainable."""
        import torch

        own, network, device = self.settings, self.network, self.context.device
        labels = torch.tensor(np.asarray(train.scores), dtype=torch.float32, device=device)
        optimiser = self._optimiser(network)
        for epoch in range(own.epochs):
            optimiser.param_groups[0]["lr"] = own.lr * self._share(epoch)
            total = 0.0
            batches = self._batches(len(train), epoch)
            for number, batch in enumerate(batches):
                names = train.images.names
                cuts = [self._crop(train.images[i], view, names[i]) for i, view in batch]
                wanted = labels[[i for i, _ in batch]]
                with seeded(self.context.seed_for("step", epoch, number), device):
                    loss = self._step(network, optimiser, self._pixels(cuts), wanted)
                total += loss * len(batch)
            network.eval()
            yield Epoch(total / sum(map(len, batches)), total=own.epochs)

    def _step(self, network: nn.Module, optimiser: Any, crops: Tensor, wanted: Tensor) -> float:
        """Train on a batch; its loss."""
        from methods.kit.devices import autocast

        network.train()
        pixels = self.prepared(crops)
        with autocast(self.context.device, self.settings.precision):
            loss = self.loss(network, pixels, wanted)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return loss.item()

    def predict(self, images: Images) -> Scores:
        """The network's answer on the training labels' scale, averaged over crops, (n,)."""
        network = self.network.eval()
        views = [CENTRE] if self.whole_images else test_views(self.settings.test_crops)
        scores = np.zeros(len(images))
        for view in views:
            size = 1 if self.whole_images else self.context.batch_size
            shown = (
                image if self.whole_images else self._crop(image, view, name)
                for image, name in zip(images, images.names, strict=True)
            )
            for places, pixels in same_shape(shown, size):
                scores[places] += self._answer(network, pixels) / len(views)
        return scores

    def save(self, path: Path) -> None:
        """Write the network."""
        from methods.kit import checkpoints

        checkpoints.write(path, self.network.state_dict())

    def load(self, path: Path) -> None:
        """Read what `save` wrote. BenchError where it does not fit."""
        from methods.kit import checkpoints

        checkpoints.put(self.network, checkpoints.read(path).tensors, f"'{path}'")

    def _answer(self, network: nn.Module, pixels: Sequence[Pixels]) -> npt.NDArray[np.float64]:
        import torch

        from methods.kit.devices import autocast

        device = self.context.device
        arithmetic = autocast(device, self.settings.precision)
        with torch.no_grad(), seeded(self.context.seed_for("predict"), device), arithmetic:
            found = network(self.prepared(self._pixels(pixels))).reshape(-1)
        return np.asarray(found.double().cpu().numpy())

    def _pixels(self, crops: Sequence[Pixels]) -> Tensor:
        from methods.kit.devices import upload

        return upload(np.stack(crops), self.context.device)

    def _crop(self, image: Pixels, view: View, name: str | None = None) -> Pixels:
        try:
            return crop(image, view, self.settings.crop + 2 * self.margin, name)
        except BenchError as error:
            raise BenchError(
                f"{self.name}: {error}; set a smaller crop, or resize_mode and resize"
            ) from None

    def _batches(self, count: int, epoch: int) -> list[list[tuple[int, View]]]:
        """Every image `crops` times in random order, each time with a crop of its own."""
        rng = self.context.rng("epoch", epoch)
        order = rng.permutation(np.repeat(np.arange(count), self.settings.crops)).tolist()
        shown = [(i, self._view(rng)) for i in order]
        size = self.settings.batch_size
        batches = [shown[start : start + size] for start in range(0, len(shown), size)]
        if len(batches) > 1 and len(batches[-1]) == 1:  # a batch norm cannot train on one crop
            batches[-2:] = [batches[-2] + batches[-1]]
        return batches

    def _view(self, rng: np.random.Generator) -> View:
        view = draw(rng)
        return view if self.settings.flip else view._replace(flip=False)

    def _share(self, epoch: int) -> float:
        own = self.settings
        if epoch < own.warmup_epochs:
            return (epoch + 1) / (own.warmup_epochs + 1)
        if own.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * epoch / own.epochs))
        return own.decay ** (epoch // own.decay_epochs) if own.schedule == "step" else 1.0

    def _optimiser(self, network: nn.Module) -> Any:
        import torch

        own = self.settings
        trained = [p for p in network.parameters() if p.requires_grad]
        if own.optimiser == "sgd":
            return torch.optim.SGD(
                trained, own.lr, momentum=own.momentum, weight_decay=own.weight_decay
            )
        kind = torch.optim.Adam if own.optimiser == "adam" else torch.optim.AdamW
        return kind(trained, own.lr, weight_decay=own.weight_decay)
