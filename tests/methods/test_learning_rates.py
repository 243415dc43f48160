"""Every recipe of every method that learns by gradient: the base rate is reached, and each epoch's
rate is the one that the recipe's formula gives, worked out here a second time."""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from bench import registry
from bench.api import Context, Method
from bench.methods.pyiqa_trained.networks import ARCHITECTURES

NOT_BY_GRADIENT = frozenset({"label_mean", "ridge", "svr", "knn"})
"""Methods whose `fit` has a closed form or a solver of its own."""
IMAGES = 930
"""LIVEC's training side, for methods that count their training in updates."""
PARTS = 8
"""Moments of an epoch at which a rate that changes by the step is compared."""


@dataclass(frozen=True)
class Formula:
    """A recipe's rates as its paper or code writes them; times are in epochs."""

    lr: float
    epochs: int
    kind: str = "constant"
    period: float = 1.0
    final: float = 0.0
    """Of the cosine, as a rate."""
    decay: float = 1.0
    warmup: float = 0.0
    start: float = 0.0
    """Of the warm-up, as a rate."""

    def rate(self, time: float) -> float:
        """At a time, warm-up included."""
        if time < self.warmup:
            return self.start + (self.lr - self.start) * time / self.warmup
        since = time - self.warmup
        if self.kind == "constant":
            return self.lr
        if self.kind == "step":
            return self.lr * math.prod([self.decay] * int(since // self.period))
        if self.kind == "cosine_restarts":
            since = math.fmod(since, self.period)
        # 'cosine' ends with its first half-wave, 'waves' go on.
        wave = (1 + math.cos(math.pi * since / self.period)) / 2
        return self.final + (self.lr - self.final) * wave


def _grmp(own: Any, stage: str) -> Formula:
    if own.schedule == "plateau":  # as long as it has not been told a score
        epochs = min(own.epochs, own.unscored_epochs)
        return Formula(own.lr, epochs, "cosine", epochs)
    period = own.decay_epochs if own.schedule == "step" else own.epochs
    return Formula(
        own.lr,
        own.epochs,
        own.schedule,
        period,
        decay=own.decay,
        warmup=own.warmup_epochs,
        start=own.warmup_lr,
    )


def _promptiqa(own: Any, stage: str) -> Formula:
    epochs, lr = {
        "pretrain": (own.epochs, own.lr),
        "pretrain-fusion": (own.fusion_epochs, own.fusion_lr),
        "finetune": (own.finetune_epochs, own.finetune_lr),
    }[stage]
    period = epochs if own.schedule == "cosine" else own.schedule_period
    return Formula(lr, epochs, own.schedule, period)


def _coop(own: Any, stage: str) -> Formula:
    return Formula(
        own.lr,
        own.epochs,
        "cosine",
        own.epochs - own.warmup_epochs,
        own.final_lr,
        warmup=own.warmup_epochs,
        start=own.warmup_lr,
    )


def _mpiqe(own: Any, stage: str) -> Formula:
    return Formula(
        own.lr,
        own.epochs,
        "cosine",
        own.epochs - own.warmup_epochs,
        own.final_lr,
        warmup=own.warmup_epochs,
        start=own.warmup_start * own.lr,
    )


def _linear_probe(own: Any, stage: str) -> Formula:
    return Formula(own.lr, own.epochs, "cosine", own.epochs)


def _regression(own: Any, stage: str) -> Formula:
    a_pass = math.ceil(IMAGES * own.crops / own.batch_size)
    if stage == "first":
        return Formula(own.first_lr, round(own.first_steps / a_pass))
    epochs = own.epochs if own.steps is None else round(own.steps / a_pass)
    period = {
        "cosine": epochs - own.warmup_epochs,
        "step": own.decay_epochs,
        "waves": own.wave_steps / a_pass,
        "constant": 1,
    }[own.schedule]
    return Formula(
        own.lr,
        epochs,
        own.schedule,
        period,
        decay=own.decay,
        warmup=own.warmup_epochs,
        start=own.warmup_share * own.lr,
    )


FORMULAS: dict[str, Callable[[Any, str], Formula]] = {
    "grmp": _grmp,
    "promptiqa": _promptiqa,
    "coop": _coop,
    "clipiqa_plus": _coop,
    "mpiqe": _mpiqe,
    "linear_probe": _linear_probe,
    "deiqt": _regression,
    "finetune": _regression,
    "pyiqa_trained": _regression,
}
"""A method's settings and the name of a stage -> its formula."""


def learners() -> list[str]:
    """The project's own methods that learn by gradient."""
    found = []
    for name, entry in registry.entries().items():
        if entry.stands_for or not entry.module.startswith("bench.methods."):
            continue
        cls = registry.load(name)
        learns = cls.learns() or cls.pretrain is not Method.pretrain
        if learns and name not in NOT_BY_GRADIENT:
            found.append(name)
    return found


def recipes(name: str) -> Iterator[dict[str, Any]]:
    """The settings that choose each recipe of a method."""
    fields = registry.load(name).Settings.model_fields
    named: list[dict[str, Any]] = [{}]
    if name == "pyiqa_trained":
        named = [{"arch": arch} for arch in ARCHITECTURES]
    elif "recipe" in fields:
        named = [{"recipe": each} for each in typing.get_args(fields["recipe"].annotation)]
    yield from named
    if "backbone" in fields:  # recipes have other sizes there
        yield from ({"backbone": "tiny", **each} for each in named)


def cases() -> list[Any]:
    found = []
    for name in learners():
        found += [
            pytest.param(name, given, id="-".join([name, *map(str, given.values())]))
            for given in recipes(name)
        ]
    return found


@pytest.mark.parametrize(("name", "given"), cases())
def test_a_recipes_rates_are_its_formulas_and_reach_the_base_rate(
    name: str, given: dict[str, Any]
) -> None:
    cls, settings = registry.settings_for(name, given)
    method: Any = cls(settings, Context())
    schedules = method.schedules(IMAGES)
    assert schedules
    for stage, schedule in schedules.items():
        formula = FORMULAS[name](settings, stage)
        assert (schedule.lr, schedule.over(formula.epochs)) == (formula.lr, True)
        assert not schedule.over(formula.epochs - 1)
        moments = [part / PARTS for part in range(formula.epochs * PARTS)]
        found = [schedule.rate(time) for time in moments]
        expected = [
            formula.rate(math.floor(time) if schedule.per == "epoch" else time) for time in moments
        ]
        assert found == pytest.approx(expected, rel=1e-9, abs=formula.lr * 1e-12)
        assert max(found) == formula.lr


def test_no_learner_is_forgotten() -> None:
    assert {"grmp", "promptiqa", "mpiqe", "coop", "deiqt", "pyiqa_trained"} <= set(learners())
