"""Few-shot fine-tuning under gradient regulation (§3.4)."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bench.api import Context, Epoch, LabelledSet, UsageError
from bench.methods.grmp import meta
from bench.methods.grmp.model import is_prompt
from bench.methods.grmp.pipeline import Pipeline, Teacher
from bench.methods.grmp.qgr import angle, quality_loss, regulate, semantic_loss
from bench.methods.grmp.settings import GrmpSettings
from bench.methods.kit import optimisers, schedules
from bench.methods.kit.trainer import At, Gradients, Loss, Trainer
from bench.methods.kit.views import Crop

FREE_EPOCHS = 11
"""A plateau schedule never decays within these first epochs (released code)."""
TOKENS = frozenset({"ctx", "prompt_embeddings", "deep_prompt_embeddings"})


def rescaled(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Scores stretched to 0–1; all 0.5 if they are equal."""
    low, high = float(scores.min()), float(scores.max())
    return (scores - low) / (high - low) if high > low else np.full(scores.shape, 0.5)


def labels_of(train: LabelledSet, settings: GrmpSettings) -> Tensor:
    """The training labels (n,) in 0–1, where Eq. 3 needs them."""
    scores = np.asarray(train.scores, dtype=np.float64)
    if settings.labels == "rescaled":
        scores = rescaled(scores)
    if scores.min() < 0 or scores.max() > 1:
        raise UsageError(
            f"grmp: training labels run from {scores.min():g} to {scores.max():g}, but Eq. 3 "
            "needs 0 to 1; set labels=rescaled, or the protocol's 'normalise'"
        )
    return torch.tensor(scores, dtype=torch.float32)


def schedule_of(own: GrmpSettings) -> schedules.Schedule:
    """The learning rate over epochs, warm-up included."""
    factors: dict[str, schedules.Factor] = {
        # CoOp's cosine, whose period is all of the epochs though the warm-up comes before it.
        "cosine": schedules.cosine(own.epochs),
        "step": schedules.steps(own.decay, own.decay_epochs),
        "constant": schedules.constant,
    }
    if own.schedule == "plateau":
        unscored = min(own.epochs, own.unscored_epochs)
        return schedules.Plateau(
            own.lr,
            own.epochs,
            own.decay,
            own.patience,
            own.min_lr,
            schedules.Schedule(own.lr, unscored, schedules.cosine(unscored)),
            FREE_EPOCHS,
        )
    factor = factors[own.schedule]
    if own.warmup_epochs:
        factor = schedules.warmed_up(factor, own.warmup_epochs, own.warmup_lr / own.lr)
    # CoOp sets its rate once an epoch, DEIQT, whose steps these are, at every update.
    per: schedules.Per = "step" if own.schedule == "step" else "epoch"
    return schedules.Schedule(own.lr, own.epochs, factor, per)


class Finetuner:
    """Trains what requires gradients in a pipeline's model, on labelled crops."""

    def __init__(
        self,
        pipeline: Pipeline,
        teacher: Teacher,
        labels: Tensor,
        batches: Callable[[int], Sequence[Sequence[Crop]]],
        settings: GrmpSettings,
        context: Context,
    ) -> None:
        """`labels` (n,) in 0–1 are found by the crops' indices."""
        self.pipeline, self.teacher = pipeline, teacher
        self.settings, self.context = settings, context
        self.labels = labels.to(pipeline.lens.device)
        self.schedule = schedule_of(settings)
        named = list(pipeline.model.named_parameters())
        optimiser = optimisers.build(
            settings.optimiser,
            named,
            settings.lr,
            settings.weight_decay,
            settings.momentum,
            None if settings.decay_all else TOKENS,
        )
        self.trainer = Trainer(
            pipeline.model,
            optimiser,
            self.schedule,
            batches,
            self.loss,
            context,
            combine=self.combine,
            clip=settings.clip,
            diagnose=self._moved,
        )
        self._prompts = [value for name, value in named if value.requires_grad and is_prompt(name)]
        self._start = meta.snapshot(self._prompts)

    def run(self) -> Generator[Epoch, float | None, None]:
        """Train, yielding after each epoch and reading the monitored score."""
        if self.settings.evaluate_start:
            self.schedule.tell(-1, (yield Epoch(math.nan, start=True)))
        yield from self.trainer.run()

    def loss(self, crops: Sequence[Crop], at: At) -> Loss:
        """Eq. 3 on a batch, with Eq. 7 as a second objective if its gradient is needed.

        Without regulation that is an epoch's first batch, for the angle between the two.
        """
        own, logits = self.settings, self.pipeline.model.logits
        features = self._features(crops, at)
        quality = logits(features, self.pipeline.quality_texts())
        ce = quality_loss(quality, self.labels[[crop.index for crop in crops]])
        if not (own.qgr or at.step == 0):
            return Loss(ce)
        if not self.pipeline.reuse.shared_forward:
            features = self._features(crops, at)
        scenes = logits(features, self.pipeline.scene_texts())
        kl = semantic_loss(scenes, self.teacher.probabilities(crops))
        return Loss(ce, (kl,), {"kl": float(kl.detach())})

    def combine(self, found: list[Gradients]) -> tuple[Gradients, dict[str, float]]:
        """Eq. 8 on the gradients of a whole batch; angles in degrees, shares of tensors clipped."""
        quality = [
            torch.zeros_like(parameter) if gradient is None else gradient
            for parameter, gradient in zip(self.trainer.parameters.values(), found[0], strict=True)
        ]
        if len(found) == 1:
            return [*quality], {}
        semantic = found[1]
        if not self.settings.qgr:
            return [*quality], _known(angle=angle(quality, semantic))
        regulated = regulate(quality, semantic, self.settings.lam, self.settings.scope)
        return [*regulated.gradients], _known(
            angle=regulated.angle_before,
            angle_regulated=regulated.angle_after,
            clipped=regulated.clipped,
        )

    def _features(self, crops: Sequence[Crop], at: At) -> Tensor:
        rate, generator = self.settings.dropout, None
        if rate:
            seed = self.context.seed_for("dropout", at.epoch, at.step, at.first)
            generator = torch.Generator().manual_seed(seed)
        return self.pipeline.image_features(crops, rate, generator)

    def _moved(self) -> dict[str, float]:
        """How far the prompts among what trains have come from their start."""
        return {"moved": meta.moved(self._prompts, self._start)} if self._prompts else {}


def _known(**values: float) -> dict[str, float]:
    """The numbers that exist: there is no angle to a zero gradient."""
    return {name: value for name, value in values.items() if math.isfinite(value)}
