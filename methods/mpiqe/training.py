"""Training on Eq. 15: warm-up, cosine, and one update a batch."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.api import Context, Epoch, LabelledSet
from bench.methods.kit import cache, optimisers
from bench.methods.kit.lens import Lens
from bench.methods.kit.schedules import Schedule, cosine, warmed_up
from bench.methods.kit.trainer import At, Loss, Trainer
from bench.methods.kit.views import Crop
from bench.methods.mpiqe.alignment import cross_entropy
from bench.methods.mpiqe.crops import CropSampler
from bench.methods.mpiqe.model import CropOutput, PromptedCLIP
from bench.methods.mpiqe.settings import MPIQESettings
from bench.methods.mpiqe.targets import Targets


def schedule(settings: MPIQESettings) -> Schedule:
    """A linear rise over the warm-up, then a cosine, set step by step."""
    own = settings
    factor = cosine(max(own.epochs - own.warmup_epochs, 1e-9), own.final_lr / own.lr)
    if own.warmup_epochs:
        factor = warmed_up(factor, own.warmup_epochs, own.warmup_start)
    return Schedule(own.lr, own.epochs, factor, "step")


@dataclass(frozen=True)
class BatchLabels:
    """The labels of a batch, on the model's device."""

    scores: Tensor
    scenes: Tensor | None
    distortions: Tensor | None

    @property
    def complete(self) -> bool:
        """Whether every image has all labels, so that Eq. 15 is a mean over images."""
        given = [labels for labels in (self.scenes, self.distortions) if labels is not None]
        return all(bool((labels > 0).any(dim=1).all()) for labels in given)


def losses(answer: CropOutput, known: BatchLabels, settings: MPIQESettings) -> dict[str, Tensor]:
    """The terms of Eq. 15 that there are labels for: 'scene', 'distortion', 'score'."""
    terms = {}
    if answer.scenes is not None and known.scenes is not None:
        terms["scene"] = cross_entropy(answer.scenes, known.scenes, settings.mean_over_classes)
    if answer.distortions is not None and known.distortions is not None:
        terms["distortion"] = cross_entropy(
            answer.distortions, known.distortions, settings.mean_over_classes
        )
    if settings.score_loss == "l1":
        terms["score"] = F.l1_loss(answer.score, known.scores)
    else:
        terms["score"] = F.smooth_l1_loss(answer.score, known.scores, beta=settings.smooth_beta)
    return terms


def total(terms: dict[str, Tensor], lambda_distortion: float, lambda_score: float) -> Tensor:
    """Eq. 15: L_scene + λ1 L_dist + λ2 L_score."""
    weights = {"scene": 1.0, "distortion": lambda_distortion, "score": lambda_score}
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()


class MpiqeTraining:
    """Trains the prompts and the multi-modal encoder of a model."""

    def __init__(
        self,
        model: PromptedCLIP,
        lens: Lens,
        settings: MPIQESettings,
        context: Context,
        train: LabelledSet,
        found: Targets,
    ) -> None:
        self.model, self.lens = model, lens
        self.settings, self.context = settings, context
        self.weight = settings.score_weight(train.dataset)
        self.sampler = CropSampler(
            train.images, settings, context, settings.batch_for(train.dataset)
        )
        self.known = self._tensors(train, found)
        if settings.score_start == "mean":
            model.encoder.start_at(float(self.known.scores.mean()))
        # Without visual prompts the tower's outputs are constants; worth keeping if crops recur.
        keeps = settings.visual_prompts == "none" and settings.views is not None
        self.kept = cache.shared(str(lens.device)).shelf() if keeps else None

    def run(self) -> Generator[Epoch, float | None, None]:
        """All epochs."""
        own = self.settings
        trained = {name: self.model.get_parameter(name) for name in self.model.trained_names()}
        for parameter in trained.values():
            parameter.requires_grad_(True)
        optimiser = optimisers.build(own.optimiser, trained.items(), own.lr, own.weight_decay)
        yield from Trainer(
            self.model,
            optimiser,
            schedule(own),
            self.sampler.epoch,
            self.loss,
            self.context,
            train_mode=self.model.eval,  # all dropout is the decoder's, and drawn by itself
            splits=self.known.complete,
        ).run()
        for parameter in trained.values():
            parameter.requires_grad_(False)

    def loss(self, batch: Sequence[Crop], at: At) -> Loss:
        """Eq. 15 on a batch, with its terms."""
        terms = losses(self._answer(batch, at), self._labels(batch), self.settings)
        whole = total(terms, self.settings.lambda_distortion, self.weight)
        return Loss(whole, diagnostics={name: term.item() for name, term in terms.items()})

    def _answer(self, batch: Sequence[Crop], at: At) -> CropOutput:
        generator = None
        if self.settings.dropout:
            # By place: parts of a batch that ran out of memory draw masks of their own.
            seed = self.context.seed_for("dropout", at.epoch, at.step, at.first)
            generator = torch.Generator().manual_seed(seed)
        with self.lens.precision():
            queries = self.model.texts()
            tokens = self._tokens(batch)
        answer: CropOutput = self.model(tokens, queries, generator)
        return answer

    def _tokens(self, batch: Sequence[Crop]) -> Tensor:
        if self.kept is None:
            return self.model.tokens(self.lens.pixels(batch))
        return self.kept.rows(
            [crop.key for crop in batch],
            lambda places: self.model.tokens(self.lens.pixels([batch[i] for i in places])),
        )

    def _tensors(self, train: LabelledSet, found: Targets) -> BatchLabels:
        def tensor(values: np.ndarray) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=self.lens.device)

        return BatchLabels(
            tensor(np.asarray(train.scores) * self.settings.label_scale),
            None if found.scenes is None else tensor(found.scenes),
            None if found.distortions is None else tensor(found.distortions),
        )

    def _labels(self, batch: Sequence[Crop]) -> BatchLabels:
        rows, known = [crop.index for crop in batch], self.known
        return BatchLabels(
            known.scores[rows],
            None if known.scenes is None else known.scenes[rows],
            None if known.distortions is None else known.distortions[rows],
        )
