"""gMAD competitions of stored predictions as JSON, contact sheets and a page to look at pairs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.data.datasets import Roots
from bench.reports.gmad import contact_sheet, page
from bench.reports.gmad.contest import Contest, document, hold, images_of
from bench.reports.html.site import copy_asset
from bench.reports.pictures import Album, Look
from bench.util.atomic import write_json
from bench.util.errors import DataError
from bench.util.filenames import slug

__all__ = ["Contest", "Look", "Written", "document", "hold", "name", "write"]

EXACT = Look(size=768, lossless=True)


@dataclass
class Written:
    """What a competition left behind."""

    found: dict[str, Any]
    """The competition as JSON."""
    paths: list[Path] = field(default_factory=list)
    """Files to open: JSON, page, sheets."""
    notes: list[str] = field(default_factory=list)
    """What was left out and why."""


def name(contest: Contest) -> str:
    """A file name for a competition's pool and repeat."""
    pool = contest.scores.pool
    data = pool.name.replace(" → ", "-").replace(" ", "-")
    parts = [pool.protocol.name, data, pool.budget, pool.selection, str(contest.scores.repeat)]
    return slug(*(part.replace("%", "pc") for part in parts))


def write(
    contest: Contest, out: Path, roots: Roots = None, *, ends: bool = True, look: Look = EXACT
) -> Written:
    """Write gmad.json, index.html with its images, and a sheet for each two methods, to `out`.

    Page and sheets need the images: without the database on this machine only JSON is written,
    and `notes` says why. Raises `StoreError` where `out` cannot be written.
    """
    written = Written(document(contest))
    write_json(out / "gmad.json", written.found)
    written.paths.append(out / "gmad.json")
    album = Album.of(contest.scores.pool.test, roots)
    lost = album.lost(images_of(written.found, ends))
    if lost:
        written.notes.append(f"page and sheets of {album.spec}: {lost}")
        return written
    try:
        _show(contest, out, album, ends, look, written)
    except DataError as error:
        written.notes.append(f"page and sheets of {album.spec}: {error}")
    return written


def _show(
    contest: Contest, out: Path, album: Album, ends: bool, look: Look, written: Written
) -> None:
    for source in page.ASSETS:
        copy_asset(source, out / "assets")
    place = page.PagePlace(out / "index.html", out / "images", "assets")
    written.paths.append(page.write(written.found, contest.scores, album, look, place, ends)[0])
    sheets, notes = contact_sheet.write(written.found, album, out, "gmad")
    written.paths += [path for item in sheets for path in (item.png, item.pdf)]
    written.notes += notes
