"""`bench predict` on a user's own files."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Bench


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for name, level in (("dark.png", 30), ("deep/bright.png", 220), ("middle.png", 120)):
        Image.fromarray(np.full((20, 30, 3), level, np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("not an image")
    return folder


def scores(path: Path) -> dict[str, float]:
    with path.open() as file:
        return {Path(row["image"]).name: float(row["score"]) for row in csv.DictReader(file)}


def test_a_folder_is_scored(bench: Bench, photos: Path) -> None:
    out = photos.parent / "scores.csv"
    result = bench("predict", photos, "--method", "toy_luminance", "--out", out, "--device", "cpu")
    assert result.returncode == 0, result.stderr
    expected = {"dark.png": 30 / 255, "middle.png": 120 / 255, "bright.png": 220 / 255}
    assert scores(out) == pytest.approx(expected, abs=1e-6)


def test_pairs_reach_the_method(bench: Bench, photos: Path) -> None:
    pairs = photos / "pairs.csv"
    pairs.write_text("image,score\ndark.png,1\ndeep/bright.png,0\n")
    out = photos.parent / "scores.csv"
    result = bench("predict", photos, "--method", "toy_prompted", "--prompt", pairs,
                   "--out", out, "--device", "cpu")  # fmt: skip
    assert result.returncode == 0, result.stderr
    # The nearest of the two pairs by luminance.
    assert scores(out) == {"dark.png": 1.0, "middle.png": 1.0, "bright.png": 0.0}


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ("image,mos\ndark.png,1\n", "no column 'score'"),
        ("image,score\ndark.png,good\n", "pairs.csv:2: score 'good' is not a number"),
        ("image,score\nnone.png,1\n", "none.png"),
    ],
)
def test_wrong_pairs_are_named(bench: Bench, photos: Path, pairs: str, expected: str) -> None:
    path = photos / "pairs.csv"
    path.write_text(pairs)
    result = bench("predict", photos, "--method", "toy_prompted", "--prompt", path)
    assert result.returncode == 3
    assert expected in result.stderr
    assert "Traceback" not in result.stderr


def test_wrong_images_and_methods_are_named(bench: Bench, photos: Path) -> None:
    broken = photos / "broken.png"
    broken.write_bytes(b"not an image")
    for arguments, expected, code in [
        ([broken], "broken.png", 3),
        ([photos / "gone.png"], "gone.png", 3),
        ([photos / "dark.png", "--prompt", photos / "notes.txt"], "no column 'image'", 3),
        ([photos / "dark.png", "--set", "rate=1"], "none of the methods has this setting", 2),
    ]:
        result = bench("predict", *arguments, "--method", "toy_luminance", "--device", "cpu")
        assert (result.returncode, expected in result.stderr) == (code, True), result.stderr
