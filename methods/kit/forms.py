"""Frozen inference in the fastest form of a device that gives the same scores.

Tensor cores are slow in float32, and the matrix products that torch takes for it are slow on some
CPUs. The faster forms have to prove themselves: on the first images of a process they run beside
plain float32, and one is used from then on only if linear scores of its rows are the same within
`MOST` and in the same order (`LEAST`). Under `--compile` the forms of `torch.compile` are tried
too. The record notes which form it is and by how much it differs. Within such a bound the form
stays outside a run's identity; a method that allows other arithmetic with changed scores has a
setting for it (`precision`, `autocast`), which is part of the identity. Rows that are kept on disk
are kept by form (`image_features`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bench import backbones
from bench.api import Context, ran_out
from bench.methods.kit.graphs import Forward, Replayed

Pack = Callable[[Tensor], Forward]
Form = Literal["compiled bf16", "bf16", "compiled tf32", "tf32", "onednn", "compiled"]
FORMS: Mapping[str, tuple[Form, ...]] = {
    "cuda": ("compiled bf16", "bf16", "compiled tf32", "tf32"),
    "cpu": ("onednn", "compiled"),
}
"""Those of a kind of device, the fastest first; `onednn` is float32 with other products,
`compiled` float32 by `torch.compile`."""
COMPILED = "compiled"
"""How forms begin that `torch.compile` makes."""
PLAIN = "fp32"
"""The form that every other is compared with."""
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
    if form.endswith("bf16"):
        with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
            yield
        return
    if not form.endswith("tf32"):
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


def has_onednn(backbone: str) -> bool:
    """Whether oneDNN may compute a frozen backbone: a vision transformer of open_clip's own.

    The trial adds half of the time of its images, and equally many further images make up for it,
    for any size of the tower: oneDNN takes half of torch's time for `tiny` too.
    """
    try:
        backbones.resolve_vit(backbone)
    except backbones.UnknownBackboneError:
        return False
    return True


def candidates(context: Context, packable: bool) -> tuple[Form, ...]:
    """The forms that may prove themselves on a context's device; none under `--exact`.

    oneDNN needs a network that is `packable` (`has_onednn`); it is faster than a compiled one.
    """
    if context.exact:
        return ()
    forms = FORMS.get(torch.device(context.device).type, ())
    if packable and "onednn" in forms:
        return ("onednn",)
    compiled = context.compiled
    return tuple(f for f in forms if compiled or not f.startswith(COMPILED) if f != "onednn")


def spares(form: Form, error: Exception) -> bool:
    """Whether plain float32 may do what this form failed at.

    Packed weights lie in memory beside the network's own; any other form runs out of memory as
    plain float32 does.
    """
    return form == "onednn" or not (isinstance(error, MemoryError) or ran_out(error))


def fastest(proofs: Mapping[Form, Agreement]) -> Form | None:
    """The first form that gives the same scores; None for plain float32."""
    return next((form for form, found in proofs.items() if found.holds), None)


def told(proofs: Mapping[Form, Agreement], images: int) -> str:
    """The note of proofs in a record."""
    text = ", ".join(
        f"{form} {one.worst:.1e} and SRCC {one.srcc:.5f}" for form, one in proofs.items()
    )
    return (
        f"frozen network in {fastest(proofs) or PLAIN}; against {PLAIN} on {images} images, "
        f"largest difference of a score: {text or 'no other form could compute them'}"
    )


class Frozen:
    """A frozen network's forward pass, (B, …) to rows, in the fastest form that proves itself.

    Under `--exact` and `--deterministic`, and under the caller's own autocast, it is `Replayed` as
    it stands. `pack` makes the forward pass on oneDNN from a first batch, for a network whose
    weights never change; without it there is none.
    """

    def __init__(self, forward: Forward, context: Context, pack: Pack | None = None) -> None:
        self._replayed = Replayed(forward, context.cuda_graphs)
        self._forward = forward
        self._compiled: Replayed | None = None
        self._pack = pack
        self._packed: Forward | None = None
        self._context = context
        self._form: Form | None = None
        self._exact: list[Tensor] = []
        self._tried: dict[Form, list[Tensor]] = {
            f: [] for f in candidates(context, pack is not None)
        }
        """The results of the forms on trial; empty after the decision."""

    def __call__(self, batch: Tensor) -> Tensor:
        """The rows of a batch, float32, whichever way."""
        kind = batch.device.type
        if torch.is_grad_enabled() or torch.is_autocast_enabled(kind):
            return self._replayed(batch)
        if self._form is not None:
            return self._chosen(self._form, batch)
        rows = self._replayed(batch)
        if self._tried:
            self._try(batch, rows)
            if not self._tried or sum(map(len, self._exact)) >= IMAGES:
                self._decide()
        return rows

    def use(self, form: Form | None) -> None:
        """Use this form from now on; it was proved elsewhere."""
        self._form, self._exact, self._tried = form, [], {}

    def prove(self, batches: Iterable[Tensor], forms: Iterable[Form]) -> dict[Form, Agreement]:
        """How the rows of each form that can compute these images agree with plain float32."""
        self._exact, self._tried = [], {form: [] for form in forms}
        with torch.no_grad():
            for batch in batches:
                self._try(batch, self._replayed(batch))
        proofs = self._agreements()
        self.use(self._form)
        return proofs

    def _chosen(self, form: Form, batch: Tensor) -> Tensor:
        """Compute in a form whose proof may come from another machine, where packing may fail."""
        try:
            return self._in(form, batch)
        except (RuntimeError, MemoryError) as error:
            made_here = form == "onednn" or form.startswith(COMPILED)
            if not (made_here and spares(form, error)):
                raise
            self._packed = self._compiled = None
            self.use(None)
            self._context.note(f"frozen network in {PLAIN}, since {form} failed: {error}")
            return self._replayed(batch)

    def _in(self, form: Form, batch: Tensor) -> Tensor:
        if form != "onednn":
            forward = self._fused() if form.startswith(COMPILED) else self._replayed
            with arithmetic(form, batch.device):
                return forward(batch).float()
        if self._packed is None:
            assert self._pack is not None
            self._packed = self._pack(batch)
        return self._packed(batch)

    def _fused(self) -> Replayed:
        if self._compiled is None:
            # Batches differ in size, so a second size makes the compiler allow any.
            self._compiled = Replayed(torch.compile(self._forward), self._context.cuda_graphs)
        return self._compiled

    def _try(self, batch: Tensor, rows: Tensor) -> None:
        made: dict[Form, Tensor] = {}
        for form in list(self._tried):
            try:
                made[form] = self._in(form, batch)
            except (RuntimeError, MemoryError) as error:
                # A kernel that this device lacks, no compiler, a tower that cannot be packed, or
                # whose packed weights do not fit beside its own.
                if not spares(form, error):
                    raise
                del self._tried[form]
        self._exact.append(rows)
        for form, found in made.items():
            self._tried[form].append(found)

    def _agreements(self) -> dict[Form, Agreement]:
        exact = torch.cat(self._exact)
        return {form: agreement(exact, torch.cat(rows)) for form, rows in self._tried.items()}

    def _decide(self) -> None:
        proofs = self._agreements()
        self._context.note(told(proofs, sum(map(len, self._exact))))
        self.use(fastest(proofs))


def _srcc(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Of values without ties."""
    ranks = [values.argsort().argsort() for values in (one, other)]
    found: npt.NDArray[np.float64] = np.corrcoef(np.array(ranks))
    return float(found[0, 1])
