"""Few-shot fine-tuning under gradient regulation (§3.4)."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from bench.api import Context, Epoch, LabelledSet, UsageError
from methods.grmp.pipeline import Pipeline, Teacher
from methods.grmp.qgr import Regulated, angle, quality_loss, regulate, semantic_loss
from methods.grmp.sampling import Sampler
from methods.grmp.schedule import Schedule
from methods.grmp.settings import GrmpSettings
from methods.kit.views import Crop

Gradients = list[Tensor]


@dataclass(frozen=True)
class Step:
    """Numbers of one batch; NaN where they were not computed."""

    size: int
    loss: float
    kl: float = math.nan
    angle: float = math.nan
    angle_regulated: float = math.nan
    clipped: float = math.nan


def rescaled(scores: np.ndarray) -> np.ndarray:
    """Scores stretched to 0–1; all 0.5 where they are equal."""
    low, high = float(scores.min()), float(scores.max())
    return (scores - low) / (high - low) if high > low else np.full(scores.shape, 0.5)


class Finetuner:
    """Trains the given parameters of a pipeline's model on labelled images."""

    def __init__(
        self,
        pipeline: Pipeline,
        teacher: Teacher,
        parameters: Sequence[nn.Parameter],
        settings: GrmpSettings,
        context: Context,
    ) -> None:
        self.pipeline = pipeline
        self.teacher = teacher
        self.parameters = list(parameters)
        self.settings = settings
        self.context = context
        self.optimiser = _optimiser(self.parameters, settings)

    def run(self, train: LabelledSet) -> Generator[Epoch, float | None, None]:
        """Train, yielding after each epoch and reading the monitored score."""
        scores = np.asarray(train.scores, dtype=np.float64)
        if self.settings.labels == "rescaled":
            scores = rescaled(scores)
        if scores.min() < 0 or scores.max() > 1:
            raise UsageError(
                f"grmp: training labels run from {scores.min():g} to {scores.max():g}, but Eq. 3 "
                "needs 0 to 1; set labels=rescaled, or the protocol's 'normalise'"
            )
        labels = torch.tensor(scores, dtype=torch.float32, device=self.pipeline.lens.device)
        sampler = Sampler(train.images, self.settings, self.context)
        schedule = Schedule(self.settings)
        epoch = 0
        while not schedule.done(epoch):
            for group in self.optimiser.param_groups:
                group["lr"] = schedule.rate(epoch)
            steps = [
                self.step(batch, labels, epoch, number)
                for number, batch in enumerate(sampler.epoch(epoch))
            ]
            answer = yield _summary(steps, schedule.total())
            schedule.tell(epoch, answer)
            epoch += 1

    def step(self, batch: Sequence[Crop], labels: Tensor, epoch: int, number: int) -> Step:
        """One update on one batch."""
        wanted = labels[[crop.index for crop in batch]]
        gradients, found = self.gradients(batch, wanted, epoch, number)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return found

    def gradients(
        self, batch: Sequence[Crop], labels: Tensor, epoch: int, number: int
    ) -> tuple[Gradients, Step]:
        """The gradient to apply on one batch, in the order of `parameters`.

        Without regulation the semantic gradient is computed on an epoch's first batch only, for
        the angle between the two.
        """
        features = self._features(batch, epoch, number)
        ce = quality_loss(self._logits(features, self.pipeline.quality_texts()), labels)
        if not (self.settings.qgr or number == 0):
            return self._backward(ce), Step(len(batch), ce.item())
        again = features
        if not self.pipeline.reuse.shared_forward:
            again = self._features(batch, epoch, number)
        scenes = self._logits(again, self.pipeline.scene_texts())
        kl = semantic_loss(scenes, self.teacher.probabilities(batch))
        quality = self._backward(ce, keep=True)
        semantic: Sequence[Tensor | None] = [None] * len(self.parameters)
        if kl.requires_grad:  # it does not where only the text context trains
            semantic = torch.autograd.grad(kl, self.parameters, allow_unused=True)
        base = Step(len(batch), ce.item(), kl.item())
        if not self.settings.qgr:
            return quality, Step(base.size, base.loss, base.kl, angle(quality, semantic))
        regulated = regulate(quality, semantic, self.settings.lam, self.settings.scope)
        return regulated.gradients, _described(base, regulated)

    def _features(self, batch: Sequence[Crop], epoch: int, number: int) -> Tensor:
        rate = self.settings.dropout
        generator = None
        if rate:
            generator = torch.Generator().manual_seed(
                self.context.seed_for("dropout", epoch, number)
            )
        return self.pipeline.image_features(batch, rate, generator)

    def _logits(self, features: Tensor, texts: Tensor) -> Tensor:
        return self.pipeline.model.logits(features, texts)

    def _backward(self, loss: Tensor, keep: bool = False) -> Gradients:
        found = torch.autograd.grad(loss, self.parameters, retain_graph=keep, allow_unused=True)
        return [
            torch.zeros_like(parameter) if gradient is None else gradient
            for parameter, gradient in zip(self.parameters, found, strict=True)
        ]


def _described(base: Step, regulated: Regulated) -> Step:
    return Step(
        base.size,
        base.loss,
        base.kl,
        regulated.angle_before,
        regulated.angle_after,
        regulated.clipped,
    )


def _optimiser(parameters: list[nn.Parameter], own: GrmpSettings) -> torch.optim.Optimizer:
    if own.optimiser == "sgd":
        return torch.optim.SGD(
            parameters, own.lr, momentum=own.momentum, weight_decay=own.weight_decay
        )
    kind = torch.optim.Adam if own.optimiser == "adam" else torch.optim.AdamW
    return kind(parameters, own.lr, weight_decay=own.weight_decay)


def _summary(steps: Sequence[Step], total: int) -> Epoch:
    """Means over an epoch: losses by image, the rest by batch; what never occurred is left out."""
    sizes = np.array([step.size for step in steps])
    diagnostics = {}
    for name in ("kl", "angle", "angle_regulated", "clipped"):
        values = np.array([getattr(step, name) for step in steps])
        known = np.isfinite(values)
        if known.any():
            weights = sizes[known] if name == "kl" else None
            diagnostics[name] = float(np.average(values[known], weights=weights))
    loss = float(np.average([step.loss for step in steps], weights=sizes))
    return Epoch(loss, diagnostics, total)
