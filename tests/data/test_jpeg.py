"""JPEG files by simplejpeg: the same pixels as Pillow's, or Pillow's."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from bench.api import ImagePolicy
from bench.data.images import jpeg
from bench.data.images.decode import Unreadable, decode


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jpeg, "_EQUAL", {})


def write(path: Path, seed: int, size: tuple[int, int] = (75, 51), **options: Any) -> Path:
    """A file of smooth colours with grain."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), dtype=float)
    grainy = np.clip(smooth + rng.normal(0, 9, smooth.shape), 0, 255).astype(np.uint8)
    Image.fromarray(grainy).save(path, "JPEG", **options)
    return path


def by_pillow(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_pixels_are_pillows(subsampling: int, progressive: bool, tmp_path: Path) -> None:
    pytest.importorskip("simplejpeg")
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    options = {"subsampling": subsampling, "progressive": progressive, "exif": exif}
    for seed, quality in enumerate((30, 75, 95)):
        path = write(tmp_path / f"{seed}.jpg", seed, quality=quality, **options)
        found = decode(path, ImagePolicy())
        assert found.shape == (75, 51, 3)
        assert np.array_equal(found, by_pillow(path))
    assert list(jpeg._EQUAL.values()) == [True]


def test_each_kind_of_header_proves_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Other()
    monkeypatch.setattr(jpeg, "_simplejpeg", lambda: other)
    options: list[dict[str, Any]] = [
        {},
        {"size": (80, 48)},
        {"size": (80, 51)},
        {"icc_profile": b"profile"},
        {"exif": Image.Exif()},
        {"subsampling": 0},
        {"progressive": True},
        {"keep_rgb": True},
    ]
    for number, own in enumerate(options):
        path = write(tmp_path / f"{number}.jpg", number, **{"size": (75, 51), **own})
        for _ in range(2):
            assert np.array_equal(decode(path, ImagePolicy()), by_pillow(path))
    kinds = len(jpeg._EQUAL)
    assert kinds >= len(options) - 1  # an empty Exif may leave no trace
    assert not any(jpeg._EQUAL.values())
    assert other.calls == kinds  # each kind differs, and is asked for once


class Other:
    """A decoder whose pixels are darker by one, and which counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def decode_jpeg(self, data: bytes, colours: str, strict: bool) -> np.ndarray:
        self.calls += 1
        return np.zeros((51, 75, 3), np.uint8)


def test_a_decoder_with_other_pixels_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Other()
    monkeypatch.setattr(jpeg, "_simplejpeg", lambda: other)
    for seed in range(3):
        path = write(tmp_path / f"{seed}.jpg", seed)
        assert np.array_equal(decode(path, ImagePolicy()), by_pillow(path))
    assert other.calls == 1


def test_what_it_refuses_is_pillows_to_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ValueError("premature end")

    module = types.SimpleNamespace(decode_jpeg=refuse)
    monkeypatch.setattr(jpeg, "_simplejpeg", lambda: module)
    path = write(tmp_path / "a.jpg", 0)
    assert np.array_equal(decode(path, ImagePolicy()), by_pillow(path))
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(Unreadable):
        decode(path, ImagePolicy())


def test_grey_files_and_others_are_pillows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Other()
    monkeypatch.setattr(jpeg, "_simplejpeg", lambda: other)
    grey = Image.fromarray(np.full((9, 9), 77, np.uint8))
    for name in ("grey.jpg", "grey.png"):
        grey.save(tmp_path / name)
        assert decode(tmp_path / name, ImagePolicy()).shape == (9, 9, 3)
    assert not other.calls
