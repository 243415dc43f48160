"""Inference that a GPU replays from a CUDA graph: all kernels of a forward pass in one launch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

PLAIN = 2
"""Batches of a shape that run without a graph before one is captured."""
MOST = 4
"""Shapes that are captured; each holds the memory of one forward pass."""

Forward = Callable[[Tensor], Tensor]


@dataclass
class Captured:
    """A forward pass whose kernels read `held` and write `result`."""

    graph: torch.cuda.CUDAGraph
    held: Tensor
    result: Tensor

    def __call__(self, batch: Tensor) -> Tensor:
        """The pass on another batch of the same shape; the result is the caller's own."""
        self.held.copy_(batch)
        self.graph.replay()
        return self.result.clone()


def capture(forward: Forward, batch: Tensor) -> Captured:
    """Record the kernels of `forward` without gradients, in the arithmetic of the caller.

    A replay reads the present weights, so changes in place count.
    """
    held = batch.clone()
    # Autocast's cache of weights would not outlive the caller's block.
    arithmetic = torch.autocast(
        "cuda",
        dtype=torch.get_autocast_dtype("cuda"),
        enabled=torch.is_autocast_enabled("cuda"),
        cache_enabled=False,
    )
    with torch.cuda.device(batch.device), torch.no_grad(), arithmetic:
        stream, present = torch.cuda.Stream(), torch.cuda.current_stream()
        stream.wait_stream(present)
        with torch.cuda.stream(stream):  # libraries set themselves up outside the capture
            for _ in range(3):
                forward(held)
        present.wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = forward(held)
    return Captured(graph, held, result)


class Replayed:
    """A forward pass without gradients, from the third batch of a shape on as a CUDA graph.

    A graph runs the same kernels, so that results have the same bits. On a CPU, or without
    `--cuda-graphs`, every batch runs without a graph.
    """

    def __init__(self, forward: Forward, asked: bool) -> None:
        self._forward = forward
        self._asked = asked
        self._seen: Counter[tuple[object, ...]] = Counter()
        self._captured: dict[tuple[object, ...], Captured] = {}

    def __call__(self, batch: Tensor) -> Tensor:
        """`forward(batch)`, whichever way."""
        if not self._asked or batch.device.type != "cuda" or torch.is_grad_enabled():
            return self._forward(batch)
        # A graph holds the arithmetic and the strides it was captured with.
        arithmetic = (torch.is_autocast_enabled("cuda"), torch.backends.cuda.matmul.allow_tf32)
        key = (batch.shape, batch.stride(), batch.dtype, *arithmetic)
        if key not in self._captured:
            self._seen[key] += 1
            if self._seen[key] <= PLAIN or len(self._captured) == MOST:
                return self._forward(batch)
            self._captured[key] = capture(self._forward, batch)
        return self._captured[key](batch)
