"""Handling of exhausted memory: smaller batches in inference, advice on settings in training."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from bench.util.errors import ran_out

if TYPE_CHECKING:
    from bench.api import Method

T = TypeVar("T")


def retry_smaller_batch(method: Method, infer: Callable[[], T]) -> T:
    """The result of `infer`, repeated with half the inference batch each time memory runs out.

    Raises the error itself once a batch is a single image.
    """
    while True:
        try:
            return infer()
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error) or method.context.batch_size <= 1:
                raise
        # Outside the handler, since the error's frames keep the large tensors alive.
        _halve(method)


def advice(method: type[Method]) -> str:
    """Advice on a run that did not fit into memory, in one line."""
    fields = method.Settings.model_fields.items()
    sizes = [f"--set {method.name}.{name}=…" for name, field in fields if _is_batch(name, field)]
    smaller = f"a smaller batch ({', '.join(sizes)}), " if sizes else ""
    return f"it may fit with {smaller}fewer workers at once (--jobs), or a larger device"


def _is_batch(name: str, field: object) -> bool:
    return "batch" in name and "int" in str(getattr(field, "annotation", ""))


def _halve(method: Method) -> None:
    batch = method.context.batch_size
    if (torch := sys.modules.get("torch")) is not None:
        torch.cuda.empty_cache()
    method.context.batch_size = batch // 2
    method.context.say(f"out of memory: inference batch {batch} -> {batch // 2}")
