"""Bi-level updates of §3.3 (Eq. 4–6) on any list of parameters.

A task is a sequence of pairs of losses, one on support and one on query images, each a function
that computes the loss at the parameters' present values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

Loss = Callable[[], Tensor]
Steps = Iterable[tuple[Loss, Loss]]
Inner = Literal["adam", "sgd"]


def inner_optimiser(
    parameters: Sequence[nn.Parameter], kind: Inner, rate: float
) -> torch.optim.Optimizer:
    """Plain SGD, which is Eq. 4–5 as written, or Adam."""
    if kind == "sgd":
        return torch.optim.SGD(parameters, rate)
    return torch.optim.Adam(parameters, rate)


def descend(
    loss: Loss, parameters: Sequence[nn.Parameter], optimiser: torch.optim.Optimizer
) -> float:
    """One step on one loss; returns the loss before it."""
    value = loss()
    gradients = torch.autograd.grad(value, parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return float(value.detach())


def snapshot(parameters: Iterable[Tensor]) -> list[Tensor]:
    """Copies of the parameters' values."""
    return [parameter.detach().clone() for parameter in parameters]


@torch.no_grad()
def restore(parameters: Iterable[Tensor], values: Iterable[Tensor]) -> None:
    """Put values back into parameters."""
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)


class MetaLearner:
    """Meta-parameters θ beside the parameters that inner steps move.

    `theta` are the meta-parameters. With `reset` every task starts from θ; without it the inner
    parameters go on from where the last task left them, as in the released code.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        inner: Inner,
        inner_rate: float,
        outer_rate: float,
        reset: bool = True,
    ) -> None:
        self.parameters = list(parameters)
        self.theta = snapshot(parameters)
        self.inner = inner
        self.inner_rate = inner_rate
        self.outer_rate = outer_rate
        self.reset = reset

    def update(self, tasks: Sequence[Steps]) -> list[float]:
        """One outer update from a mini-batch of tasks; the losses of all inner steps."""
        losses: list[float] = []
        moved = [torch.zeros_like(value) for value in self.theta]
        for steps in tasks:
            if self.reset:
                restore(self.parameters, self.theta)
            losses += self.adapt(steps)
            for total, value, parameter in zip(moved, self.theta, self.parameters, strict=True):
                total += value - parameter.detach()
        for value, total in zip(self.theta, moved, strict=True):  # Eq. 6
            value -= self.outer_rate * total / len(tasks)
        return losses

    def adapt(self, steps: Steps) -> list[float]:
        """Eq. 4 on support, then Eq. 5 on query, for every pair, with a fresh optimiser."""
        optimiser = inner_optimiser(self.parameters, self.inner, self.inner_rate)
        return [descend(loss, self.parameters, optimiser) for pair in steps for loss in pair]
