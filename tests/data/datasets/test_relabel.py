"""Labels by full-reference metrics: against pyiqa called directly, and kept by content."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench import pyiqa_library
from bench.data import datasets
from bench.util.errors import BenchError, DataError, UsageError
from tests.data.datasets import layouts

CONFIG = """
databases:
  rooms:
    root: rooms
    table: scores.csv
    reference: original
    range: [1, 5]
    images: pictures
"""


@pytest.fixture
def rooms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two references, three noisy copies of each; the data root."""
    monkeypatch.setenv("IQA_BENCH_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "data"
    rng = np.random.default_rng(3)
    rows = [("image", "original", "score")]
    for reference in ("a", "b"):
        clean = np.kron(rng.integers(40, 210, (12, 14, 3)), np.ones((4, 4, 1)))
        save(root / "rooms" / "pictures" / f"clean_{reference}.png", clean)
        for level in (1, 2, 3):
            name = f"{reference}{level}.png"
            noisy = clean + 14 * level * rng.standard_normal(clean.shape)
            save(root / "rooms" / "pictures" / name, noisy)
            rows.append((name, f"clean_{reference}.png", str(5 - level)))
    layouts.table(root / "rooms" / "scores.csv", rows)
    (root / "iqa-data.yaml").write_text(CONFIG)
    return root


def save(path: Path, pixels: np.ndarray[Any, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)


@pytest.mark.parametrize("metric", ["ssim", "fsim"])
def test_labels_are_what_pyiqa_gives(rooms: Path, metric: str) -> None:
    import pyiqa

    data = datasets.load(f"rooms@{metric}", rooms)
    measure = pyiqa.create_metric(metric, device=torch.device("cpu"))
    for image, reference, score in zip(
        data.table["image"], data.table["reference"], data.table["score"], strict=True
    ):
        folder = rooms / "rooms" / "pictures"
        with torch.no_grad():
            wanted = float(measure(str(folder / image), str(folder / reference)))
        assert score == pytest.approx(wanted, abs=2e-6)
    assert data.info.spec == f"rooms@{metric}"
    assert data.table["spread"].isna().all()
    assert (data.quality == data.table["score"]).all()
    # The more noise, the lower: the references of each row are its own.
    assert (np.diff(data.quality.reshape(2, 3)) < 0).all()
    plain = datasets.load("rooms", rooms)
    assert (plain.table[["image", "group"]] == data.table[["image", "group"]]).all(axis=None)


class Distance:
    """Stands in for LPIPS, whose weights are not here: grows with distortion, counts its calls."""

    calls = 0

    def __call__(self, image: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        type(self).calls += 1
        return (image - reference).abs().mean().reshape(1, 1)


@pytest.fixture
def distance(monkeypatch: pytest.MonkeyPatch) -> type[Distance]:
    Distance.calls = 0
    monkeypatch.setattr(pyiqa_library, "full_reference", lambda name: Distance())
    return Distance


def test_a_distance_runs_downwards(rooms: Path, distance: type[Distance]) -> None:
    data = datasets.load("rooms@lpips", rooms)
    assert data.info.label == "dmos"
    assert (np.diff(data.table["score"].to_numpy().reshape(2, 3)) > 0).all()
    assert (data.quality == -data.table["score"]).all()
    assert datasets.info("tid2013@lpips").label == "dmos"
    assert datasets.info("tid2013@fsim").size == 3000


def test_labels_are_computed_once_wherever_the_pictures_lie(
    rooms: Path, distance: type[Distance], capsys: pytest.CaptureFixture[str]
) -> None:
    first = datasets.load("rooms@lpips", rooms)
    assert distance.calls == 6
    assert "rooms@lpips: computing 6 labels" in capsys.readouterr().err
    shutil.copytree(rooms, rooms.parent / "moved")
    again = datasets.load("rooms@lpips", rooms.parent / "moved")
    assert distance.calls == 6
    assert again.digest == first.digest


def test_another_picture_has_other_labels(rooms: Path, distance: type[Distance]) -> None:
    first = datasets.load("rooms@lpips", rooms)
    changed = rooms / "rooms" / "pictures" / "a1.png"
    pixels = np.asarray(Image.open(changed))
    save(changed, 255 - pixels)
    os.utime(changed, (1, 1))
    again = datasets.load("rooms@lpips", rooms)
    assert distance.calls == 12
    moved = first.table["score"] != again.table["score"]
    assert again.table["image"][moved].tolist() == ["a1.png"]


def test_what_cannot_be_relabelled_says_why(rooms: Path, distance: type[Distance]) -> None:
    with pytest.raises(UsageError, match="livec has no pristine references"):
        datasets.info("livec@ssim")
    with pytest.raises(UsageError, match="Did you mean 'ssim'"):
        datasets.info("tid2013@sssim")
    pictures = rooms / "rooms" / "pictures"
    save(pictures / "b2.png", np.zeros((20, 30, 3)))
    with pytest.raises(DataError, match=r"'b2.png' is 30 x 20 pixels, its reference 'clean_b.png'"):
        datasets.load("rooms@lpips", rooms)
    (pictures / "b2.png").unlink()
    with pytest.raises(DataError, match=r"1 of 6 images cannot be used: b2.png"):
        datasets.load("rooms@lpips", rooms)
    (pictures / "clean_a.png").unlink()
    with pytest.raises(DataError, match="1 references are not under") as caught:
        datasets.load("rooms@lpips", rooms)
    assert "clean_a.png" in str(caught.value)


def test_lpips_without_weights_names_the_file_and_where_it_belongs(
    rooms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(url: str, *_: Any, **__: Any) -> None:
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("torch.hub.download_url_to_file", fail)
    with pytest.raises(
        BenchError, match=r"alexnet-owt-7be5be79\.pth could not be fetched"
    ) as caught:
        datasets.load("rooms@lpips", rooms)
    assert str(tmp_path / "torch" / "hub" / "checkpoints") in str(caught.value)
    assert not list((tmp_path / "cache" / "labels").glob("*.csv"))


@pytest.mark.parametrize("name", ["tid2013", "kadid10k", "csiq", "pipal"])
def test_references_are_found_in_the_authors_layout(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, distance: type[Distance]
) -> None:
    monkeypatch.setenv("IQA_BENCH_CACHE", str(tmp_path / "cache"))
    getattr(layouts, name)(tmp_path / "data" / name)
    data = datasets.load(f"{name}@lpips", tmp_path / "data")
    assert distance.calls == len(data)
    assert len(data) == len(datasets.load(name, tmp_path / "data"))
