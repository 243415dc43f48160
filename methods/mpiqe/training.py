"""Training on Eq. 15: warm-up, cosine, and one update a batch."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.api import Context, Epoch, LabelledSet
from methods.kit import cache
from methods.kit.lens import Lens
from methods.kit.views import Crop
from methods.mpiqe.alignment import cross_entropy
from methods.mpiqe.crops import Sampler
from methods.mpiqe.model import Answer, PromptedCLIP
from methods.mpiqe.settings import MPIQESettings
from methods.mpiqe.targets import Targets


def rate(step: int, steps: int, warmup: int, settings: MPIQESettings) -> float:
    """The learning rate of a step (from 0): a linear rise over `warmup` steps, then a cosine."""
    own = settings
    if step < warmup:
        return own.lr * (own.warmup_start + (1 - own.warmup_start) * (step + 1) / warmup)
    through = (step - warmup) / max(steps - warmup, 1)
    return own.final_lr + (own.lr - own.final_lr) * 0.5 * (1 + math.cos(math.pi * through))


@dataclass(frozen=True)
class Known:
    """The labels of a batch, on the model's device."""

    scores: Tensor
    scenes: Tensor | None
    distortions: Tensor | None


def losses(answer: Answer, known: Known, settings: MPIQESettings) -> dict[str, Tensor]:
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


class Trainer:
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
        self.sampler = Sampler(train.images, settings, context, settings.batch_for(train.dataset))
        self.known = self._tensors(train, found)
        if settings.score_start == "mean":
            model.encoder.start_at(float(self.known.scores.mean()))
        # Without visual prompts the tower's outputs are constants; worth keeping if crops recur.
        keeps = settings.visual_prompts == "none" and settings.views is not None
        self.kept = cache.shared(str(lens.device)).shelf() if keeps else None
        self.parameters = [model.get_parameter(name) for name in model.trained_names()]
        kind = torch.optim.Adam if settings.optimiser == "adam" else torch.optim.AdamW
        self.optimiser: torch.optim.Optimizer = kind(
            self.parameters, settings.lr, weight_decay=settings.weight_decay
        )

    def run(self) -> Generator[Epoch, float | None, None]:
        """All epochs."""
        own = self.settings
        steps = self.sampler.steps()
        warmup = round(own.warmup_epochs * steps)
        for epoch in range(own.epochs):
            found = []
            for number, batch in enumerate(self.sampler.epoch(epoch)):
                step = epoch * steps + number
                for group in self.optimiser.param_groups:
                    group["lr"] = rate(step, own.epochs * steps, warmup, own)
                found.append((len(batch), self.step(batch, step)))
            yield self._summary(found)

    def step(self, batch: Sequence[Crop], number: int) -> dict[str, float]:
        """One update; the terms of Eq. 15 on the batch, and their sum as 'total'."""
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        terms = losses(self._answer(batch, number), self._labels(batch), self.settings)
        loss = total(terms, self.settings.lambda_distortion, self.weight)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        for parameter in self.parameters:
            parameter.requires_grad_(False)
        return {**{name: term.item() for name, term in terms.items()}, "total": loss.item()}

    def _answer(self, batch: Sequence[Crop], number: int) -> Answer:
        generator = None
        if self.settings.dropout:
            generator = torch.Generator().manual_seed(self.context.seed_for("dropout", number))
        with self.lens.precision():
            queries = self.model.texts()
            tokens = self._tokens(batch)
        answer: Answer = self.model(tokens, queries, generator)
        return answer

    def _tokens(self, batch: Sequence[Crop]) -> Tensor:
        if self.kept is None:
            return self.model.tokens(self.lens.pixels(batch))
        return self.kept.rows(
            [crop.key for crop in batch],
            lambda places: self.model.tokens(self.lens.pixels([batch[i] for i in places])),
        )

    def _tensors(self, train: LabelledSet, found: Targets) -> Known:
        def tensor(values: np.ndarray) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=self.lens.device)

        return Known(
            tensor(np.asarray(train.scores) * self.settings.label_scale),
            None if found.scenes is None else tensor(found.scenes),
            None if found.distortions is None else tensor(found.distortions),
        )

    def _labels(self, batch: Sequence[Crop]) -> Known:
        rows, known = [crop.index for crop in batch], self.known
        return Known(
            known.scores[rows],
            None if known.scenes is None else known.scenes[rows],
            None if known.distortions is None else known.distortions[rows],
        )

    def _summary(self, found: Sequence[tuple[int, dict[str, float]]]) -> Epoch:
        """Means over an epoch's crops."""
        sizes = [size for size, _ in found]
        means = {
            name: float(np.average([terms[name] for _, terms in found], weights=sizes))
            for name in found[0][1]
        }
        return Epoch(means.pop("total"), means, self.settings.epochs)
