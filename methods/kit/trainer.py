"""One training loop for every method that learns by gradient.

A method defines a batch (a list of anything: indices, crops, groups), its mean loss, and the
rates. The loop does the rest: arithmetic, clipping, running out of memory, continuing after a kill.

>>> from bench.methods.kit import optimisers
>>> from bench.methods.kit.schedules import Schedule, cosine
>>> x, y = torch.randn(60, 3), torch.randn(60)
>>> line = nn.Linear(3, 1)
>>> def batches(epoch):  # the images of each step, as indices
...     order = np.random.default_rng(epoch).permutation(60).tolist()
...     return [order[at : at + 20] for at in range(0, 60, 20)]
>>> def loss(batch, at):  # the mean over a batch, or over a part of it
...     return (line(x[batch])[:, 0] - y[batch]).square().mean()
>>> schedule = Schedule(0.1, 5, cosine(5))
>>> optimiser = optimisers.build("adamw", line.named_parameters(), schedule.lr)
>>> trainer = Trainer(line, optimiser, schedule, batches, loss, Context())
>>> losses = [epoch.loss for epoch in trainer.run()]
>>> len(losses), losses[-1] < losses[0]
(5, True)
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from bench.api import BenchError, Context, Epoch, ran_out
from bench.methods.kit.resume import Checkpoint
from bench.methods.kit.schedules import Schedule
from bench.methods.kit.seeding import seeded

T = TypeVar("T")
Gradients = list[Tensor | None]
"""One for each trained parameter, in the order of `Trainer.parameters`; None: not reached."""
Combine = Callable[[list[Gradients]], tuple[Gradients, dict[str, float]]]
"""The gradients of all objectives over a whole batch -> the one to apply, and diagnostics."""


@dataclass(frozen=True)
class At:
    """The position of a batch, or a part of one, in the training. All count from 0."""

    epoch: int
    step: int
    """Within the epoch."""
    first: int = 0
    """Position in the batch of the part's first sample."""


@dataclass(frozen=True)
class Loss:
    """The results of a method on a batch. Values are means over its samples."""

    value: Tensor
    others: tuple[Tensor, ...] = ()
    """Further objectives; `combine` makes one gradient of theirs and the value's."""
    diagnostics: Mapping[str, float] = field(default_factory=dict)


class Trainer(Generic[T]):
    """Trains the parameters of a model that require gradients.

    `batches(epoch)` lists an epoch's batches, `loss(batch, at)` is the mean loss of one. Both have
    to be functions of their arguments and the context's seed; the global generators are seeded
    around every step, so that predictions between epochs have no effect on training.

    If memory runs out in a step, the step is repeated in parts of half the size, whose
    gradients are added with the weights of their samples: the same numbers but for rounding and
    dropout. A loss that compares a batch's answers with each other (a correlation) is no such mean:
    `compare` then is that loss, of answers (B,) and their batch, and `loss` gives the answers
    alone. Parts are then answered twice, first for all answers together, whose gradients the
    second time takes on. `splits=False` means that a batch cannot be split, for instance because
    of a batch norm; the error is then passed on.
    """

    def __init__(
        self,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        schedule: Schedule,
        batches: Callable[[int], Sequence[Sequence[T]]],
        loss: Callable[[Sequence[T], At], Loss | Tensor],
        context: Context,
        *,
        compare: Callable[[Tensor, Sequence[T]], Tensor] | None = None,
        weight: Callable[[Sequence[T]], float] = len,
        combine: Combine | None = None,
        clip: float | None = None,
        arithmetic: Callable[[], AbstractContextManager[Any]] = nullcontext,
        train_mode: Callable[[], object] | None = None,
        diagnose: Callable[[], Mapping[str, float]] = dict,
        splits: bool = True,
        name: str = "fit",
        identity: object = None,
    ) -> None:
        """`weight` counts the samples that a batch's mean is over, `clip` is the largest norm of
        the whole gradient, `arithmetic` an autocast around `loss`, `train_mode` what to do before
        each epoch (by default `model.train`; after it the model is in evaluation mode), `diagnose`
        gives more numbers of an epoch at its end. With an `identity` of what is trained
        (`resume.Checkpoint`) and a scratch folder, a killed training continues after its last whole
        epoch; `name` distinguishes several."""
        self.model, self.optimiser, self.schedule = model, optimiser, schedule
        self.batches, self.loss, self.context = batches, loss, context
        self.compare, self.weight, self.combine, self.clip = compare, weight, combine, clip
        self.arithmetic, self.train_mode = arithmetic, train_mode or model.train
        self.diagnose, self.splits, self.name = diagnose, splits, name
        if all(group["lr"] != schedule.lr for group in optimiser.param_groups):
            raise ValueError("the optimiser was not built with the schedule's base rate")
        self.parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.micro: int | None = None
        """Samples of a part, once memory has run out."""
        self.time = 0.0
        self._stepped = False
        self._checkpoint = None
        if identity is not None:
            self._checkpoint = Checkpoint(context, f"training-{name}", identity)

    def run(self) -> Generator[Epoch, float | None, None]:
        """Train, yielding after each epoch and reading the monitored score."""
        epoch = self._resume()
        self.time = float(epoch)
        rates = LambdaLR(self.optimiser, lambda _: self.schedule.factor(self.time))
        while not self.schedule.over(epoch):
            self.train_mode()
            means, rate = _Means(), self.schedule.rate(epoch)
            batches = self.batches(epoch)
            for number, batch in enumerate(batches):
                self.time = epoch + number / len(batches)
                if self._stepped:  # the first rate is set already
                    rates.step()
                means.add(*self.step(batch, At(epoch, number)))
            self.model.eval()
            self._save(epoch + 1)
            diagnostics = {**means.of_all(), "lr": rate, **self.diagnose()}
            loss = diagnostics.pop("loss", math.nan)
            score = yield Epoch(loss, diagnostics, self.schedule.epochs)
            self.schedule.tell(epoch, score)
            epoch += 1

    def step(self, batch: Sequence[T], at: At) -> tuple[float, dict[str, float]]:
        """One update at the present rate. The batch's weight, and means over it ('loss', ...)."""
        buffers = self._buffers()
        while True:
            try:
                gradients, means = self.gradients(batch, at)
                break
            except (RuntimeError, MemoryError) as error:
                largest = min(self.micro or len(batch), len(batch))
                if not ran_out(error) or not self.splits or largest <= 1:
                    raise
            # Outside the handler: the error's frames hold the tensors that are in the way.
            self._halve(largest)
            for buffer, value in buffers:
                buffer.copy_(value)
        if self.clip is not None:
            gradients = _clipped(gradients, self.clip)
        for parameter, gradient in zip(self.parameters.values(), gradients, strict=True):
            parameter.grad = gradient
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self._stepped = True
        return float(self.weight(batch)), means

    def gradients(self, batch: Sequence[T], at: At) -> tuple[Gradients, dict[str, float]]:
        """The gradient to apply on a batch, summed over its parts, and means over the batch."""
        total, means = self.weight(batch), _Means()
        sums: list[Gradients] = []
        size = self.micro or len(batch)
        parts = [(first, batch[first : first + size]) for first in range(0, len(batch), size)]
        if self.compare is not None and len(parts) > 1:
            return self._compared(batch, at, parts, self.compare)
        with seeded(self.context.seed_for(self.name, "step", at.epoch, at.step), self._device):
            for first, part in parts:
                with self.arithmetic():
                    found = self.loss(part, At(at.epoch, at.step, first))
                    if self.compare is not None:
                        found = self.compare(_answers(found), part)
                    found = found if isinstance(found, Loss) else Loss(found)
                weight = self.weight(part)
                _add(sums, self._backward(found), weight / total)
                means.add(weight, {"loss": _finite(found.value, at), **found.diagnostics})
        if self.combine is None:
            return sums[0], means.of_all()
        gradients, diagnostics = self.combine(sums)
        return gradients, {**means.of_all(), **diagnostics}

    def _compared(
        self,
        batch: Sequence[T],
        at: At,
        parts: Sequence[tuple[int, Sequence[T]]],
        compare: Callable[[Tensor, Sequence[T]], Tensor],
    ) -> tuple[Gradients, dict[str, float]]:
        """The gradient of a comparison of all answers, with the network's work for one part in
        memory at a time."""

        def answer(first: int, part: Sequence[T]) -> Tensor:
            seed = self.context.seed_for(self.name, "part", at.epoch, at.step, first)
            with seeded(seed, self._device), self.arithmetic():  # twice the same draws
                return _answers(self.loss(part, At(at.epoch, at.step, first)))

        with torch.no_grad():
            answers = torch.cat([answer(first, part) for first, part in parts])
        answers.requires_grad_()
        with self.arithmetic():
            value = compare(answers, batch)
        (slopes,) = torch.autograd.grad(value, answers)
        trained, sums = list(self.parameters.values()), list[Gradients]()
        for first, part in parts:
            slope = slopes[first : first + len(part)]
            found = torch.autograd.grad(answer(first, part), trained, slope, allow_unused=True)
            _add(sums, [list(found)], 1.0)
        return sums[0], {"loss": _finite(value, at)}

    @property
    def _device(self) -> str:
        return self.context.device

    def _backward(self, found: Loss) -> list[Gradients]:
        """The gradients of every objective, the value's first."""
        objectives = (found.value, *found.others)
        trained = list(self.parameters.values())
        return [
            list(torch.autograd.grad(each, trained, retain_graph=more, allow_unused=True))
            if each.requires_grad
            else [None] * len(trained)
            for each, more in zip(objectives, [True] * len(found.others) + [False], strict=True)
        ]

    def _buffers(self) -> list[tuple[Tensor, Tensor]]:
        """Tensors that a forward pass in training mode changes (batch norms), with their present
        values."""
        if not self.splits:
            return []
        training = [module for module in self.model.modules() if module.training]
        buffers = [buffer for module in training for buffer in module.buffers(recurse=False)]
        return [(buffer, buffer.clone()) for buffer in buffers]

    def _halve(self, largest: int) -> None:
        self.micro = -(-largest // 2)
        torch.cuda.empty_cache()
        self.context.say(f"out of memory: training goes on with {self.micro} samples at a time")

    # -- going on after a kill ---------------------------------------------------------------------

    def _save(self, epoch: int) -> None:
        if self._checkpoint is None:
            return
        self._checkpoint.write(
            {
                "epoch": epoch,
                "model": self._tensors(),
                "optimiser": self.optimiser.state_dict(),
                "schedule": self.schedule.state_dict(),
            }
        )

    def _resume(self) -> int:
        """The epoch to begin with."""
        found = self._checkpoint.read() if self._checkpoint else None
        if found is None:
            return 0
        with torch.no_grad():
            for name, value in self._tensors().items():
                value.copy_(found["model"][name])
        self.optimiser.load_state_dict(found["optimiser"])
        self.schedule.load_state_dict(found["schedule"])
        self.context.say(f"training goes on after epoch {found['epoch']}")
        return int(found["epoch"])

    def _tensors(self) -> dict[str, Tensor]:
        """All that training changes."""
        trained = {name: value.data for name, value in self.parameters.items()}
        return {**trained, **dict(self.model.named_buffers())}


class _Means:
    """Weighted means of named numbers, each over the batches that have it."""

    def __init__(self) -> None:
        self._found: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def add(self, weight: float, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._found[name].append((value, weight))

    def of_all(self) -> dict[str, float]:
        return {
            name: float(np.average(values, weights=weights))
            for name, found in self._found.items()
            for values, weights in [zip(*found, strict=True)]
        }


def _add(sums: list[Gradients], found: list[Gradients], share: float) -> None:
    """Add a part's gradients, weighted by its share of the batch, to the sums so far."""
    if not sums and share == 1:  # the whole batch in one part, as nearly always
        sums.extend(found)
        return
    shares = [[None if each is None else each * share for each in part] for part in found]
    if not sums:
        sums.extend(shares)
        return
    for kept, gradients in zip(sums, shares, strict=True):
        for place, gradient in enumerate(gradients):
            before = kept[place]
            if before is not None and gradient is not None:
                # Not in place: autograd may return one tensor for two parameters.
                kept[place] = before + gradient
            elif gradient is not None:
                kept[place] = gradient


def _answers(found: Loss | Tensor) -> Tensor:
    """The result of `loss` if there is a `compare`."""
    if isinstance(found, Loss):
        raise TypeError("with `compare`, `loss` gives answers and no Loss")
    return found


def _clipped(gradients: Gradients, largest: float) -> Gradients:
    """The gradients, scaled so that the norm of all of them together is `largest` at most."""
    norms = [torch.linalg.vector_norm(each) for each in gradients if each is not None]
    if not norms:
        return gradients
    # As torch's `clip_grad_norm_` has it, epsilon included.
    factor = (largest / (torch.linalg.vector_norm(torch.stack(norms)) + 1e-6)).clamp(max=1.0)
    return [None if each is None else each * factor for each in gradients]


def _finite(value: Tensor, at: At) -> float:
    number = float(value.detach())
    if not math.isfinite(number):
        raise BenchError(
            f"the training loss became {number} in epoch {at.epoch + 1}, step {at.step + 1}; a "
            "lower learning rate or more precise arithmetic may help"
        )
    return number
