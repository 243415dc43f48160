"""Scene and distortion labels of training images as targets y of Eq. 9 and 11."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.api import LabelledSet
from bench.methods.mpiqe.class_names import DISTORTIONS, SCENES, distortion_index, scene_index
from bench.methods.mpiqe.settings import MPIQESettings

SHOWN = 5


@dataclass(frozen=True)
class Targets:
    """y for every image; a row of zeros where the label is missing."""

    scenes: npt.NDArray[np.float32] | None
    """(n, 9); None if the term is left out."""
    distortions: npt.NDArray[np.float32] | None
    """(n, 11); None if the term is left out."""
    notes: tuple[str, ...]
    """Notes for readers of the record."""
    left_out: tuple[str, ...]
    """Terms of Eq. 15 without any labelled training image, under their names in tables."""


def targets(train: LabelledSet, settings: MPIQESettings) -> Targets:
    """The targets of the terms that the settings ask for."""
    notes: list[str] = []
    scenes = distortions = None
    if settings.uses_scenes:
        split = [_parts(names, settings.several_scenes) for names in train.scenes]
        share = settings.several_scenes == "uniform"
        scenes = _rows(split, scene_index, len(SCENES), share, ("scene", "Eq. 9"), notes)
    if settings.uses_distortions:
        split = [[kind] if kind else [] for kind in train.distortions]
        term = ("distortion", "Eq. 11")
        distortions = _rows(split, distortion_index, len(DISTORTIONS), True, term, notes)
    terms = (
        ("L_scene", settings.uses_scenes and scenes is None),
        ("L_dist", settings.uses_distortions and distortions is None),
    )
    return Targets(scenes, distortions, tuple(notes), tuple(name for name, out in terms if out))


def _parts(names: str | None, several: str) -> list[str]:
    parts = [part for part in (names or "").split("|") if part.strip()]
    return parts[:1] if several == "first" else parts


def _rows(
    labels: Sequence[Sequence[str]],
    index: Callable[[str], int | None],
    classes: int,
    share: bool,
    term: tuple[str, str],
    notes: list[str],
) -> npt.NDArray[np.float32] | None:
    """Targets (n, classes), or None with a note if no image has a label."""
    rows = np.zeros((len(labels), classes), np.float32)
    unknown: Counter[str] = Counter()
    for row, names in zip(rows, labels, strict=True):
        for name in names:
            place = index(name)
            if place is None:
                unknown[name] += 1
            else:
                row[place] = 1
    what, equation = term
    if unknown:
        listed = ", ".join(f"'{name}'" for name, _ in unknown.most_common(SHOWN))
        notes.append(f"mpiqe: {what} names that fit none of its classes: {listed}")
    labelled = rows.any(axis=1)
    if not labelled.any():
        notes.append(
            f"mpiqe: no training image has a {what} label; the {what} loss ({equation}) was left "
            f"out, and its prompts learned from scores alone"
        )
        return None
    if not labelled.all():
        notes.append(
            f"mpiqe: {int((~labelled).sum())} of {len(rows)} training images have no {what} "
            f"label; the {what} loss ({equation}) is over the others"
        )
    if share:
        rows /= np.maximum(rows.sum(axis=1, keepdims=True), 1)
    return rows
