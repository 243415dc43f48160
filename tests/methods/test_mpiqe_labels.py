"""Scene and distortion labels: what databases call them, targets, notes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.api import LabelledSet
from bench.data.datasets import kadid10k, live, tid2013
from bench.data.demo import CATEGORIES, DEMO_SETS
from bench.methods.mpiqe.class_names import DISTORTIONS, SCENES, distortion_index, scene_index
from bench.methods.mpiqe.settings import MPIQESettings
from bench.methods.mpiqe.targets import Targets, targets
from bench.model.images import ArrayImages


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
    assert none.left_out == ("L_scene", "L_dist")
    assert "no training image has a scene label" in none.notes[0]
    assert "the distortion loss (Eq. 11) was left out" in none.notes[1]
    some = made(labelled(["jpeg", "moire"], ["human", None]))
    assert some.scenes is not None
    assert some.scenes[1].sum() == 0
    assert some.left_out == ()
    assert any("1 of 2 training images have no scene label" in note for note in some.notes)
    assert any("fit none of its classes: 'moire'" in note for note in some.notes)
    plain = made(labelled([None], [None]), visual_only=True)
    assert (plain.notes, plain.left_out) == ((), ())
    part = made(labelled(["jpeg"], [None]), distortion_prompts=False)
    assert part.left_out == ("L_scene",)
