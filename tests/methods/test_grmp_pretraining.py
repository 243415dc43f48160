"""What a pre-training of GRMP-IQA visits, in which order and in which batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from bench.api import ArrayImages, Context, LabelledSet
from bench.methods.grmp import meta
from bench.methods.grmp.pretrain import InnerBatch, MetaTraining, Pretrainer, Whole
from bench.methods.grmp.settings import GrmpSettings
from bench.methods.grmp.tasks import MetaTask, tasks_of
from bench.methods.kit.views import CENTRE, Crop

IMAGE = np.zeros((4, 4, 3), np.uint8)


def corpus(name: str, types: int, references: int, levels: int = 5) -> LabelledSet:
    """Labels alone: nobody looks at the pixels."""
    rows = [(t, r, v) for t in range(types) for r in range(references) for v in range(levels)]
    return LabelledSet(
        dataset=name,
        images=ArrayImages([IMAGE] * len(rows)),
        scores=np.linspace(0, 1, len(rows)),
        references=tuple(f"I{r:02}" for _, r, _ in rows),
        distortions=tuple(f"{t + 1:02} kind" for t, _, _ in rows),
        levels=tuple(v for _, _, v in rows),
        scenes=(None,) * len(rows),
        sources=(name,) * len(rows),
    )


TID, KADID = corpus("tid2013", 24, 25), corpus("kadid10k", 25, 81)


@dataclass
class Visits:
    """Stands in for a model: remembers the batches and pulls one number up."""

    settings: GrmpSettings
    context: Context
    asked = Pretrainer.asked

    def __post_init__(self) -> None:
        self.parameters = [torch.nn.Parameter(torch.zeros(1))]
        self.seen: list[InnerBatch] = []

    def step(self, batch: InnerBatch, optimiser: torch.optim.Optimizer) -> float:
        self.seen.append(batch)
        self.parameters[0].grad = torch.ones(1)
        optimiser.step()
        return 0.0


def training(**settings: Any) -> tuple[MetaTraining, Visits]:
    trainer: Any = Visits(GrmpSettings(**settings), Context(seed=3))
    return MetaTraining(trainer), trainer


def sizes(batches: Sequence[InnerBatch]) -> list[int]:
    return [len(batch.labels) for batch in batches]


def visited(batches: Sequence[InnerBatch], tasks: Sequence[MetaTask]) -> list[tuple[str, str]]:
    """The task of every pair of steps, once a visit."""
    found = []
    for batch in batches[::2]:
        rows = {crop.index for crop in batch.crops}
        images = batch.crops[0].images
        task = next(t for t in tasks if t.images is images and rows <= set(t.rows.tolist()))
        found.append((task.corpus, task.distortion))
    return list(dict.fromkeys(found))


def test_an_official_epoch_has_the_steps_of_the_released_code() -> None:
    loop, trainer = training(recipe="official")
    tasks = tasks_of([TID, KADID], trainer.settings.types_per_corpus)
    losses = loop.epoch(0, tasks)
    assert len(losses) == 336
    tid, kadid = trainer.seen[: 24 * 4], trainer.seen[24 * 4 :]
    assert sizes(tid) == [75, 25, 25, 25] * 24
    assert sizes(kadid) == [75, 50, 75, 31, 75, 50, 75, 31, 24, 50] * 24
    order = visited(trainer.seen, tasks)
    assert [name for name, _ in order] == ["tid2013"] * 24 + ["kadid10k"] * 24
    assert ("kadid10k", "25 kind") not in order
    first = [kind for _, kind in order[:24]]
    assert first != sorted(first)
    trainer.seen.clear()
    loop.epoch(1, tasks)
    assert [kind for _, kind in visited(trainer.seen, tasks)[:24]] != first


def test_a_visit_divides_its_images_into_support_and_query() -> None:
    loop, trainer = training(recipe="official")
    task = tasks_of([KADID])[0]
    pairs = list(loop.pairs(task, 0, np.random.default_rng(0)))
    support = [crop.index for one, _ in pairs for crop in one.crops]
    query = [crop.index for _, one in pairs[:2] for crop in one.crops]
    assert sorted(support + query) == sorted(task.rows.tolist())
    assert [crop.index for crop in pairs[2][1].crops] == query[:50]  # round again
    for part in ([one.labels for one, _ in pairs], [one.labels for _, one in pairs[:2]]):
        labels = np.concatenate(part)
        assert labels.min() == 0
        assert labels.max() == 1  # each stretched by itself
    assert not trainer.seen


def test_by_reference_no_content_is_on_both_sides() -> None:
    loop, trainer = training(recipe="paper")
    task = tasks_of([KADID])[0]
    (support, query), *_ = loop.pairs(task, 0, np.random.default_rng(0))
    names = [{KADID.references[crop.index] for crop in one.crops} for one in (support, query)]
    assert not names[0] & names[1]
    assert trainer.settings.reset_inner


@pytest.mark.parametrize(
    ("recipe", "steps"), [("official", [8, 12, 10, 14]), ("paper", [4, 4, 10, 4])]
)
def test_whose_adam_goes_on(recipe: Any, steps: list[int]) -> None:
    """A TID task goes on with the Adam that is there, a KADID task makes a new one."""
    loop, trainer = training(recipe=recipe)
    tid, kadid = (tasks_of([one], 2) for one in (TID, KADID))
    made = []
    for epoch, tasks in enumerate((tid, tid[:1], kadid, tid[:1])):
        loop.epoch(epoch, tasks)
        made.append(int(loop.optimiser.state[trainer.parameters[0]]["step"]))
    assert made == steps


def test_a_query_step_sees_whole_images() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    pixels = Whole(ArrayImages([image]), 0, CENTRE, None).pixels(16)
    assert pixels.shape == (16, 16, 3)
    # Antialiased: means of about two by two, over the whole image.
    means = image.reshape(16, 2, 16, 2, 3).mean(axis=(1, 3))
    assert np.corrcoef(pixels.ravel(), means.ravel())[0, 1] > 0.9
    for view, kind in (("whole", Whole), ("centre", Crop)):
        loop, _ = training(query_view=view)
        pair = next(loop.pairs(tasks_of([TID])[0], 0, rng))
        assert [type(crop) for crop in (pair[0].crops[0], pair[1].crops[0])] == [Crop, kind]


def test_few_types_make_few_tasks() -> None:
    assert [task.distortion for task in tasks_of([TID], 2)] == ["01 kind", "02 kind"]
    assert len(tasks_of([TID, KADID])) == 49


def test_theta_follows_the_drifting_parameters() -> None:
    """With β = 1e-2 and no reset, 100 updates bring θ most of the way (1 - 0.99 ** 100)."""
    parameter = torch.nn.Parameter(torch.zeros(1))

    def step(target: float, optimiser: torch.optim.Optimizer) -> float:
        parameter.data[:] = target
        return 0.0

    learner = meta.MetaLearner(
        step, [parameter], lambda: torch.optim.SGD([parameter], 0.5), 0.01, False
    )
    for _ in range(100):
        learner.update([meta.Visit("a", [(1.0, 1.0)])])
    assert parameter.item() == pytest.approx(1)
    assert learner.theta[0].item() == pytest.approx(1 - 0.99**100)
