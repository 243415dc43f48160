"""The cache of features on disk: shared by processes, cut off where it was torn, bounded."""

from __future__ import annotations

import hashlib
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.data import features
from bench.data.features import ABOUT, ROWS, FeatureCache, prune, shelves
from bench.util.errors import BenchError

WIDTH = 5
WHAT = {"name": "lite0", "weights": "sha256:1"}
DIGESTS = [hashlib.sha256(bytes([number])).hexdigest() for number in range(80)]


def row(place: int) -> np.ndarray[Any, Any]:
    return np.arange(WIDTH, dtype=np.float32) + place


class Counted:
    """Computes rows and counts them."""

    def __init__(self, digests: list[str]) -> None:
        self.digests, self.count = digests, 0

    def __call__(self, places: list[int]) -> Any:
        self.count += len(places)
        return np.stack([row(DIGESTS.index(self.digests[place])) for place in places])


def cache(root: Path, most: int = 1 << 20, code: str = "c") -> FeatureCache:
    return FeatureCache(root, lambda module: f"{module} {code}", most)


def ask(root: Path, digests: list[str], **options: Any) -> int:
    """How many rows were computed; all are right."""
    counted = Counted(digests)
    found = cache(root, **options)("bench.methods.kit.here", WHAT, digests, counted)
    assert np.array_equal(found, [row(DIGESTS.index(digest)) for digest in digests])
    return counted.count


def test_a_row_is_computed_once(tmp_path: Path) -> None:
    assert ask(tmp_path, DIGESTS[:40]) == 40
    assert ask(tmp_path, DIGESTS[:40][::-1]) == 0
    assert ask(tmp_path, [*DIGESTS[30:50], DIGESTS[49], DIGESTS[2]]) == 10
    (shelf,) = shelves(tmp_path)
    assert (shelf.rows, shelf.about["name"]) == (50, "lite0")
    assert ask(tmp_path, DIGESTS[:3], code="edited") == 3
    assert len(shelves(tmp_path)) == 2


def test_what_was_torn_or_damaged_is_computed_again(tmp_path: Path) -> None:
    ask(tmp_path, DIGESTS[:10])
    file = shelves(tmp_path)[0].folder / ROWS
    content = file.read_bytes()
    size = len(content) // 10
    file.write_bytes(content[: -size // 2])  # killed in the middle of a write
    assert ask(tmp_path, DIGESTS[:10]) == 1
    assert file.stat().st_size == len(content)
    damaged = bytearray(file.read_bytes())
    damaged[3 * size + 40] ^= 1
    file.write_bytes(damaged)
    assert ask(tmp_path, DIGESTS[:10]) == 1
    assert ask(tmp_path, DIGESTS[:10]) == 0
    (file.parent / ABOUT).write_text("{")
    assert ask(tmp_path, DIGESTS[:10]) == 10
    assert ask(tmp_path, DIGESTS[:10]) == 0


def test_it_is_bounded_and_the_shelf_used_last_stays(tmp_path: Path) -> None:
    ask(tmp_path, DIGESTS[:40], code="old")
    one = shelves(tmp_path)[0].bytes
    ask(tmp_path, DIGESTS[:40], code="new", most=one)
    (shelf,) = shelves(tmp_path)
    assert shelf.about["code"].endswith("new")
    assert ask(tmp_path, DIGESTS, code="large", most=one // 2) == len(DIGESTS)
    assert sum(shelf.bytes for shelf in shelves(tmp_path)) <= one
    assert prune(tmp_path, 0) > 0
    assert not shelves(tmp_path)


def test_a_folder_that_cannot_be_written_costs_no_result(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert ask(tmp_path / "file" / "below", DIGESTS[:3]) == 3


def _process(root: Path, start: int) -> None:
    ask(root, [*DIGESTS[start:], *DIGESTS[:start]])


def test_processes_write_at_the_same_time(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_process, args=(tmp_path, at)) for at in (0, 40)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert ask(tmp_path, DIGESTS) == 0


def test_rows_of_another_process_are_mapped_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = multiprocessing.get_context("spawn").Process(target=_process, args=(tmp_path, 0))
    writer.start()
    writer.join()
    (rows,) = tmp_path.rglob(features.ROWS)
    mapped: list[tuple[Path, str]] = []

    def memmap(file: Path, *args: object, mode: str, **others: object) -> object:
        mapped.append((file, mode))
        return real(file, *args, mode=mode, **others)

    real = np.memmap
    monkeypatch.setattr(np, "memmap", memmap)
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("a whole file was read"))
    assert ask(tmp_path, DIGESTS[:3]) == 0
    assert set(mapped) == {(rows, "r")}


def test_the_bound_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(features.BOUND_NAME, "0.5")
    assert features.bound() == 2**29
    monkeypatch.setenv(features.BOUND_NAME, "much")
    with pytest.raises(BenchError, match="expected a number of gibibytes"):
        features.bound()
