"""A cache of computed rows of tensors that will be needed again, with a limit on memory.

A process has one `Cache` for each device, so that the limit holds for all its users together. A
user takes a `Shelf` and asks it for rows by key. While a shelf is in use, none of its rows is
removed: training images return every epoch and test images every evaluation, so that a cache that
removes the oldest rows would never find any. When its user is gone, a shelf is emptied; a named
shelf stays for the next user of that name, but its rows are removed one by one when memory is
needed.

A key of None means that a row will not be needed again (a random crop, for instance): it is
computed and not kept.
"""

from __future__ import annotations

import os
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

SHARE_OF_FREE_MEMORY = 0.25
MOST_BYTES = 8 << 30

Compute = Callable[[list[int]], Tensor]
"""Positions in a list of keys -> their rows, in that order."""


@dataclass
class _Rows:
    """The rows of one shelf, under its name or, for a private one, none."""

    name: Hashable | None
    rows: dict[Hashable, Tensor] = field(default_factory=dict)
    users: int = 0


class Cache:
    """Rows on shelves, together `most_bytes` at most."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.bytes = 0
        self._named: dict[Hashable, _Rows] = {}
        self._left: OrderedDict[int, _Rows] = OrderedDict()
        """Named shelves that nobody uses, the longest left first."""

    def shelf(self, name: Hashable | None = None) -> Shelf:
        """A shelf of the caller's own, or the one of a name.

        A name has to identify everything that a row depends on beside its key: the weights' digest,
        precision, device. Keys of named shelves name images by content (`Images.digest`).
        """
        kept = self._named.setdefault(name, _Rows(name)) if name is not None else _Rows(None)
        kept.users += 1
        self._left.pop(id(kept), None)
        shelf = Shelf(self, kept)
        weakref.finalize(shelf, self._leave, kept)
        return shelf

    def clear(self) -> None:
        """Forget all rows of shelves that nobody uses."""
        while self._left:
            self._drop(next(iter(self._left.values())))

    def _keep(self, kept: _Rows, key: Hashable, row: Tensor) -> None:
        size = _size(row)
        if key in kept.rows or not self._make_room(size):
            return
        kept.rows[key] = row.clone()  # a view would hold the whole batch
        self.bytes += size

    def _make_room(self, size: int) -> bool:
        """Whether there is room; if necessary, unused rows are removed."""
        while self.bytes + size > self.most_bytes:
            if not self._left or size > self.most_bytes:
                return False
            oldest = next(iter(self._left.values()))
            self.bytes -= _size(oldest.rows.pop(next(iter(oldest.rows))))
            if not oldest.rows:
                self._drop(oldest)
        return True

    def _leave(self, kept: _Rows) -> None:
        kept.users -= 1
        if kept.users:
            return
        if kept.name is None or not kept.rows:
            self._drop(kept)
        else:
            self._left[id(kept)] = kept

    def _drop(self, kept: _Rows) -> None:
        self.bytes -= sum(map(_size, kept.rows.values()))
        kept.rows = {}
        self._left.pop(id(kept), None)
        if kept.name is not None:
            self._named.pop(kept.name, None)


class Shelf:
    """One user's part of a cache."""

    def __init__(self, cache: Cache, kept: _Rows) -> None:
        self._cache = cache
        self._kept = kept

    def __len__(self) -> int:
        return len(self._kept.rows)

    def rows(self, keys: Sequence[Hashable | None], compute: Compute) -> Tensor:
        """The row of every key, stacked, (n, ...); `compute` makes the missing ones.

        `compute` is called once at most, and not for an empty list of keys unless all are new.
        """
        rows = self._kept.rows
        missing = [place for place, key in enumerate(keys) if key is None or key not in rows]
        if len(missing) == len(keys):
            made = compute(missing)
            self._fill(keys, missing, made)
            return made
        found = {place: rows[key] for place, key in enumerate(keys) if key in rows}
        if missing:
            made = compute(missing)
            found |= zip(missing, made, strict=True)
            self._fill(keys, missing, made)
        return torch.stack([found[place] for place in range(len(keys))])

    def _fill(self, keys: Sequence[Hashable | None], places: list[int], made: Tensor) -> None:
        for place, row in zip(places, made, strict=True):
            if keys[place] is not None:
                self._cache._keep(self._kept, keys[place], row)


def _size(row: Tensor) -> int:
    return row.numel() * row.element_size()


@lru_cache
def shared(device: str) -> Cache:
    """The process's cache for rows on a device."""
    return Cache(memory_bound(device))


def memory_bound(device: str) -> int:
    """Bytes that kept rows may take: a quarter of the free memory, 8 GiB at most."""
    where = torch.device(device)
    if where.type == "cuda":
        free = torch.cuda.mem_get_info(where)[0]
    else:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(int(free * SHARE_OF_FREE_MEMORY), MOST_BYTES)
