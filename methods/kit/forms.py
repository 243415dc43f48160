"""Frozen inference in the fastest arithmetic of a GPU that gives the same scores.

Tensor cores are slow in float32. The faster forms have to prove themselves: on the first images of
a process they run beside float32, and one is used from then on only if linear scores of its rows
are those of float32 within `MOST` and in the same order (`LEAST`). The record notes which form it
is and by how much it differs. Within such a bound the form stays outside a run's identity; a method
that wants another arithmetic whatever it changes has a setting for it (`precision`, `autocast`),
which is part of the identity.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bench.api import Context, ran_out
from bench.methods.kit.graphs import Replayed

Form = Literal["bf16", "tf32"]
FORMS: tuple[Form, ...] = ("bf16", "tf32")
"""The fastest first."""
IMAGES = 64
"""How many images a form is tried on; a process that sees fewer stays with float32."""
HEADS = 16
"""Random linear scores that are compared."""
MOST = 1e-3
"""Largest difference of a score, as a share of the range of scores."""
LEAST = 0.9999
"""Smallest SRCC of scores: three pairs of neighbours among 64 images may not change places."""


@dataclass(frozen=True)
class Agreement:
    """How two computations of the same rows differ as scores."""

    worst: float
    """Largest difference, as a share of the range."""
    srcc: float
    """Smallest SRCC."""

    @property
    def holds(self) -> bool:
        """Whether a reader of the scores could not tell the two apart."""
        return self.worst <= MOST and self.srcc > LEAST


def agreement(exact: Tensor, other: Tensor) -> Agreement:
    """Compare rows (n, d), or scores (n,), by `HEADS` fixed linear scores of them."""
    rows, others = (
        part.detach().double().cpu().reshape(len(part), -1).numpy() for part in (exact, other)
    )
    heads = np.random.default_rng(0).normal(size=(rows.shape[1], HEADS))
    centre = rows.mean(axis=0)
    left, right = (rows - centre) @ heads, (others - centre) @ heads
    spread = np.maximum(np.ptp(left, axis=0), np.finfo(np.float64).tiny)
    worst = float(np.max(np.abs(left - right) / spread))
    pairs = zip(left.T, right.T, strict=True)
    return Agreement(worst, min(_srcc(*pair) for pair in pairs))


@contextlib.contextmanager
def arithmetic(form: Form, device: str | torch.device) -> Iterator[None]:
    """Matrix products and convolutions in this form; norms and softmax stay in float32."""
    if form == "bf16":
        with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
            yield
        return
    flags: tuple[Any, Any] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [flag.allow_tf32 for flag in flags]
    for flag in flags:
        flag.allow_tf32 = True
    try:
        yield
    finally:
        for flag, value in zip(flags, before, strict=True):
            flag.allow_tf32 = value


class Frozen:
    """A frozen network's forward pass, (B, …) to rows, in the fastest form that proves itself.

    On a CPU, under `--exact` and `--deterministic`, and under the caller's own autocast it is
    `Replayed` as it stands.
    """

    def __init__(self, forward: Callable[[Tensor], Tensor], context: Context) -> None:
        self._replayed = Replayed(forward, context.cuda_graphs)
        self._context = context
        self._form: Form | None = None
        self._exact: list[Tensor] = []
        self._tried: dict[Form, list[Tensor]] = {} if context.exact else {f: [] for f in FORMS}
        """What the forms that are still on trial gave; none are once it is decided."""

    def __call__(self, batch: Tensor) -> Tensor:
        """The rows of a batch, float32, whichever way."""
        chosen = torch.is_grad_enabled() or torch.is_autocast_enabled("cuda")
        if chosen or batch.device.type != "cuda":
            return self._replayed(batch)
        if self._form is not None:
            with arithmetic(self._form, batch.device):
                return self._replayed(batch).float()
        rows = self._replayed(batch)
        if self._tried:
            self._try(batch, rows)
        return rows

    def _try(self, batch: Tensor, rows: Tensor) -> None:
        made: dict[Form, Tensor] = {}
        for form in list(self._tried):
            try:
                with arithmetic(form, batch.device):
                    made[form] = self._replayed(batch).float()
            except RuntimeError as error:  # a kernel that this device lacks
                if ran_out(error):
                    raise
                del self._tried[form]
        self._exact.append(rows)
        for form, found in made.items():
            self._tried[form].append(found)
        if sum(map(len, self._exact)) >= IMAGES:
            self._decide()

    def _decide(self) -> None:
        exact = torch.cat(self._exact)
        seen = [(form, agreement(exact, torch.cat(rows))) for form, rows in self._tried.items()]
        self._form = next((form for form, found in seen if found.holds), None)
        text = ", ".join(f"{form} {one.worst:.1e} and SRCC {one.srcc:.5f}" for form, one in seen)
        self._context.note(
            f"frozen network in {self._form or 'fp32'}; against fp32 on {len(exact)} images, "
            f"largest difference of a score: {text}"
        )
        self._exact, self._tried = [], {}


def _srcc(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Of values without ties."""
    ranks = [values.argsort().argsort() for values in (one, other)]
    found: npt.NDArray[np.float64] = np.corrcoef(np.array(ranks))
    return float(found[0, 1])
