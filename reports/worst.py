"""The images that a run judges worst: names, labels and scores, with thumbnails if available."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bench.analysis.curves import cloud
from bench.analysis.results import Results
from bench.data.datasets import Roots
from bench.model.records import Record
from bench.reports.pictures import Album, EncodedImage, Look
from bench.util.errors import DataError

THUMBNAIL = Look(size=176, lossless=False)
FOLDER = "thumbnails"


@dataclass(frozen=True)
class Miss:
    """One image with its label and its prediction."""

    image: str
    quality: float
    """Its label, upwards."""
    score: float
    """The prediction as the method gave it."""
    mapped: float | None
    """The prediction on the scale of the labels, by the fitted logistic; None without a fit."""


def worst(results: Results, run: Record, count: int) -> list[Miss]:
    """The `count` test images of a done run that it errs most on (six at most), the worst first.

    The error is the distance between label and mapped prediction; without a logistic, the distance
    of their ranks. Raises `StoreError` where predictions cannot be read.
    """
    points = cloud(results, run)
    return [
        Miss(
            name,
            float(points.quality[place]),
            float(points.prediction[place]),
            None if points.mapped is None else float(points.mapped[place]),
        )
        for name, place in points.worst[:count]
    ]


@dataclass
class Thumbnails:
    """The small images of a report, each written once."""

    out: Path
    """The report's folder."""
    roots: Roots = None
    notes: list[str] = field(default_factory=list)
    """Why there are none of a dataset."""
    paths: set[Path] = field(default_factory=set)
    """Files written."""
    _albums: dict[str, Album] = field(default_factory=dict)
    _noted: set[str] = field(default_factory=set)

    def of(self, spec: str, image: str) -> EncodedImage | None:
        """An image of a dataset; None, and once a note, where it cannot be shown."""
        album = self._album(spec)
        if album.tree is None:
            return None
        try:
            if album.tree.find(image) is None:
                raise DataError(f"its file is missing under {album.tree.root}")
            found = album.encode(image, THUMBNAIL, self.out / FOLDER)
        except DataError as error:
            self._note(spec, f"no thumbnail of {image}: {error}")
            return None
        self.paths.add(self.out / FOLDER / found.file)
        return found

    def _album(self, spec: str) -> Album:
        if spec not in self._albums:
            self._albums[spec] = Album.of(spec, self.roots)
            reason = self._albums[spec].reason
            if reason:
                self._note(spec, f"no thumbnails of the worst errors: {reason}")
        return self._albums[spec]

    def _note(self, spec: str, text: str) -> None:
        """The first reason of a dataset stands for all of its images."""
        if spec not in self._noted:
            self._noted.add(spec)
            self.notes.append(f"{spec}: {text}")
