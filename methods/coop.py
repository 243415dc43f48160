"""Learned text contexts on a frozen CLIP: CoOp (IJCV 2022) and CLIP-IQA+ (AAAI 2023)."""

from __future__ import annotations

import math
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from bench import backbones
from bench.api import (
    Context,
    Epoch,
    ImagePolicy,
    Images,
    LabelledSet,
    Method,
    Scores,
    UsageError,
)
from methods.kit.clip_features import Encoder, ImageSettings, as_array
from methods.kit.views import CENTRE, Crop, View, draw

if TYPE_CHECKING:
    from torch import Tensor

    from methods.kit.clip_tower import TextPrompts, TextTower


class CoopSettings(ImageSettings):
    """The context and its training; defaults are CoOp's."""

    words: tuple[str, str] = ("high quality.", "low quality.")
    """Behind the context, good end first."""
    n_context: int = Field(default=16, ge=1)
    """Context vectors. CoOp: 16."""
    class_specific: bool = False
    """A context of its own for each end (CoOp's CSC)."""
    prompt_seed: int = Field(default=0, ge=0)
    """Which random initialisation."""
    loss: Literal["cross_entropy", "mse"] = "cross_entropy"
    """Between label and probability of the good end."""
    lr: float = Field(default=2e-3, gt=0)
    """Of SGD, cosine over the epochs."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of SGD."""
    weight_decay: float = Field(default=5e-4, ge=0)
    """Of SGD."""
    epochs: int = Field(default=50, ge=1)
    """Passes over the training images."""
    warmup_epochs: int = Field(default=1, ge=0)
    """First epochs, at `warmup_lr`."""
    warmup_lr: float = Field(default=1e-5, gt=0)
    """CoOp: 1e-5."""
    batch_size: int = Field(default=32, ge=1)
    """Training images a step."""
    augment: bool = True
    """Random crops and flips."""
    views: int = Field(default=8, ge=1)
    """Distinct crops of an image in a whole fit; the features of each are kept."""


class Coop(Method):
    """CoOp: learned text context on a frozen CLIP, trained on the labels as probabilities."""

    name = "coop"
    Settings: ClassVar[type[CoopSettings]] = CoopSettings
    settings: CoopSettings

    def __init__(self, settings: CoopSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._encoder: Encoder | None = None
        self._tower: TextTower | None = None
        self._prompts: TextPrompts | None = None

    @property
    def encoder(self) -> Encoder:
        """The frozen CLIP, loaded at first use."""
        if self._encoder is None:
            self._encoder = Encoder(self.settings, self.context)
        return self._encoder

    @property
    def prompts(self) -> TextPrompts:
        """The learned context, drawn at first use."""
        if self._prompts is None:
            self._prompts = self._build()
        return self._prompts

    @classmethod
    def small(cls, argument: str | None) -> dict[str, Any]:
        """Steps that are few and large."""
        return {"epochs": 40, "lr": 0.02, "batch_size": 4, "augment": False}

    @property
    def policy(self) -> ImagePolicy:
        """As the settings say."""
        backbones.require_text(self.settings.backbone)  # here, where plans ask first
        return self.settings.policy

    def fit(self, train: LabelledSet) -> Generator[Epoch, float | None, None]:
        """SGD on the context alone; everything else is frozen."""
        import torch

        own = self.settings
        low, high = float(train.scores.min()), float(train.scores.max())
        if low < 0 or high > 1:
            raise UsageError(
                f"{self.name}: training labels run from {low:g} to {high:g}, but probabilities "
                "need 0 to 1; set the protocol's 'normalise'"
            )
        labels = torch.tensor(train.scores, dtype=torch.float32, device=self.context.device)
        context = self.prompts.ctx.requires_grad_(True)
        optimiser = torch.optim.SGD(
            [context], own.lr, momentum=own.momentum, weight_decay=own.weight_decay
        )
        for epoch in range(own.epochs):
            optimiser.param_groups[0]["lr"] = self._rate(epoch)
            total = 0.0
            for batch in self._batches(len(train), epoch):
                shown = [Crop(train.images, i, view, (i, view)) for i, view in batch]
                images = self.encoder.crops(shown)
                loss = self._loss(self._logits(images), labels[[i for i, _ in batch]])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total += loss.item() * len(batch)
            yield Epoch(total / len(train), total=own.epochs)

    def predict(self, images: Images) -> Scores:
        """Probability of the good end, (n,) in 0–1."""
        import torch

        with torch.no_grad():
            logits = self._logits(self.encoder.features(images))
        return as_array(logits.softmax(dim=-1)[:, 0])

    def embed(self, images: Images) -> npt.NDArray[np.floating[Any]]:
        """Image features of length one, (n, e)."""
        return as_array(self.encoder.features(images))

    def save(self, path: Path) -> None:
        """Write the context."""
        from methods.kit import checkpoints

        checkpoints.write(path, {"ctx": self.prompts.ctx})

    def load(self, path: Path) -> None:
        """Read what `save` wrote. BenchError where it has another shape."""
        from methods.kit import checkpoints

        checkpoints.put(self.prompts, checkpoints.read(path).tensors, f"'{path}'", ["ctx"])

    def _build(self) -> TextPrompts:
        import torch

        from methods.kit.clip_tower import TextPrompts, TextTower, private_copy

        own, backbone = self.settings, self.encoder.backbone
        self._tower = TextTower(private_copy(backbone.model))
        tokens = backbone.tokenizer(list(own.words)).to(self.context.device)
        prompts = TextPrompts(self._tower, tokens, own.n_context).to(self.context.device)
        if own.class_specific:
            prompts.ctx = torch.nn.Parameter(prompts.ctx.detach().repeat(len(own.words), 1, 1))
        generator = torch.Generator(self.context.device)
        prompts.initialise(generator.manual_seed(self.context.seed_for("prompts", own.prompt_seed)))
        return prompts

    def _logits(self, images: Tensor) -> Tensor:
        """Image features (B, e) to logits (B, 2), good end first."""
        prompts = self.prompts
        assert self._tower is not None
        texts = self._tower(prompts(), prompts.ends)
        scaled: Tensor = self.encoder.backbone.model.logit_scale.exp() * images @ texts.T
        return scaled

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        import torch.nn.functional as F

        if self.settings.loss == "mse":
            return F.mse_loss(logits.softmax(dim=-1)[:, 0], labels)
        return F.cross_entropy(logits, _ends(labels))

    def _rate(self, epoch: int) -> float:
        own = self.settings
        if epoch < own.warmup_epochs:
            return own.warmup_lr
        return own.lr * 0.5 * (1 + math.cos(math.pi * epoch / own.epochs))

    def _batches(self, count: int, epoch: int) -> list[list[tuple[int, View]]]:
        """Every image once in random order, with the view of it that is shown."""
        rng = self.context.rng("epoch", epoch)
        order = rng.permutation(count).tolist()
        shown = [(i, self._view(i, int(rng.integers(self.settings.views)))) for i in order]
        size = self.settings.batch_size
        return [shown[start : start + size] for start in range(0, count, size)]

    def _view(self, image: int, number: int) -> View:
        if not self.settings.augment:
            return CENTRE
        return draw(self.context.rng("view", image, number))


class ClipIqaPlusSettings(CoopSettings):
    """CLIP-IQA+: whole images without positions, squared error (released configuration)."""

    positions: bool = False
    """Positional embeddings; CLIP-IQA leaves them out."""
    resize_mode: Literal["squash", "short_side", "none"] = "none"
    """How a file becomes an image; CLIP-IQA keeps its size."""
    words: tuple[str, str] = ("Good photo.", "Bad photo.")
    """Behind the context, good end first."""
    loss: Literal["cross_entropy", "mse"] = "mse"
    """Between label and probability of the good end."""
    momentum: float = Field(default=0.0, ge=0, lt=1)
    """Of SGD."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Of SGD."""
    warmup_epochs: int = Field(default=0, ge=0)
    """First epochs, at `warmup_lr`."""
    batch_size: int = Field(default=64, ge=1)
    """Training images a step."""
    views: int = Field(default=2, ge=1)
    """Draws of an image: flipped or not."""


class ClipIqaPlus(Coop):
    """CLIP-IQA+: CLIP-IQA with a learned context, trained on the labels by squared error."""

    name = "clipiqa_plus"
    Settings: ClassVar[type[ClipIqaPlusSettings]] = ClipIqaPlusSettings
    settings: ClipIqaPlusSettings

    @classmethod
    def small(cls, argument: str | None) -> dict[str, Any]:
        """Steps that are few and large, and a short context."""
        return {"epochs": 30, "lr": 0.1, "batch_size": 4, "n_context": 4}


def _ends(labels: Tensor) -> Tensor:
    """Labels (B,) in 0–1 as target probabilities (B, 2) of the good and the bad end."""
    import torch

    return torch.stack([labels, 1 - labels], dim=-1)
