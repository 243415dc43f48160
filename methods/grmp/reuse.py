"""Keeps what frozen parts of the network computed, within a memory bound."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

SHARE_OF_FREE_MEMORY = 0.25
MOST_BYTES = 8 << 30


@dataclass(frozen=True)
class Reuse:
    """Which work is done once. None of it changes a number by more than rounding."""

    prefix: bool = True
    """Keep each view's tokens behind the frozen image blocks."""
    teacher: bool = True
    """Keep each view's scene probabilities from untouched CLIP."""
    texts: bool = True
    """Keep the scene prompts behind the frozen text blocks."""
    shared_forward: bool = True
    """One forward pass for both gradients."""
    skip_unread: bool = True
    """Leave out token outputs that nothing reads (see `methods.kit.clip_tower`)."""


NOTHING = Reuse(False, False, False, False, False)


def memory_bound(device: torch.device | str) -> int:
    """Bytes that kept tensors may take: a quarter of the free memory, 8 GiB at most."""
    device = torch.device(device)
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    else:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(int(free * SHARE_OF_FREE_MEMORY), MOST_BYTES)


class Kept:
    """Rows computed once each, until the bound is reached; later rows are computed every time.

    Nothing is ever thrown out: a training set that is walked through again and again would find
    nothing in a store that drops the oldest.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.bytes = 0
        self._rows: dict[Hashable, Tensor] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self, keys: Sequence[Hashable], compute: Callable[[list[int]], Tensor]) -> Tensor:
        """The row of every key, stacked; `compute(positions)` makes those not kept yet."""
        missing = [place for place, key in enumerate(keys) if key not in self._rows]
        if len(missing) == len(keys):
            made = compute(missing)
            for place in missing:
                self._keep(keys[place], made[place])
            return made
        found = {place: self._rows[key] for place, key in enumerate(keys) if key in self._rows}
        if missing:
            for place, row in zip(missing, compute(missing), strict=True):
                self._keep(keys[place], row)
                found[place] = row
        return torch.stack([found[place] for place in range(len(keys))])

    def _keep(self, key: Hashable, row: Tensor) -> None:
        size = row.numel() * row.element_size()
        if key in self._rows or self.bytes + size > self.most_bytes:
            return
        self._rows[key] = row.clone()
        self.bytes += size
