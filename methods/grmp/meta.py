"""Bi-level updates of §3.3 (Eq. 4–6) on any list of parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

import torch
from torch import Tensor, nn

B = TypeVar("B")
"""A batch: whatever `MetaLearner.step` takes."""
Inner = Literal["adam", "sgd"]


@dataclass(frozen=True)
class Visit(Generic[B]):
    """One task within an outer update."""

    corpus: str
    """The corpus that the task is of."""
    pairs: Iterable[tuple[B, B]]
    """Batches of support (Eq. 4) and query images (Eq. 5), by turns."""


def inner_optimiser(
    parameters: Sequence[nn.Parameter], kind: Inner, rate: float
) -> torch.optim.Optimizer:
    """Plain SGD, which is Eq. 4–5 as written, or Adam."""
    if kind == "sgd":
        return torch.optim.SGD(parameters, rate)
    return torch.optim.Adam(parameters, rate)


def snapshot(parameters: Iterable[Tensor]) -> list[Tensor]:
    """Copies of the parameters' values."""
    return [parameter.detach().clone() for parameter in parameters]


@torch.no_grad()
def restore(parameters: Iterable[Tensor], values: Iterable[Tensor]) -> None:
    """Put values back into parameters."""
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)


@torch.no_grad()
def moved(values: Iterable[Tensor], start: Iterable[Tensor]) -> float:
    """‖θ − θ₀‖ / ‖θ₀‖ with all tensors joined: how far training has come from its start."""
    distance = size = 0.0
    for value, first in zip(values, start, strict=True):
        distance += float((value.double() - first.double()).square().sum())
        size += float(first.double().square().sum())
    return (distance / size) ** 0.5 if size else 0.0


@dataclass
class MetaLearner(Generic[B]):
    """Meta-parameters θ beside the `parameters` θ' that inner steps move."""

    step: Callable[[B, torch.optim.Optimizer], float]
    """One step of an optimiser down Eq. 3 on a batch; the loss before it."""
    parameters: Sequence[nn.Parameter]
    new_optimiser: Callable[[], torch.optim.Optimizer]
    """A fresh inner optimiser of the parameters, at the rate α of Eq. 4–5."""
    outer_rate: float
    """β of Eq. 6."""
    reset: bool = True
    """Every task starts from θ, as Eq. 4 is written. False: θ' goes on from task to task and from
    update to update, as in the released code."""
    carried: frozenset[str] = frozenset()
    """Corpora whose tasks go on with the inner optimiser that is there, moments and step count
    included; every other task gets a new one."""
    theta: list[Tensor] = field(init=False)
    """The meta-parameters."""
    optimiser: torch.optim.Optimizer = field(init=False)
    """The inner optimiser of the last task."""

    def __post_init__(self) -> None:
        self.theta = snapshot(self.parameters)
        self.optimiser = self.new_optimiser()

    def update(self, visits: Sequence[Visit[B]]) -> list[list[tuple[float, float]]]:
        """One outer update; the losses before each pair of inner steps, task by task."""
        losses = []
        distances = [torch.zeros_like(value) for value in self.theta]
        for visit in visits:
            if self.reset:
                restore(self.parameters, self.theta)
            if visit.corpus not in self.carried:
                self.optimiser = self.new_optimiser()
            losses.append([self.adapt(support, query) for support, query in visit.pairs])
            for distance, value, inner in zip(distances, self.theta, self.parameters, strict=True):
                distance += value - inner.detach()
        for value, distance in zip(self.theta, distances, strict=True):
            value -= self.outer_rate * distance / len(visits)  # Eq. 6
        return losses

    def adapt(self, support: B, query: B) -> tuple[float, float]:
        """A step on support, one on query images; the loss before each."""
        # Eq. 5's gradient is taken at θ', where the released code takes it; ∇θ, as printed, would
        # be Eq. 4 once more on other images.
        first = self.step(support, self.optimiser)  # Eq. 4
        return first, self.step(query, self.optimiser)  # Eq. 5
