"""A network trained to regress quality: crops, optimiser and epochs as settings, seeded throughout.

Shared by methods with their own network; the network takes (B, 3, H, W) in 0–1.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

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
from bench.methods.kit.batches import same_shape
from bench.methods.kit.seeding import seeded
from bench.methods.kit.training_settings import TrainingSettings
from bench.methods.kit.views import CENTRE, View, crop, draw, test_views

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from bench.methods.kit.schedules import Schedule
    from bench.methods.kit.trainer import At

Shown = tuple[int, View]
"""The index of an image, and its crop."""


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
        """Whether the network predicts from whole images instead of crops."""
        return False

    @property
    def starts_from(self) -> str:
        """The authors' starting weights, '' for random ones."""
        return "ImageNet weights"

    @property
    def policy(self) -> ImagePolicy:
        """As the settings say."""
        own = self.settings
        return ImagePolicy(own.resize_mode, own.resize, own.resize_kernel)

    @property
    def network(self) -> nn.Module:
        """The network, built at first use."""
        from bench.methods.kit.checkpoints import start_from
        from bench.methods.kit.devices import placed

        if self._network is None:
            device, own = self.context.device, self.settings
            with seeded(self.context.seed_for("network"), device):
                built = self.build()
            if own.weights is not None:
                self.notes.append(start_from(built, own.weights))
            elif own.initial == "scratch" and self.starts_from:
                self.note_at_table(f"from random weights; published: from {self.starts_from}")
            self._network = placed(built, device).eval()
        return self._network

    @property
    def margin(self) -> int:
        """Pixels on each side of a crop that `prepared` uses up."""
        return 0

    def in_backbone(self, parameter: str) -> bool:
        """Whether a parameter belongs to the pretrained part (`head_lr`, `first_steps`)."""
        return False

    def prepared(self, pixels: Tensor) -> Tensor:
        """The network's input: (B, 3, S, S) of crops with their margin, in 0–1."""
        return pixels

    def loss(self, network: nn.Module, pixels: Tensor, labels: Tensor) -> Tensor:
        """Training loss of prepared crops against labels (B,)."""
        return self.distance(self.answers(network, pixels), labels)

    def answers(self, network: nn.Module, pixels: Tensor) -> Tensor:
        """The network's scores (B,) of prepared crops in training."""
        found: Tensor = network(pixels).reshape(-1)
        return found

    def distance(self, found: Tensor, labels: Tensor) -> Tensor:
        """The settings' losses, of (B,) and (B,); of answers in bf16 too they are float32."""
        import torch.nn.functional as F

        from bench.methods.kit import losses

        kinds: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
            "l1": F.l1_loss,
            "smooth_l1": F.smooth_l1_loss,
            "mse": F.mse_loss,
            "plcc": losses.plcc,
            "nin": losses.norm_in_norm,
            "rank": losses.rank,
        }
        own, scores = self.settings, found.float()
        loss = kinds[own.loss](scores, labels)
        return loss if own.batch_loss == "none" else loss + kinds[own.batch_loss](scores, labels)

    # -- training ----------------------------------------------------------------------------------

    def fit(self, train: LabelledSet) -> Generator[Epoch, float | None, None]:
        """Train all parameters that the network leaves trainable, the head first if so set."""
        stages, done = self.schedules(len(train)), 0
        total = sum(schedule.epochs for schedule in stages.values())
        for name, schedule in stages.items():
            frozen = self._backbone() if name == "first" else []
            for parameter in frozen:
                parameter.requires_grad_(False)
            yield from self._stage(train, name, schedule, done, total)
            for parameter in frozen:
                parameter.requires_grad_(True)
            done += schedule.epochs

    def _backbone(self) -> list[nn.Parameter]:
        """The trained parameters of the backbone."""
        named = self.network.named_parameters()
        return [value for name, value in named if self.in_backbone(name) and value.requires_grad]

    def _stage(
        self, train: LabelledSet, name: str, schedule: Schedule, done: int, total: int
    ) -> Generator[Epoch, float | None, None]:
        """The epochs of a schedule after `done` others; training is over after `total`."""
        import torch

        from bench.methods.kit.devices import autocast
        from bench.methods.kit.trainer import Trainer

        own, network, device = self.settings, self.network, self.context.device
        scaled = np.asarray(train.scores) * own.label_scale
        labels = torch.tensor(scaled, dtype=torch.float32, device=device)

        def pixels(batch: Sequence[Shown]) -> Tensor:
            names = train.images.names
            cuts = [self._crop(train.images[i], view, names[i]) for i, view in batch]
            return self.prepared(self._pixels(cuts))

        def known(batch: Sequence[Shown]) -> Tensor:
            return labels[[i for i, _ in batch]]

        def loss(batch: Sequence[Shown], at: At) -> Tensor:
            return self.loss(network, pixels(batch), known(batch))

        def answers(batch: Sequence[Shown], at: At) -> Tensor:
            return self.answers(network, pixels(batch))

        def compare(found: Tensor, batch: Sequence[Shown]) -> Tensor:
            return self.distance(found, known(batch))

        splits = self._splits(network)
        apart = splits and (own.loss == "plcc" or own.batch_loss != "none")

        trainer: Trainer[Shown] = Trainer(
            network,
            self._optimiser(network, name),
            schedule,
            lambda epoch: self._batches(len(train), done + epoch),
            answers if apart else loss,
            self.context,
            compare=compare if apart else None,
            clip=own.clip,
            arithmetic=lambda: autocast(device, own.precision),
            splits=splits,
            name=f"fit-{name}",
        )
        training, monitored = trainer.run(), None
        while True:
            try:
                epoch = training.send(monitored)
            except StopIteration:
                return
            monitored = yield Epoch(epoch.loss, epoch.diagnostics, total)

    def schedules(self, images: int) -> Mapping[str, Schedule]:
        """The rates of 'all', and before it of 'first' if the head learns first."""
        from bench.methods.kit.schedules import Schedule, constant, cosine, steps, warmed_up, waves

        own, a_pass = self.settings, len(self._batches(images, 0))
        first = round(own.first_steps / a_pass)
        epochs = own.epochs if own.steps is None else max(1, round(own.steps / a_pass))
        factor = {
            "cosine": cosine(max(epochs - own.warmup_epochs, 1)),
            "step": steps(own.decay, own.decay_epochs),
            "constant": constant,
            "waves": waves(own.wave_steps / a_pass),
        }[own.schedule]
        if own.warmup_epochs:
            factor = warmed_up(factor, own.warmup_epochs, own.warmup_share)
        stages = {"first": Schedule(own.first_lr, first)} if first else {}
        return {**stages, "all": Schedule(own.lr, epochs, factor, own.rate_per)}

    def _optimiser(self, network: nn.Module, stage: str) -> torch.optim.Optimizer:
        from bench.methods.kit import optimisers

        own = self.settings
        named = list(network.named_parameters())
        if stage == "first":
            return optimisers.build("sgd", named, own.first_lr, own.weight_decay, own.momentum)

        def built(parts: Sequence[tuple[str, nn.Parameter]], lr: float) -> torch.optim.Optimizer:
            return optimisers.build(
                own.optimiser, parts, lr, own.weight_decay, own.momentum, own.undecayed
            )

        if own.head_lr is None:
            return built(named, own.lr)
        optimiser = built([pair for pair in named if self.in_backbone(pair[0])], own.lr)
        head = built([pair for pair in named if not self.in_backbone(pair[0])], own.head_lr)
        for group in head.param_groups:
            optimiser.add_param_group(group)
        return optimiser

    def _splits(self, network: nn.Module) -> bool:
        """Whether a batch can be split: no batch norm uses statistics of all of it."""
        from torch.nn.modules.batchnorm import _BatchNorm

        return not any(isinstance(part, _BatchNorm) for part in network.modules())

    # -- answers and files -------------------------------------------------------------------------

    def predict(self, images: Images) -> Scores:
        """The network's answer on the training labels' scale, averaged over crops, (n,)."""
        network = self.network.eval()
        views = [CENTRE] if self.whole_images else test_views(self.settings.test_crops)
        scores = np.zeros(len(images))
        for view in views:
            size = 1 if self.whole_images else self.context.batch_size
            shown = (
                image if self.whole_images else self._crop(image, view._replace(flip=False), name)
                for image, name in zip(images, images.names, strict=True)
            )
            for places, pixels in same_shape(shown, size):
                scores[places] += self._answer(network, pixels) / len(views)
        return scores / self.settings.label_scale

    def save(self, path: Path) -> None:
        """Write the network."""
        from bench.methods.kit import checkpoints

        checkpoints.write(path, self.network.state_dict())

    def load(self, path: Path) -> None:
        """Read a file of `save`. BenchError if it does not fit."""
        from bench.methods.kit import checkpoints

        checkpoints.put(self.network, checkpoints.read(path).tensors, f"'{path}'")

    def _answer(self, network: nn.Module, pixels: Sequence[Pixels]) -> npt.NDArray[np.float64]:
        import torch

        from bench.methods.kit.devices import autocast

        device = self.context.device
        arithmetic = autocast(device, self.settings.precision)
        with torch.no_grad(), seeded(self.context.seed_for("predict"), device), arithmetic:
            found = network(self.prepared(self._pixels(pixels))).reshape(-1)
        return np.asarray(found.double().cpu().numpy())

    def _pixels(self, crops: Sequence[Pixels]) -> Tensor:
        from bench.methods.kit.devices import upload

        return upload(np.stack(crops), self.context.device)

    def _crop(self, image: Pixels, view: View, name: str | None = None) -> Pixels:
        try:
            return crop(image, view, self.settings.crop + 2 * self.margin, name)
        except BenchError as error:
            raise BenchError(
                f"{self.name}: {error}; set a smaller crop, or resize_mode and resize"
            ) from None

    def _batches(self, count: int, epoch: int) -> list[list[Shown]]:
        """Every image `crops` times in random order, each time with a new crop."""
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
