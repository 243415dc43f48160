"""Whole sets: golden pixels, table, atomic writing."""

from __future__ import annotations

import csv
import hashlib
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.demo import CATEGORIES, DEMO_SETS, DemoSet, render
from bench.data.demo.distortions import DISTORTIONS

_GOLDEN = {
    ("demo_authentic", 0): "3c6a9580216096f3",
    ("demo_authentic", 7): "b1ec909caeaba0b3",
    ("demo_authentic", 39): "07f9a113f2904393",
    ("demo_synthetic", 0): "af4523edf656d3d7",
    ("demo_synthetic", 7): "7eb82b46e5ebc559",
    ("demo_synthetic", 39): "c408aeceae372c78",
    ("demo_pretrain", 0): "d51136d3d13484bc",
    ("demo_pretrain", 7): "0dcb3e3f688c634f",
    ("demo_pretrain", 39): "3439840b88432060",
}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two references or a dozen pictures, so that whole sets render in a moment."""
    for name, demo in list(DEMO_SETS.items()):
        values = {**vars(demo), "n_references": min(2, demo.n_references), "n_images": 12}
        monkeypatch.setattr(
            render, "DEMO_SETS", {**render.DEMO_SETS, name: DemoSet(**values)}, raising=True
        )


@pytest.mark.parametrize("name", DEMO_SETS)
def test_pixels_are_golden(name: str) -> None:
    for index, sample in enumerate(islice(render.samples(name), 40)):
        if (name, index) in _GOLDEN:
            digest = hashlib.sha256(sample.pixels.tobytes()).hexdigest()[:16]
            assert digest == _GOLDEN[name, index], sample.row["image"]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", DEMO_SETS)
def test_folder_holds_what_the_table_says(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / name
    render.render_dataset(name, folder)
    with (folder / "table.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == render.COLUMNS
    assert len({row["image"] for row in rows}) == len(rows)
    for row in rows:
        assert 1.0 <= float(row["score"]) <= 5.0
        assert row["scene"] in CATEGORIES
        assert row["distortion"] in DISTORTIONS
        assert Image.open(folder / row["image"]).size == (128, 128)
        assert bool(row["reference"]) == bool(row["level"]) == DEMO_SETS[name].has_references
        if row["reference"]:
            assert (folder / row["reference"]).is_file()
    assert [item.name for item in folder.parent.iterdir()] == [name]


def test_sizes_are_as_described() -> None:
    for demo in DEMO_SETS.values():
        if demo.has_references:
            assert demo.n_images == demo.n_references * len(demo.kinds) * demo.levels


@pytest.mark.usefixtures("small")
def test_the_loser_of_a_race_discards_its_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "demo_authentic"

    def slow(name: str, made: Path) -> None:
        folder.mkdir()
        (folder / "winner").touch()
        (made / "loser").touch()

    monkeypatch.setattr(render, "_write", slow)
    render.render_dataset("demo_authentic", folder)
    assert [item.name for item in folder.iterdir()] == ["winner"]
    assert [item.name for item in tmp_path.iterdir()] == ["demo_authentic"]


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str, made: Path) -> None:
        (made / "half").touch()
        raise OSError("disk full")

    monkeypatch.setattr(render, "_write", broken)
    with pytest.raises(OSError, match="disk full"):
        render.render_dataset("demo_authentic", tmp_path / "demo_authentic")
    assert list(tmp_path.iterdir()) == []


def test_unknown_set() -> None:
    with pytest.raises(ValueError, match="demo_pretrain"):
        next(render.samples("demo_pretain"))


def test_half_way_values_do_not_depend_on_the_last_bit() -> None:
    below, above = (100.5 - 1e-12) / 255.0, (100.5 + 1e-12) / 255.0
    assert render.to_bytes(np.array([below]))[0] == render.to_bytes(np.array([above]))[0]
