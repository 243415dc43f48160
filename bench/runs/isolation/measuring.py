"""The cost of one method, measured in its own process, which holds nothing else."""

from __future__ import annotations

import contextlib
import gc
import math
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bench.api import ArrayImages, Images, Method, computed_anew
from bench.model.costs import Measured

BATCH = 8
"""Images that are timed together."""
LONG = 2.0
"""Seconds; if the first image takes longer, no batch is timed."""


class TrainedParameters:
    """The parameters that optimisers update."""

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}
        self._kept: list[Any] = []  # alive, so that no other tensor gets the same id

    def watch(self) -> None:
        """Note the parameters of every optimiser that makes a step from now on."""
        if "torch" in sys.modules:
            from torch.optim.optimizer import register_optimizer_step_post_hook

            register_optimizer_step_post_hook(self._note)

    def _note(self, optimiser: Any, arguments: Any, named: Any) -> None:
        for group in optimiser.param_groups:
            for tensor in group["params"]:
                if id(tensor) not in self._sizes and tensor.grad is not None:
                    self._sizes[id(tensor)] = tensor.numel()
                    self._kept.append(tensor)

    def __int__(self) -> int:
        return sum(self._sizes.values())


def measure(method: Method, images: Images, trained: TrainedParameters) -> Measured:
    """Parameters, multiply-adds and time of a method that can predict, on images never seen.

    The images are negatives of the given ones, so that no cache holds results for them.
    """
    tokens = method.tokens_per_image()
    if tokens is not None or "torch" not in sys.modules:
        return Measured(tokens=tokens)
    places = range(min(len(images), BATCH + 1))
    shown = ArrayImages([255 - np.asarray(images[place]) for place in places])
    height, width = shown[0].shape[:2]
    with _nothing_kept(method):
        start = time.perf_counter()
        operations = _operations(method, shown.subset([0]))
        first = time.perf_counter() - start
        rest = list(places)[1:] if first < LONG else []
        batch, seconds = (len(rest), _seconds(method, shown.subset(rest))) if rest else (1, first)
    parameters, own = _parameters(), method.own_parameters()
    return Measured(
        parameters=parameters + own or None,
        trained_parameters=int(trained) + own if parameters + own else None,
        multiply_adds=operations // 2 or None,
        height=height,
        width=width,
        batch=batch,
        milliseconds=1000 * seconds / batch,
    )


@contextlib.contextmanager
def _nothing_kept(method: Method) -> Iterator[None]:
    kept = method.context.features
    method.context.features = computed_anew
    try:
        yield
    finally:
        method.context.features = kept


def _operations(method: Method, one: Images) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False, custom_mapping=_uncounted()) as counter:
        method.predict(one)
    return int(counter.get_total_flops())


def _uncounted() -> dict[Any, Any]:
    """Operators of frozen networks on a CPU that torch's counter knows nothing of."""
    import torch

    attention = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
    linear = getattr(torch.ops.mkldnn, "_linear_pointwise", None)  # where torch has oneDNN
    known = {attention: _of_attention, linear: _of_linear}
    return {operator: formula for operator, formula in known.items() if operator is not None}


def _of_linear(x: Sequence[int], *others: Any, out_shape: Sequence[int], **named: Any) -> int:
    """Operations of a linear layer on inputs (…, d), two for each multiply-add."""
    return 2 * math.prod(x) * out_shape[-1]


def _of_attention(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], *others: Any, **named: Any
) -> int:
    """Operations of Q K' and of its product with V, each (B, heads, T, d)."""
    return 2 * math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _seconds(method: Method, images: Images) -> float:
    start = time.perf_counter()
    method.predict(images)
    return time.perf_counter() - start


def _parameters() -> int:
    """Elements of all parameters of all live networks, shared memory counted once."""
    import torch

    found: dict[int, int] = {}
    for item in gc.get_objects():
        # Not `isinstance`, which asks lazy modules for a class, and they import it.
        if issubclass(type(item), torch.nn.Parameter):
            found[item.data_ptr() or id(item)] = item.numel()
    return sum(found.values())
