"""Scene and distortion labels: what databases call them, LIQE's files, targets, notes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.api import LabelledSet
from bench.data.datasets import kadid10k, live, tid2013
from bench.data.demo import CATEGORIES, DEMO_SETS
from bench.model.images import ArrayImages
from bench.util.errors import DataError
from methods.mpiqe import liqe_labels
from methods.mpiqe.names import DISTORTIONS, SCENES, distortion_index, scene_index
from methods.mpiqe.settings import MPIQESettings
from methods.mpiqe.targets import Targets, targets

DATA = Path(os.environ.get("IQA_DATA", "") or "/nonexistent")
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="real databases: set IQA_DATA to the folder that holds them"
)

SMALL = """\
Images/611.JPG\t38.489474\trealistic blur\tlandscape\tinvalid\tinvalid
jp2k/img1.bmp\t60.1\tjpeg2000 compression\thuman\tstill_life\tinvalid

jpeg/img1.bmp\t59.0\tjpeg compression\thuman\tstill_life\tnight
"""


def group(kind: str) -> str | None:
    place = distortion_index(kind)
    return None if place is None else DISTORTIONS[place]


def labelled(
    distortions: list[str | None], scenes: list[str | None], names: list[str] | None = None
) -> LabelledSet:
    count = len(scenes)
    arrays = [np.zeros((4, 4, 3), np.uint8)] * count
    nothing = (None,) * count
    return LabelledSet(
        "toy",
        ArrayImages(arrays, names),
        np.linspace(0, 1, count),
        nothing,
        tuple(distortions),
        nothing,
        tuple(scenes),
        ("toy",) * count,
    )


def made(train: LabelledSet, **settings: Any) -> Targets:
    return targets(train, MPIQESettings(backbone="tiny", **settings))


def test_every_kind_of_the_known_databases_has_a_group() -> None:
    numbered = [f"{i:02} {kind}" for i, kind in enumerate(tid2013.TYPES + kadid10k.TYPES, start=1)]
    demo = [kind for one in DEMO_SETS.values() for kind in one.kinds]
    csiq = ["AWGN", "JPEG", "jpeg2000", "fnoise", "BLUR", "contrast"]
    folders = [name for name, _ in live._FOLDERS]
    assert [kind for kind in numbered + demo + csiq + folders if group(kind) is None] == []
    assert [name for name in CATEGORIES if scene_index(name) is None] == []


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("08 gaussian blur", "blur"),
        ("10 jpeg compression", "JPEG compression"),
        ("09 jpeg2000", "JPEG2000 compression"),
        ("fastfading", "JPEG2000 compression"),
        ("BLUR", "blur"),
        ("sensor_noise", "noise"),
        ("colour_cast", "color-related"),
        ("16 brighten", "over-exposure"),
        ("06 colour quantization", "quantization"),
        ("21 pixelate", "spatially-localized"),
        ("other realistic", "others"),
        ("over-exposure", "over-exposure"),
        ("moire", None),
    ],
)
def test_groups_by_example(kind: str, expected: str | None) -> None:
    assert group(kind) == expected


def test_scene_words() -> None:
    for word in ("still_life", "Still-life", "still life"):
        assert SCENES[scene_index(word) or 0] == "still-life"
    assert scene_index("night") == scene_index("Night scene") == SCENES.index("night scene")
    assert scene_index("underwater") is None


def test_label_file_by_path_or_by_name_where_it_is_unique(tmp_path: Path) -> None:
    (tmp_path / "all_clip.txt").write_text(SMALL)
    found = liqe_labels.read(tmp_path / "all_clip.txt")
    assert len(found) == 3
    one = liqe_labels.ImageLabels("realistic blur", ("landscape",))
    assert found.get("611.JPG") == found.get("images/611.jpg") == one
    second = found.get("JP2K/img1.bmp")
    assert second == liqe_labels.ImageLabels("jpeg2000 compression", ("human", "still_life"))
    assert found.get("img1.bmp") is None  # in two folders, with different labels
    assert found.get("612.JPG") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no labels"),
        ("a.png\t1.0\t0.5\n", r"line 1: 3 fields .*_clip\.txt"),
        (
            SMALL + "jpeg/img1.bmp\t5\tcontrast\thuman\tinvalid\tinvalid\n",
            "line 5: .* other labels",
        ),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "file.txt").write_text(text)
    with pytest.raises(DataError, match=expected):
        liqe_labels.read(tmp_path / "file.txt")
    with pytest.raises(DataError, match="cannot be read"):
        liqe_labels.read(tmp_path / "absent.txt")


@needs_data
@pytest.mark.parametrize(
    ("folder", "stem", "images", "several"),
    [  # the shares of images with several scenes: LIVE 55 %, CSIQ 33 %, LIVEC 46 %, KonIQ 18 %
        ("databaserelease2", "live", 779, 0.55),
        ("CSIQ", "csiq", 866, 0.33),
        ("ChallengeDB_release", "clive", 1162, 0.46),
        ("koniq-10k", "koniq10k", 10073, 0.18),
    ],
)
def test_published_files(folder: str, stem: str, images: int, several: float) -> None:
    root = DATA / "annotations" / "liqe" / "IQA_Database" / folder / "splits2"
    if not root.is_dir():
        pytest.skip("LIQE's label files are not there")
    found = liqe_labels.read(root / f"{stem}_all_clip.txt")
    everything = list(found._whole.values())
    assert len(everything) == images
    share = np.mean([len(one.scenes) > 1 for one in everything])
    assert share == pytest.approx(several, abs=0.006)
    assert all(one.scenes and group(one.distortion) for one in everything)
    assert all(scene_index(name) is not None for one in everything for name in one.scenes)


@needs_data
@pytest.mark.parametrize(("folder", "images"), [("BID", 586), ("kadid10k", 10125)])
def test_the_sides_of_a_published_split_joined(tmp_path: Path, folder: str, images: int) -> None:
    root = DATA / "annotations" / "liqe" / "IQA_Database" / folder / "splits2" / "1"
    if not root.is_dir():
        pytest.skip("LIQE's label files are not there")
    joined = tmp_path / "joined.txt"
    joined.write_text("".join(file.read_text() for file in sorted(root.glob("*_clip.txt"))))
    assert len(liqe_labels.read(joined)) == images


def test_several_scenes_as_the_setting_says() -> None:
    train = labelled(["jpeg", "haze"], ["human|still_life", "night"])
    places = [SCENES.index("human"), SCENES.index("still-life")]
    expected = {"uniform": [0.5, 0.5], "first": [1, 0], "multi_label": [1, 1]}
    for several, values in expected.items():
        found = made(train, several_scenes=several)
        assert found.scenes is not None
        assert found.scenes[0, places].tolist() == values
        assert found.scenes[1].sum() == found.scenes[1, SCENES.index("night scene")] == 1
        assert found.notes == ()
    assert found.distortions is not None
    assert found.distortions.argmax(axis=1).tolist() == [
        DISTORTIONS.index("JPEG compression"),
        DISTORTIONS.index("contrast"),
    ]


def test_missing_labels_are_noted() -> None:
    none = made(labelled([None, None], [None, None]))
    assert none.scenes is None
    assert none.distortions is None
    assert len(none.notes) == 2
    assert "no training image has a scene label" in none.notes[0]
    assert "the distortion loss (Eq. 11) was left out" in none.notes[1]
    some = made(labelled(["jpeg", "moire"], ["human", None]))
    assert some.scenes is not None
    assert some.scenes[1].sum() == 0
    assert any("1 of 2 training images have no scene label" in note for note in some.notes)
    assert any("fit none of its classes: 'moire'" in note for note in some.notes)
    assert made(labelled([None], [None]), visual_only=True).notes == ()


def test_a_label_file_replaces_and_completes(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text(SMALL)
    train = labelled([None, "haze"], ["night", "plant"], ["611.JPG", "unknown.png"])
    found = made(train, label_file=tmp_path / "labels.txt")
    assert found.scenes is not None
    assert found.distortions is not None
    wanted = [SCENES.index("landscape"), SCENES.index("plant")]
    assert found.scenes.argmax(axis=1).tolist() == wanted
    assert found.distortions.argmax(axis=1).tolist() == [0, DISTORTIONS.index("contrast")]
