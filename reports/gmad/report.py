"""The gMAD pages of a report: one for every pool that two methods have predicted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.analysis.gmad_pools import Pool, pools, read
from bench.analysis.results import Results
from bench.data.datasets import Roots
from bench.protocol import GmadEntry
from bench.reports.figures.sheet import DrawnFigure
from bench.reports.gmad import contact_sheet, name, page
from bench.reports.gmad.contest import document, hold, images_of
from bench.reports.html.site import copy_asset
from bench.reports.pictures import Album, Look
from bench.util.errors import BenchError

MOST_METHODS = 4
"""Methods on one page: four make twelve matches and up to 48 images."""
SMALL = Look(size=384, lossless=False)


@dataclass
class ReportContests:
    """Pages and sheets of a report, and what was left out."""

    results: Results
    out: Path
    """The report's folder."""
    roots: Roots = None
    pages: list[tuple[str, str, str]] = field(default_factory=list)
    """Protocol, title, and address under the report's folder."""
    sheets: list[DrawnFigure] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    """Every file written beside the sheets."""
    notes: list[str] = field(default_factory=list)
    """What was left out and why."""

    def draw(self) -> None:
        """Make the pages that the store and the images on this machine allow."""
        albums: dict[str, Album] = {}
        for pool in _largest(pools(self.results.runs, self.results.protocols)):
            album = albums.setdefault(pool.test, Album.of(pool.test, self.roots))
            try:
                self._pool(pool, album)
            except BenchError as error:
                self.notes.append(f"{_title(pool)}: {error}")
        if self.pages:
            self.paths += [copy_asset(source, self.out / "assets") for source in page.OWN_ASSETS]

    def _pool(self, pool: Pool, album: Album) -> None:
        repeat, labels = pool.best_repeat()
        if len(labels) < 2:
            if pool.protocol.gmad is not None:
                self.notes.append(f"{_title(pool)}: fewer than two methods have predictions")
            return
        if album.tree is None:
            self.notes.append(f"{_title(pool)}: {album.reason}")
            return
        if len(labels) > MOST_METHODS:
            self.notes.append(
                f"{_title(pool)}: the first {MOST_METHODS} of {len(labels)} methods; `bench gmad` "
                "shows any of them"
            )
        scores = read(self.results.store, pool, labels[:MOST_METHODS], repeat)
        contest = hold(scores, pool.protocol.gmad or GmadEntry())
        found = document(contest)
        lost = album.lost(images_of(found, ends=True))
        if lost:
            self.notes.append(f"{_title(pool)}: {lost}")
            return
        file = f"gmad/{name(contest)}.html"
        images = self.out / "gmad" / "images"
        place = page.PagePlace(self.out / file, images, "../assets", "../index.html")
        self.paths += page.write(found, scores, album, SMALL, place, ends=True)
        self.pages.append((pool.protocol.name, f"{pool.name}, {pool.budget}", file))
        if pool.protocol.gmad is not None:
            sheets, notes = contact_sheet.write(found, album, self.out / "figures", name(contest))
            self.sheets += sheets
            self.notes += notes


def _largest(found: list[Pool]) -> Iterator[Pool]:
    """Of the budgets of one task, selection and protocol the last, as protocols list them."""
    last = {(pool.protocol.name, pool.trainings, pool.test, pool.selection): pool for pool in found}
    yield from last.values()


def _title(pool: Pool) -> str:
    return f"{pool.protocol.name}: gMAD on {pool.name}, {pool.budget}"
