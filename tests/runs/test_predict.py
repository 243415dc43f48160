"""`bench predict` on a user's own files."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.runs.execute import scoring
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
    given = (photos, photos / "dark.png", "--method", "toy_luminance", "--out", out)
    result = bench("predict", *given, "--device", "cpu")
    assert result.returncode == 0, result.stderr
    assert "3 images scored" in result.stdout
    assert len(out.read_text().splitlines()) == 4  # one that is given twice is scored once
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
        ([photos / "dark.png", "--prompt", photos / "notes.txt"], "takes no image-score pairs", 2),
        ([photos / "dark.png", "--set", "rate=1"], "none of the methods has this setting", 2),
        ([photos / "dark.png", "--set", "repeats=1"], "repeats: a key of protocols, which", 2),
        ([photos / "dark.png", "--out", "s.xlsx"], "written as CSV; name it s.csv", 2),
    ]:
        result = bench("predict", *arguments, "--method", "toy_luminance", "--device", "cpu")
        assert (result.returncode, expected in result.stderr) == (code, True), result.stderr


def test_weights_that_name_no_method_are_named(bench: Bench, photos: Path) -> None:
    for weights, reason in (("cut.safetensors", "or is damaged"), ("typo", "there is no file")):
        (bench.folder / "cut.safetensors").write_bytes(b"\x10")
        done = bench("predict", photos, "--weights", weights)
        assert done.returncode == 2
        assert f"'{weights}'" in done.stderr
        assert reason in done.stderr


def test_broken_images_are_all_named_and_the_others_keep_their_scores(
    bench: Bench, photos: Path
) -> None:
    whole = (photos / "dark.png").read_bytes()
    (photos / "a.png").write_bytes(b"not an image")
    (photos / "z.png").write_bytes(whole[: len(whole) // 2])
    out = photos.parent / "scores.csv"
    result = bench("predict", photos, "--method", "toy_luminance", "--out", out, "--device", "cpu")
    assert result.returncode == 1
    assert f"{photos / 'a.png'}: not an image" in result.stderr
    assert f"{photos / 'z.png'}: truncated" in result.stderr
    assert "2 of 5 images have no score" in result.stderr
    assert scores(out).keys() == {"dark.png", "middle.png", "bright.png"}


def test_an_image_that_the_method_refuses_costs_no_other_score(bench: Bench, photos: Path) -> None:
    Image.fromarray(np.full((3, 3, 3), 50, np.uint8)).save(photos / "small.png")
    out = photos.parent / "scores.csv"
    result = bench("predict", photos, "--method", "toy_large", "--out", out, "--device", "cpu")
    assert result.returncode == 1, result.text
    assert "small.png: too small for toy_large" in result.stderr
    assert scores(out).keys() == {"dark.png", "middle.png", "bright.png"}


def test_what_was_scored_before_a_stop_is_not_scored_again(
    bench: Bench, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "CHUNK_IMAGES", 1)
    calls, out = photos.parent / "calls", photos.parent / "scores.csv"
    command = ("predict", photos, "--method", "toy_luminance", "--out", out, "--device", "cpu")
    monkeypatch.setattr(scoring, "predict", _stopping_after(2, scoring.predict))
    stopped = bench(*command, TOY_CALLS=str(calls))
    assert stopped.returncode == 130
    assert "2 of 3 images are scored" in stopped.stdout
    assert not out.exists()
    assert bench(*command, TOY_CALLS=str(calls)).returncode == 0
    assert calls.read_text().split() == ["1", "1", "1"]
    assert scores(out)["middle.png"] == pytest.approx(120 / 255, abs=1e-6)
    assert [path.name for path in out.parent.glob("scores*")] == ["scores.csv"]


def test_scores_of_another_question_are_not_gone_on_with(bench: Bench, photos: Path) -> None:
    out = photos.parent / "scores.csv"
    partial = out.with_name("scores.csv.partial")
    partial.write_text(f'0123\n["{photos / "dark.png"}", 1, 1, 5.0]\n')
    bench("predict", photos, "--method", "toy_luminance", "--out", out, "--device", "cpu")
    assert scores(out)["dark.png"] == pytest.approx(30 / 255, abs=1e-6)


def test_the_place_of_the_scores_is_looked_at_first(bench: Bench, photos: Path) -> None:
    calls = photos.parent / "calls"
    command = ("predict", photos, "--method", "toy_luminance", "--device", "cpu", "--out")
    for out, code in ((photos, 2), (photos / "dark.png" / "scores.csv", 4)):
        result = bench(*command, out, TOY_CALLS=str(calls))
        assert (result.returncode, "cannot write" in result.stderr) == (code, True), result.text
    assert not calls.exists()


def test_chunks_are_bounded_in_bytes(
    bench: Bench, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "CHUNK_BYTES", 2 * 20 * 30 * 3)
    calls, out = photos.parent / "calls", photos.parent / "scores.csv"
    bench("predict", photos, "--method", "toy_luminance", "--out", out, TOY_CALLS=str(calls))
    assert calls.read_text().split() == ["2", "1"]


def _stopping_after(count: int, predict: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """`predict`, and Ctrl-C at the call after `count`, once."""
    left = iter([*[False] * count, True])

    def stopping(*arguments: object) -> np.ndarray:
        if next(left, False):
            raise KeyboardInterrupt
        return predict(*arguments)

    return stopping
