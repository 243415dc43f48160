"""Scenes and distortions from LIQE's label files, as columns of a database's table."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.data import annotations, datasets
from bench.data.annotations import Annotation
from bench.data.datasets.base import Dataset, complete
from bench.methods.mpiqe.class_names import distortion_index, scene_index
from bench.util.errors import DataError

DATA = Path(os.environ.get("IQA_DATA", "") or "/nonexistent")
needs_data = pytest.mark.skipif(
    not (DATA / "annotations" / "liqe").is_dir(), reason="LIQE's label files: set IQA_DATA"
)

SMALL = """\
Images/611.JPG\t38.489474\trealistic blur\tlandscape\tinvalid\tinvalid
jp2k/img1.bmp\t60.1\tjpeg2000 compression\thuman\tstill_life\tinvalid

jpeg/img1.bmp\t59.0\tjpeg compression\thuman\tstill_life\tnight
"""
LANDSCAPE = Annotation("realistic blur", "landscape")


def written(root: Path, text: str = SMALL, name: str = "clive_all_clip.txt") -> Path:
    """LIQE's folder with one file for LIVEC."""
    place = root / "liqe" / "IQA_Database" / "ChallengeDB_release" / "splits2"
    (place / "1").mkdir(parents=True, exist_ok=True)
    (place / name).write_text(text)
    return root / "liqe"


def samples(**columns: list[str]) -> pd.DataFrame:
    count = len(columns["image"])
    return complete(pd.DataFrame({**columns, "score": [50.0] * count}), datasets.info("livec"))


def test_images_are_found_by_path_or_by_a_name_that_is_unique(tmp_path: Path) -> None:
    file = written(tmp_path) / "IQA_Database/ChallengeDB_release/splits2/clive_all_clip.txt"
    found = annotations.read([file])
    assert found["611.jpg"] == found["images/611.jpg"] == LANDSCAPE
    assert found["jp2k/img1.bmp"] == Annotation("jpeg2000 compression", "human|still_life")
    assert "img1.bmp" not in found  # in two folders, with different labels


def test_what_a_database_names_itself_is_kept(tmp_path: Path) -> None:
    table = samples(
        image=["611.JPG", "copy/Images/611.jpg", "612.JPG", "img1.bmp"],
        distortion=["haze", "", "", ""],
        scene=["", "night", "plant", ""],
    )
    found = annotations.completed(table, "livec", written(tmp_path))
    assert found["distortion"].tolist() == ["haze", "realistic blur", "", ""]
    assert found["scene"].tolist() == ["landscape", "night", "plant", ""]
    assert annotations.completed(table, "koniq10k", tmp_path / "liqe").equals(table)


def test_the_sides_of_the_first_split_stand_in_for_the_whole(tmp_path: Path) -> None:
    first, second = SMALL.split("\n\n")
    written(tmp_path, first, "1/clive_train_clip.txt")
    folder = written(tmp_path, second, "1/clive_test_clip.txt")
    table = samples(image=["611.JPG", "jpeg/img1.bmp"])
    found = annotations.completed(table, "livec", folder)
    assert found["scene"].tolist() == ["landscape", "human|still_life|night"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.png\t1.0\t0.5\n", "clive_all_clip.txt, line 1: 3 fields"),
        (SMALL + "jpeg/img1.bmp\t5\tcontrast\thuman\tinvalid\tinvalid\n", "line 5: .* other label"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        annotations.completed(samples(image=["611.JPG"]), "livec", written(tmp_path, text))


def test_the_digest_follows_the_annotations_of_the_rows_alone(tmp_path: Path) -> None:
    info = datasets.info("livec")
    table = samples(image=["a", "b", "c"], scene=["night", "plant", ""])

    def digest(table: pd.DataFrame, rows: list[int]) -> str:
        dataset = Dataset(info, tmp_path, table)
        return annotations.digest(dataset, np.array(rows, dtype=np.int64))

    assert digest(table, [0, 1]) == digest(table, [1, 0])
    other = table.assign(scene=["night", "plant", "human"])
    assert digest(table, [0, 1]) == digest(other, [0, 1])
    assert digest(table, [0, 2]) != digest(other, [0, 2])


@needs_data
@pytest.mark.parametrize(
    ("folder", "images", "several"),
    [  # the shares of images with several scenes
        ("databaserelease2", 779, 0.55),
        ("CSIQ", 866, 0.33),
        ("ChallengeDB_release", 1162, 0.46),
        ("koniq-10k", 10073, 0.18),
        ("BID", 586, None),
        ("kadid10k", 10125, None),
    ],
)
def test_published_files(folder: str, images: int, several: float | None) -> None:
    place = DATA / "annotations" / "liqe" / "IQA_Database" / folder / "splits2"
    lines = [item for file in annotations._files(place) for item in annotations._lines(file)]
    assert len({path for _, path, _ in lines}) == images
    assert all(distortion_index(one.distortion) is not None for _, _, one in lines)
    scenes = [one.scene.split("|") for _, _, one in lines]
    assert all(scene_index(name) is not None for names in scenes for name in names)
    if several is not None:
        share = np.mean([len(names) > 1 for names in scenes])
        assert share == pytest.approx(several, abs=0.006)


@needs_data
def test_the_real_livec_gets_scenes_and_distortions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IQA_DATA", str(DATA))
    table = datasets.load("livec@1169").table
    assert (table["scene"] == "").sum() == (table["distortion"] == "").sum() == 7
    assert set(table["scene"][:7]) == {""}  # the seven training images, which LIQE leaves out
