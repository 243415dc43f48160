"""Learning rates over a training, as factors of the base rate; `torch`'s `LambdaLR` applies them.

A factor is a function of time in epochs (2.5: half of the third epoch is done). A rate that is set
once an epoch sees whole numbers only.

>>> schedule = Schedule(0.1, 6, warmed_up(cosine(4), 2))
>>> [round(schedule.rate(epoch), 4) for epoch in range(6)]
[0.0, 0.05, 0.1, 0.0854, 0.05, 0.0146]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

Factor = Callable[[float], float]
"""Time in epochs -> factor of the base rate."""
Per = Literal["epoch", "step"]


def constant(time: float) -> float:
    """The base rate throughout."""
    return 1.0


def cosine(period: float, final: float = 0.0) -> Factor:
    """From the base rate down to `final` of it within `period` epochs, and no lower."""
    return lambda time: _cosine(min(time / period, 1.0), final)


def restarts(period: float, final: float = 0.0) -> Factor:
    """Down a cosine, back at the base rate after every `period` epochs (SGDR without growth)."""
    return lambda time: _cosine((time % period) / period, final)


def waves(period: float, final: float = 0.0) -> Factor:
    """Down a cosine for `period` epochs and up it again: torch's `CosineAnnealingLR` run on."""
    return lambda time: _cosine(time / period, final)


def steps(decay: float, every: float) -> Factor:
    """Times `decay` after every `every` epochs."""
    return lambda time: float(decay ** (time // every))


def _cosine(phase: float, final: float) -> float:
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * phase))


def warmed_up(then: Factor, epochs: float, start: float = 0.0) -> Factor:
    """A linear rise from `start` to the base rate over `epochs`; `then` counts from its end.

    The base rate is reached at time `epochs`, for any decay. A constant low rate for
    one epoch (CoOp) is a rise of one epoch whose rate is set once an epoch.
    """

    def factor(time: float) -> float:
        return start + (1 - start) * time / epochs if time < epochs else then(time - epochs)

    return factor


class ByGradient(Protocol):
    """A method that learns by gradient declares its rates.

    A test asks every such method, under each of its recipes, whether its base rate is reached.
    """

    def schedules(self, images: int) -> Mapping[str, Schedule]:
        """The schedule of each stage of a training on `images` images, by the stage's name."""


class Schedule:
    """The rate at each moment of a training, and the end of the training."""

    def __init__(
        self, lr: float, epochs: int, factor: Factor = constant, per: Per = "epoch"
    ) -> None:
        """`lr` is the base rate, `epochs` how many there are at most; `per` says whether the
        rate is set once an epoch or before every step."""
        self.lr = lr
        self.epochs = epochs
        self.per = per
        self._factor = factor

    def factor(self, time: float) -> float:
        """The factor of the base rate at a time in epochs."""
        return self._factor(float(math.floor(time)) if self.per == "epoch" else time)

    def rate(self, time: float) -> float:
        """The learning rate at a time in epochs."""
        return self.lr * self.factor(time)

    def over(self, epoch: int) -> bool:
        """Whether training ends before epoch `epoch` (from 0)."""
        return epoch >= self.epochs

    def tell(self, epoch: int, score: float | None) -> None:
        """The monitored score after epoch `epoch`, None if there is none."""

    def state_dict(self) -> dict[str, Any]:
        """The state of a resumed training beside the epoch."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""


class Plateau(Schedule):
    """The base rate, times `decay` after `patience` scores in a row without a new best.

    The first `free` epochs never end in a decay. Training ends when the rate is below `least`.
    Before the first score it is the schedule `unscored`.
    """

    def __init__(
        self,
        lr: float,
        epochs: int,
        decay: float,
        patience: int,
        least: float,
        unscored: Schedule,
        free: int = 0,
    ) -> None:
        super().__init__(lr, epochs)
        self.decay, self.patience, self.least, self.free = decay, patience, least, free
        self.unscored = unscored
        self._now = 1.0
        self._best = -math.inf
        self._waiting = 0

    @property
    def scored(self) -> bool:
        """Whether there has been a score."""
        return self._best > -math.inf

    def factor(self, time: float) -> float:
        """The factor after the scores so far, the same for all later times."""
        return self._now if self.scored else self.unscored.factor(time)

    def over(self, epoch: int) -> bool:
        """Whether epochs or rate have run out."""
        if not self.scored and self.unscored.over(epoch):
            return True
        return epoch >= self.epochs or self.lr * self._now < self.least

    def tell(self, epoch: int, score: float | None) -> None:
        """Count a score that is no new best; decay after enough of them."""
        if score is None:
            return
        if score > self._best:
            self._best, self._waiting = score, 0
            return
        self._waiting += 1
        if self._waiting >= self.patience and epoch >= self.free:
            self._now *= self.decay
            self._waiting = 0

    def state_dict(self) -> dict[str, Any]:
        """Factor, best score and how many have come since."""
        return {"factor": self._now, "best": self._best, "waiting": self._waiting}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self._now, self._best = state["factor"], state["best"]
        self._waiting = state["waiting"]
