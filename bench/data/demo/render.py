"""Rendering a demo set to a folder of PNG files and a table.

Layout: `images/*.png`, `references/*.png` (sets with references) and `table.csv` with the columns
of `COLUMNS`. `image` and `reference` are paths under the folder, with forward slashes; `score` is
MOS in [1, 5], higher is better; `level` counts from 1. Cells that do not apply are empty.
"""

from __future__ import annotations

import csv
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.data.demo import CATEGORIES, DEMO_SETS, DemoSet
from bench.data.demo.distortions import MAX_SEVERITY, distort
from bench.data.demo.noise import generator
from bench.data.demo.observer import impairment, latent_quality, measure, rate
from bench.data.demo.scenes import Scene, render_scene

COLUMNS = ("image", "score", "spread", "raters", "reference", "distortion", "level", "scene")

# The order in which a camera meets them: air, lens, exposure, white balance, sensor, file.
_CAPTURE_ORDER = (
    "haze",
    "lens_blur",
    "motion_blur",
    "overexposure",
    "underexposure",
    "colour_cast",
    "sensor_noise",
    "jpeg",
)
_EXCLUSIVE = (
    ("lens_blur", "motion_blur"),
    ("overexposure", "underexposure"),
    ("haze", "underexposure"),
)


@dataclass(frozen=True)
class Sample:
    """One rated picture: uint8 pixels (h, w, 3), its row of the table, and the truth behind it.

    `latent` is the quality in [1, 5] before any rater; `applied` the (kind, severity) distortions.
    """

    pixels: NDArray[np.uint8]
    row: dict[str, str]
    latent: float
    applied: tuple[tuple[str, float], ...]


def to_bytes(pixels: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Round an image in [0, 1] to 8 bits, the same way on every machine."""
    scaled = np.asarray(pixels, dtype=np.float64) * 255.0
    # Weighted sums of 8-bit values often lie half-way between two; there the last bit of a sum,
    # which differs between processors, would decide.
    return np.rint(scaled + 2.3e-4).astype(np.uint8)


def references(name: str) -> Iterator[tuple[str, Scene]]:
    """The pristine scenes of a set with references, each with its path; else nothing."""
    demo = DEMO_SETS[name]
    offset = int(generator(name, "categories").integers(len(CATEGORIES)))
    for index in range(demo.n_references):
        category = CATEGORIES[(index + offset) % len(CATEGORIES)]
        yield f"references/r{index + 1:02d}.png", render_scene(category, demo.first_seed + index)


def samples(name: str) -> Iterator[Sample]:
    """Render the pictures of a set one after another. Raises ValueError for an unknown set."""
    if name not in DEMO_SETS:
        raise ValueError(f"unknown demo set {name!r}: use one of {', '.join(DEMO_SETS)}")
    demo = DEMO_SETS[name]
    yield from _with_references(demo) if demo.has_references else _without_references(demo)


def _with_references(demo: DemoSet) -> Iterator[Sample]:
    index = 0
    for number, (file, scene) in enumerate(references(demo.name)):
        content = measure(scene.pixels)
        for kind in demo.kinds:
            for level in range(1, demo.levels + 1):
                severity = MAX_SEVERITY * level / demo.levels
                # One stream for all levels of a kind: the same noise or direction, only stronger.
                pixels = distort(scene.pixels, kind, severity, generator(demo.name, number, kind))
                latent = latent_quality([(kind, severity)], content, content_term=False)
                row = _row(demo.name, index, f"images/r{number + 1:02d}_{kind}_{level}.png", latent)
                row.update(reference=file, distortion=kind, level=str(level), scene=scene.category)
                yield Sample(to_bytes(pixels), row, latent, ((kind, severity),))
                index += 1


def _without_references(demo: DemoSet) -> Iterator[Sample]:
    for index in range(demo.n_images):
        rng = generator(demo.name, index, "capture")
        category = CATEGORIES[int(rng.integers(len(CATEGORIES)))]
        scene = render_scene(category, demo.first_seed + index)
        content = measure(scene.pixels)
        applied = mixture(rng, demo.kinds, category)
        pixels: NDArray[np.floating] = scene.pixels
        for kind, severity in applied:
            pixels = distort(pixels, kind, severity, generator(demo.name, index, kind))
        latent = latent_quality(applied, content, content_term=True)
        dominant = max(applied, key=lambda item: impairment(item[0], item[1], content))[0]
        row = _row(demo.name, index, f"images/a{index + 1:04d}.png", latent)
        row.update(distortion=dominant, scene=category)
        yield Sample(to_bytes(pixels), row, latent, applied)


def mixture(
    rng: np.random.Generator, kinds: tuple[str, ...], category: str
) -> tuple[tuple[str, float], ...]:
    """One to three (kind, severity) distortions that occur together, in the order of capture."""
    count = int(rng.choice([1, 2, 3], p=[0.45, 0.35, 0.2]))
    chosen: list[str] = []
    for position in rng.permutation(len(kinds)):
        kind = kinds[position]
        clash = any({kind, other} == set(pair) for other in chosen for pair in _EXCLUSIVE)
        if len(chosen) < count and not clash:
            chosen.append(kind)
    # Low light is where sensors are noisy.
    if (category == "night" or "underexposure" in chosen) and rng.random() < 0.5:
        chosen = [*chosen[:2], "sensor_noise"] if "sensor_noise" not in chosen else chosen
    top = 5.0 if len(chosen) == 1 else 4.2
    severities = top * rng.random(len(chosen)) ** 1.15
    drawn = dict(zip(chosen, severities.tolist(), strict=True))
    return tuple((kind, drawn[kind]) for kind in _CAPTURE_ORDER if kind in drawn)


def _row(name: str, index: int, file: str, latent: float) -> dict[str, str]:
    opinion = rate(name, index, latent)
    row = dict.fromkeys(COLUMNS, "")
    row.update(
        image=file,
        score=f"{opinion.score:.4f}",
        spread=f"{opinion.spread:.4f}",
        raters=str(opinion.raters),
    )
    return row


def _write(name: str, folder: Path) -> None:
    (folder / "images").mkdir()
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        table.writeheader()
        for sample in samples(name):
            Image.fromarray(sample.pixels).save(folder / sample.row["image"], compress_level=4)
            table.writerow(sample.row)
    if DEMO_SETS[name].has_references:
        (folder / "references").mkdir()
        for file, scene in references(name):
            Image.fromarray(to_bytes(scene.pixels)).save(folder / file, compress_level=4)


def render_dataset(name: str, folder: Path) -> None:
    """Render a set into `folder`, which appears whole or not at all; nothing to do if it exists.

    The files are made in a temporary sibling, then moved into place by a rename; of two processes
    that race, the later discards its copy. Raises ValueError for an unknown set, OSError if the
    parent folder cannot be written.
    """
    if name not in DEMO_SETS:
        raise ValueError(f"unknown demo set {name!r}: use one of {', '.join(DEMO_SETS)}")
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        made = Path(scratch) / folder.name
        made.mkdir()
        _write(name, made)
        try:
            made.rename(folder)
        except OSError:
            if not folder.exists():
                raise
            shutil.rmtree(made, ignore_errors=True)
