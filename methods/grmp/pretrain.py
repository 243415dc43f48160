"""Meta-prompt pre-training (§3.3): epochs over distortion tasks, resumable."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

from bench.api import Context, Epoch, LabelledSet, Pixels
from bench.methods.grmp import meta
from bench.methods.grmp.pipeline import Pipeline
from bench.methods.grmp.prompt_settings import PretrainSettings
from bench.methods.grmp.qgr import quality_loss
from bench.methods.grmp.tasks import Indices, MetaTask, hold_out, tasks_of
from bench.methods.kit.resume import Checkpoint
from bench.methods.kit.schedules import Schedule
from bench.methods.kit.trainer import At, Loss, Trainer
from bench.methods.kit.views import CENTRE, Crop, draw


class InnerBatch(NamedTuple):
    """The batch of one inner step."""

    crops: Sequence[Crop]
    labels: npt.NDArray[np.float64]
    """(n,) in 0–1."""
    seed: int = 0
    """Tells the step's dropout from other steps'."""


@dataclass(frozen=True)
class Whole(Crop):
    """All of a square image, shrunk to the size of a crop."""

    def pixels(self, size: int) -> Pixels:
        """(size, size, 3) uint8."""
        image = Image.fromarray(self.images[self.index])
        return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


class Learner(Protocol):
    """The training of the parameters: by meta-learning, or on all images alike."""

    @property
    def optimiser(self) -> torch.optim.Optimizer: ...

    @property
    def theta(self) -> list[Tensor]: ...

    def epoch(self, number: int, tasks: Sequence[MetaTask]) -> list[float]:
        """One pass over the tasks; the loss before each step."""


@dataclass
class Pretrainer:
    """Trains `parameters` (the prompts) of a pipeline's model; ends with the chosen θ in them."""

    pipeline: Pipeline
    parameters: Sequence[nn.Parameter]
    settings: PretrainSettings
    context: Context
    best: tuple[float, list[Tensor]] | None = field(default=None, init=False)
    start: list[Tensor] = field(init=False)
    """θ₀, the random prompts."""

    def __post_init__(self) -> None:
        self.start = meta.snapshot(self.parameters)
        wanted = set(PretrainSettings.model_fields)
        identity = self.settings.model_dump(mode="json", include=wanted)
        self._kept = Checkpoint(self.context, "grmp-pretraining", identity)
        own, model = self.settings, self.pipeline.model
        self._trainer: Trainer[tuple[Crop, float]] = Trainer(
            model,
            meta.inner_optimiser(self.parameters, own.inner_optimiser, own.inner_lr),
            Schedule(own.inner_lr, 1),
            lambda epoch: [],  # which batches come is a learner's business
            self._loss,
            self.context,
            name="pretraining",
        )
        self._seed = 0

    def run(self, corpora: Sequence[LabelledSet]) -> Generator[Epoch, None, None]:
        """Train from scratch, or from the checkpoint that a killed process left."""
        tasks = tasks_of(corpora, self.settings.types_per_corpus)
        held: list[MetaTask] = []
        if self.settings.checkpoint == "held_out":
            tasks, held = hold_out(tasks, self.settings.held_out, self.context.rng("held_out"))
        learner: Learner = MetaTraining(self) if self.settings.meta else PlainTraining(self)
        for epoch in range(self._resume(learner), self.settings.meta_epochs):
            losses = learner.epoch(epoch, tasks)
            diagnostics = {"moved": meta.moved(learner.theta, self.start)}
            diagnostics |= self._judge(learner.theta, held)
            self._write(epoch + 1, learner)
            yield Epoch(float(np.mean(losses)), diagnostics, self.settings.meta_epochs)
        meta.restore(self.parameters, self.best[1] if self.best else learner.theta)

    def moved(self) -> float:
        """‖θ − θ₀‖ / ‖θ₀‖ of the parameters as they are."""
        return meta.moved(self.parameters, self.start)

    def step(self, batch: InnerBatch, optimiser: torch.optim.Optimizer) -> float:
        """One step down Eq. 3 on a batch, in parts where memory runs out; the loss before it."""
        self._trainer.optimiser, self._seed = optimiser, batch.seed
        samples = list(zip(batch.crops, batch.labels.tolist(), strict=True))
        return self._trainer.step(samples, At(0, 0))[1]["loss"]

    def _loss(self, samples: Sequence[tuple[Crop, float]], at: At) -> Loss:
        crops, labels = zip(*samples, strict=True)
        rate, generator = self.settings.pretrain_dropout, None
        if rate:
            generator = torch.Generator().manual_seed(
                self.context.seed_for("dropout", self._seed, at.first)
            )
        features = self.pipeline.image_features(crops, rate, generator)
        logits = self.pipeline.model.logits(features, self.pipeline.quality_texts())
        return Loss(quality_loss(logits, torch.tensor(labels).to(logits)))

    def asked(self, task: MetaTask, places: Sequence[int] | Indices) -> list[Crop]:
        """The batch of a query step."""
        kind = Whole if self.settings.query_view == "whole" else Crop
        return [kind(task.images, int(task.rows[place]), CENTRE, None) for place in places]

    def _judge(self, theta: list[Tensor], held: Sequence[MetaTask]) -> dict[str, float]:
        """Mean SRCC over the held-out part of the tasks at θ; remembers the best θ."""
        if not held:
            return {}
        inner = meta.snapshot(self.parameters)
        meta.restore(self.parameters, theta)
        value = float(np.mean([self._srcc(task) for task in held]))
        meta.restore(self.parameters, inner)
        if self.best is None or value > self.best[0]:
            self.best = (value, meta.snapshot(theta))
        return {"held_out_srcc": value}

    @torch.no_grad()
    def _srcc(self, task: MetaTask) -> float:
        from scipy.stats import spearmanr

        features = self.pipeline.image_features(self.asked(task, range(len(task))))
        logits = self.pipeline.model.logits(features, self.pipeline.quality_texts())
        scores = logits.softmax(dim=-1)[:, 0].cpu().numpy()
        if not np.ptp(scores) or not np.ptp(task.scores):
            return 0.0
        return float(spearmanr(scores, task.scores).statistic)

    def _write(self, epoch: int, learner: Learner) -> None:
        self._kept.write(
            {
                "epoch": epoch,
                "theta": list(learner.theta),
                "inner": meta.snapshot(self.parameters),
                "optimiser": learner.optimiser.state_dict(),
                "best": self.best,
            }
        )

    def _resume(self, learner: Learner) -> int:
        """The epoch to begin with."""
        found = self._kept.read()
        if found is None:
            return 0
        self.best = found["best"]
        meta.restore(learner.theta, found["theta"])
        meta.restore(self.parameters, found["inner"])
        learner.optimiser.load_state_dict(found["optimiser"])
        self.context.say(f"pre-training goes on after epoch {found['epoch']}")
        return int(found["epoch"])


class MetaTraining:
    """Epochs of outer updates (Eq. 6) over mini-batches of tasks."""

    def __init__(self, trainer: Pretrainer) -> None:
        own = trainer.settings
        self.trainer, self.context, self.settings = trainer, trainer.context, own
        self.learner = meta.MetaLearner(
            trainer.step,
            trainer.parameters,
            partial(meta.inner_optimiser, trainer.parameters, own.inner_optimiser, own.inner_lr),
            own.outer_lr,
            own.reset_inner,
            frozenset(own.corpora[:1] if own.inner_state == "carried" else ()),
        )

    @property
    def theta(self) -> list[Tensor]:
        """The meta-parameters."""
        return self.learner.theta

    @property
    def optimiser(self) -> torch.optim.Optimizer:
        """The last task's, which the next one may go on with."""
        return self.learner.optimiser

    def epoch(self, number: int, tasks: Sequence[MetaTask]) -> list[float]:
        """Visit every task once, in an order drawn anew; the losses of all inner steps."""
        rng = self.context.rng("tasks", number)
        losses: list[float] = []
        for group in self._groups(tasks, rng):
            visits = [meta.Visit(task.corpus, self.pairs(task, number, rng)) for task in group]
            losses += [one for task in self.learner.update(visits) for pair in task for one in pair]
        return losses

    def _groups(self, tasks: Sequence[MetaTask], rng: np.random.Generator) -> list[list[MetaTask]]:
        order = [tasks[i] for i in rng.permutation(len(tasks))]
        size = self.settings.tasks_per_update
        if size is None:
            names = dict.fromkeys(task.corpus for task in tasks)
            return [[task for task in order if task.corpus == name] for name in names]
        return [order[i : i + size] for i in range(0, len(order), size)]

    def pairs(
        self, task: MetaTask, epoch: int, rng: np.random.Generator
    ) -> Iterator[tuple[InnerBatch, InnerBatch]]:
        """Support and query batches of one visit: full ones and a rest, those of which there are
        fewer (the query's, mostly) come round again."""
        own = self.settings
        parts = task.split(own.query_fraction, own.query_by == "reference", rng)
        support, query = (part.labelled(own.task_labels == "rescaled") for part in parts)
        supports = _chunks(rng.permutation(len(support)), own.support_batch)
        queries = _chunks(rng.permutation(len(query)), own.query_batch)
        for step in range(own.inner_steps or len(supports)):
            seeds = [
                self.context.seed_for("dropout", epoch, task.corpus, task.distortion, step, side)
                for side in ("support", "query")
            ]
            learnt, asked = supports[step % len(supports)], queries[step % len(queries)]
            yield (
                InnerBatch(crops_of(support, learnt, rng), support.scores[learnt], seeds[0]),
                InnerBatch(self.trainer.asked(query, asked), query.scores[asked], seeds[1]),
            )


class PlainTraining:
    """Empirical risk minimisation: all images of all corpora alike, one Adam throughout."""

    def __init__(self, trainer: Pretrainer) -> None:
        self.trainer = trainer
        self.optimiser: torch.optim.Optimizer = torch.optim.Adam(
            trainer.parameters, trainer.settings.inner_lr
        )

    @property
    def theta(self) -> list[Tensor]:
        """The parameters themselves."""
        return meta.snapshot(self.trainer.parameters)

    def epoch(self, number: int, tasks: Sequence[MetaTask]) -> list[float]:
        """One pass over all images; the loss of every step."""
        own, context = self.trainer.settings, self.trainer.context
        rng = context.rng("images", number)
        pool = [task.labelled(own.task_labels == "rescaled") for task in tasks]
        places = [(task, place) for task in pool for place in range(len(task))]
        losses: list[float] = []
        for chunk in _chunks(rng.permutation(len(places)), own.support_batch):
            drawn = [places[i] for i in chunk]
            batch = InnerBatch(
                [crops_of(task, [place], rng)[0] for task, place in drawn],
                np.array([task.scores[place] for task, place in drawn]),
                context.seed_for("dropout", number, len(losses)),
            )
            losses.append(self.trainer.step(batch, self.optimiser))
        return losses


def crops_of(
    task: MetaTask, places: Sequence[int] | Indices, rng: np.random.Generator
) -> list[Crop]:
    """Random crops of some of a task's images."""
    return [Crop(task.images, int(task.rows[place]), draw(rng), None) for place in places]


def _chunks(order: Indices, size: int) -> list[Indices]:
    return [order[i : i + size] for i in range(0, len(order), size)]
