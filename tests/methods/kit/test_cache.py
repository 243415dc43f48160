"""What a bounded cache keeps, gives back and lets go."""

from __future__ import annotations

import gc
from collections.abc import Hashable, Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bench.methods.kit import cache
from bench.methods.kit.cache import Cache, Shelf

WIDTH = 4
ROW = 4 * WIDTH
"""Bytes of a row."""


def row(key: Hashable) -> Tensor:
    return torch.full((WIDTH,), float(hash(key) % 1000))


def ask(shelf: Shelf, keys: Sequence[Hashable | None]) -> int:
    """How many rows had to be computed; the answer is checked."""
    computed: list[int] = []

    def compute(places: list[int]) -> Tensor:
        computed.extend(places)
        return torch.stack([row(keys[place]) for place in places])

    found = shelf.rows(keys, compute)
    assert torch.equal(found, torch.stack([row(key) for key in keys]))
    return len(computed)


def test_a_row_is_computed_once() -> None:
    shelf = Cache(10 * ROW).shelf()
    assert ask(shelf, [1, 2, 3]) == 3
    assert ask(shelf, [3, 4, 1]) == 1
    assert ask(shelf, [4, 3, 2, 1]) == 0


def test_a_set_larger_than_the_bound_still_finds_what_fits() -> None:
    """Walked through again and again, where a store that drops the oldest finds nothing."""
    shelf = Cache(6 * ROW).shelf()
    batches = [[0, 1, 2, 3], [4, 5, 6, 7]]
    for epoch in range(3):
        computed = sum(ask(shelf, batch) for batch in batches)
        assert computed == (8 if epoch == 0 else 2)


def test_what_will_not_be_asked_for_again_takes_no_room() -> None:
    store = Cache(2 * ROW)
    shelf = store.shelf()
    for _ in range(5):
        assert ask(shelf, [None, None, None]) == 3
    assert store.bytes == 0
    assert ask(shelf, [None, "test"]) == 2
    assert ask(shelf, [None, "test"]) == 1


def test_a_shelf_is_emptied_when_its_user_is_gone() -> None:
    store = Cache(3 * ROW)
    first, second = store.shelf(), store.shelf()
    ask(first, [1, 2, 3])
    assert ask(second, [1]) == 1
    assert ask(second, [1]) == 1
    del first
    gc.collect()
    assert store.bytes == 0
    ask(second, [1])
    assert ask(second, [1]) == 0


def test_a_named_shelf_serves_the_next_user_of_the_name() -> None:
    store = Cache(3 * ROW)
    for expected in (2, 0):
        shelf = store.shelf(("weights", "a"))
        assert ask(shelf, [1, 2]) == expected
        del shelf
        gc.collect()
    assert ask(store.shelf(("weights", "b")), [1, 2]) == 2


def test_named_rows_give_way_the_longest_left_first() -> None:
    store = Cache(4 * ROW)
    for name in "ab":
        ask(store.shelf(name), [1, 2])
    gc.collect()
    present = store.shelf()
    ask(present, [7, 8, 9])
    assert store.bytes == 4 * ROW
    assert ask(present, [7, 8, 9]) == 0
    assert ask(store.shelf("b"), [2]) == 0
    assert ask(store.shelf("a"), [1, 2]) == 2


def test_named_rows_in_use_do_not_give_way() -> None:
    store = Cache(2 * ROW)
    one, two = store.shelf("a"), store.shelf("a")
    ask(one, [1, 2])
    del one
    gc.collect()
    ask(store.shelf(), [3])
    assert ask(two, [1, 2]) == 0


def test_clear_forgets_what_nobody_uses() -> None:
    store = Cache(9 * ROW)
    used = store.shelf("a")
    ask(used, [1])
    ask(store.shelf("b"), [1])
    gc.collect()
    store.clear()
    assert store.bytes == ROW
    assert ask(used, [1]) == 0
    assert ask(store.shelf("b"), [1]) == 1


def test_a_row_that_is_larger_than_all_of_it_drives_nothing_out() -> None:
    store = Cache(2 * ROW)
    ask(store.shelf("a"), [1, 2])
    gc.collect()
    wide = store.shelf()
    assert wide.rows([1], lambda places: torch.zeros(1, 3 * WIDTH)).shape == (1, 3 * WIDTH)
    assert ask(store.shelf("a"), [1, 2]) == 0


def test_a_kept_row_does_not_hold_its_batch() -> None:
    shelf = Cache(ROW).shelf()
    ask(shelf, [1, 2, 3])
    (kept,) = shelf._kept.rows.values()
    assert kept.untyped_storage().nbytes() == ROW


@given(
    st.integers(0, 8),
    st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.lists(st.integers(0, 5), min_size=1))),
)
def test_the_bound_holds_and_every_byte_is_accounted_for(
    rows: int, asked: list[tuple[str | None, list[int]]]
) -> None:
    store = Cache(rows * ROW)
    held = []
    for number, (name, keys) in enumerate(asked):
        shelf = store.shelf(name)
        ask(shelf, keys)
        if number % 2:
            held.append(shelf)
        assert store.bytes <= rows * ROW
        shelves = {id(each._kept): each._kept for each in [*held, shelf]}
        shelves |= {id(kept): kept for kept in store._left.values()}
        assert store.bytes == sum(len(kept.rows) for kept in shelves.values()) * ROW


def test_memory_is_bounded_by_a_share_of_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {"SC_AVPHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr("os.sysconf", pages.__getitem__)
    assert cache.memory_bound("cpu") == 1_024_000
    pages["SC_AVPHYS_PAGES"] = 1 << 40
    assert cache.memory_bound("cpu") == 8 << 30
