"""Meta-prompt pre-training (§3.3): epochs over distortion tasks, resumable."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from bench.api import Context, Epoch, LabelledSet
from methods.grmp import meta
from methods.grmp.pipeline import Pipeline
from methods.grmp.progress import Progress, read_progress, write_progress
from methods.grmp.prompt_settings import PretrainSettings
from methods.grmp.qgr import quality_loss
from methods.grmp.tasks import Task, hold_out, tasks_of
from methods.kit.views import CENTRE, Crop, View, draw


@dataclass
class Pretrainer:
    """Trains `parameters` (the prompts) of a pipeline's model; ends with the chosen θ in them."""

    pipeline: Pipeline
    names: Sequence[str]
    parameters: Sequence[nn.Parameter]
    settings: PretrainSettings
    context: Context
    best: tuple[float, list[Tensor]] | None = field(default=None, init=False)

    def run(self, corpora: Sequence[LabelledSet]) -> Generator[Epoch, None, None]:
        """Train from scratch, or from the checkpoint that a killed process left."""
        tasks = tasks_of(corpora)
        held: list[Task] = []
        if self.settings.checkpoint == "held_out":
            tasks, held = hold_out(tasks, self.settings.held_out, self.context.rng("held_out"))
        learner: MetaTraining | PlainTraining = (
            MetaTraining(self) if self.settings.meta else PlainTraining(self)
        )
        first = self._resume(learner)
        for epoch in range(first, self.settings.meta_epochs):
            losses = learner.epoch(epoch, tasks)
            diagnostics = self._judge(learner, held)
            self._write(epoch + 1, learner)
            yield Epoch(float(np.mean(losses)), diagnostics, self.settings.meta_epochs)
        meta.restore(self.parameters, self.best[1] if self.best else learner.theta)

    def loss(self, task: Task, crops: Sequence[Crop], places: Sequence[int], seed: int) -> Tensor:
        """Eq. 3 on some of a task's images at the parameters' present values."""
        rate = self.settings.pretrain_dropout
        generator = torch.Generator().manual_seed(seed) if rate else None
        features = self.pipeline.image_features(crops, rate, generator)
        labels = torch.tensor(task.scores[list(places)], dtype=torch.float32)
        logits = self.pipeline.model.logits(features, self.pipeline.quality_texts())
        return quality_loss(logits, labels.to(logits.device))

    def _judge(
        self, learner: MetaTraining | PlainTraining, held: Sequence[Task]
    ) -> dict[str, float]:
        """Mean SRCC over the held-out part of the tasks at θ; remembers the best θ."""
        if not held:
            return {}
        inner = meta.snapshot(self.parameters)
        meta.restore(self.parameters, learner.theta)
        value = float(np.mean([self._srcc(task) for task in held]))
        meta.restore(self.parameters, inner)
        if self.best is None or value > self.best[0]:
            self.best = (value, meta.snapshot(learner.theta))
        return {"held_out_srcc": value}

    @torch.no_grad()
    def _srcc(self, task: Task) -> float:
        crops = crops_of(task, range(len(task)), None)
        logits = self.pipeline.model.logits(
            self.pipeline.image_features(crops), self.pipeline.quality_texts()
        )
        scores = logits.softmax(dim=-1)[:, 0].cpu().numpy()
        return rank_correlation(scores, task.scores)

    def _resume(self, learner: MetaTraining | PlainTraining) -> int:
        if self.context.scratch is None:
            return 0
        found = read_progress(self.context.scratch, self.names, self.settings)
        if found is None:
            return 0
        self.best = found.best
        learner.load(found)
        self.context.say(f"pre-training goes on after epoch {found.epoch}")
        return found.epoch

    def _write(self, epoch: int, learner: MetaTraining | PlainTraining) -> None:
        if self.context.scratch is None:
            return
        progress = Progress(epoch, learner.theta, *learner.state(), best=self.best)
        write_progress(self.context.scratch, self.names, self.settings, progress)


class MetaTraining:
    """Epochs of outer updates (Eq. 6) over mini-batches of tasks."""

    def __init__(self, trainer: Pretrainer) -> None:
        own = trainer.settings
        self.trainer = trainer
        self.learner = meta.MetaLearner(
            trainer.parameters, own.inner_optimiser, own.inner_lr, own.outer_lr, own.reset_inner
        )

    @property
    def theta(self) -> list[Tensor]:
        """The meta-parameters."""
        return self.learner.theta

    def state(self) -> tuple[list[Tensor], list[Tensor], list[Tensor], int]:
        """What has to be kept beside θ to go on: the inner parameters."""
        return meta.snapshot(self.trainer.parameters), [], [], 0

    def load(self, progress: Progress) -> None:
        """Go on from a checkpoint."""
        meta.restore(self.learner.theta, progress.theta)
        meta.restore(self.trainer.parameters, progress.inner)

    def epoch(self, number: int, tasks: Sequence[Task]) -> list[float]:
        """Visit every task once; the losses of all inner steps."""
        rng = self.trainer.context.rng("tasks", number)
        losses: list[float] = []
        for group in self._groups(tasks, rng):
            losses += self.learner.update([self._steps(task, number, rng) for task in group])
        return losses

    def _groups(self, tasks: Sequence[Task], rng: np.random.Generator) -> list[list[Task]]:
        size = self.trainer.settings.tasks_per_update
        if size is None:
            names = dict.fromkeys(task.corpus for task in tasks)
            return [[task for task in tasks if task.corpus == name] for name in names]
        order = [tasks[i] for i in rng.permutation(len(tasks))]
        return [order[i : i + size] for i in range(0, len(order), size)]

    def _steps(self, task: Task, epoch: int, rng: np.random.Generator) -> meta.Steps:
        own, trainer = self.trainer.settings, self.trainer
        rescale = own.task_labels == "rescaled"
        parts = task.split(own.query_fraction, own.query_by == "reference", rng)
        support, query = (part.labelled(rescale) for part in parts)
        batches = -(-len(support) // own.support_batch)
        draws = np.array_split(rng.permutation(len(support)), batches)
        for step in range(own.inner_steps or batches):
            places = draws[step % batches].tolist()
            asked = rng.permutation(len(query))[: own.query_batch].tolist()
            learn, check = crops_of(support, places, rng), crops_of(query, asked, None)
            seeds = [
                trainer.context.seed_for("dropout", epoch, task.corpus, task.distortion, step, side)
                for side in ("support", "query")
            ]
            yield (
                lambda crops=learn, at=places, seed=seeds[0]: trainer.loss(  # type: ignore[misc]
                    support, crops, at, seed
                ),
                lambda crops=check, at=asked, seed=seeds[1]: trainer.loss(  # type: ignore[misc]
                    query, crops, at, seed
                ),
            )


class PlainTraining:
    """Empirical risk minimisation: all images of all corpora alike, one Adam throughout."""

    def __init__(self, trainer: Pretrainer) -> None:
        self.trainer = trainer
        self.optimiser = torch.optim.Adam(trainer.parameters, trainer.settings.inner_lr)

    @property
    def theta(self) -> list[Tensor]:
        """The parameters themselves."""
        return meta.snapshot(self.trainer.parameters)

    def state(self) -> tuple[list[Tensor], list[Tensor], list[Tensor], int]:
        """Parameters and Adam's two moments and step count."""
        states = [self.optimiser.state[parameter] for parameter in self.trainer.parameters]
        return (
            meta.snapshot(self.trainer.parameters),
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            int(states[0]["step"]),
        )

    def load(self, progress: Progress) -> None:
        """Go on from a checkpoint."""
        meta.restore(self.trainer.parameters, progress.inner)
        moments = zip(self.trainer.parameters, progress.first, progress.second, strict=True)
        for parameter, first, second in moments:
            self.optimiser.state[parameter] = {
                "step": torch.tensor(float(progress.steps)),
                "exp_avg": first.to(parameter),
                "exp_avg_sq": second.to(parameter),
            }

    def epoch(self, number: int, tasks: Sequence[Task]) -> list[float]:
        """One pass over all images; the loss of every step."""
        own, trainer = self.trainer.settings, self.trainer
        rng = trainer.context.rng("images", number)
        pool = [task.labelled(own.task_labels == "rescaled") for task in tasks]
        pairs = [(which, place) for which, task in enumerate(pool) for place in range(len(task))]
        order = rng.permutation(len(pairs))
        losses = []
        for start in range(0, len(order), own.support_batch):
            batch = [pairs[i] for i in order[start : start + own.support_batch]]
            crops = [crops_of(pool[which], [place], rng)[0] for which, place in batch]
            joined = _joined(pool, batch)
            seed = trainer.context.seed_for("dropout", number, start)
            losses.append(
                meta.descend(
                    lambda task=joined, crops=crops, seed=seed: trainer.loss(  # type: ignore[misc]
                        task, crops, range(len(crops)), seed
                    ),
                    trainer.parameters,
                    self.optimiser,
                )
            )
        return losses


def _joined(pool: Sequence[Task], batch: Sequence[tuple[int, int]]) -> Task:
    """A task that holds only the labels of a mixed batch; its pixels come from the crops."""
    scores = np.array([pool[which].scores[place] for which, place in batch])
    first = pool[0]
    return Task("mixed", "mixed", first.images, scores, (), np.arange(len(batch)))


def crops_of(task: Task, places: Sequence[int], rng: np.random.Generator | None) -> list[Crop]:
    """Random crops of some of a task's images, or their centres where there is no `rng`."""

    def view() -> View:
        return CENTRE if rng is None else draw(rng)

    return [Crop(task.images, int(task.rows[place]), view(), None) for place in places]


def rank_correlation(left: np.ndarray, right: np.ndarray) -> float:
    """Spearman's ρ with mean ranks for ties; 0 where one side is constant."""
    from scipy.stats import rankdata

    ranks = np.stack([rankdata(left), rankdata(right)])
    if not ranks.std(axis=1).all():
        return 0.0
    value = float(np.corrcoef(ranks)[0, 1])
    return 0.0 if math.isnan(value) else value
