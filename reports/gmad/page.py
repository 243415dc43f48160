"""The page to look at pairs: opens from disk, needs no network, and works by keyboard."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.analysis.gmad_pools import Scores
from bench.analysis.summary import on_demo
from bench.reports.html import site
from bench.reports.pictures import Album, EncodedImage, Look
from bench.util.atomic import write_text

if TYPE_CHECKING:
    import jinja2

HERE = Path(__file__).parent / "assets"
SHARED = site.HERE / "assets"
OWN_ASSETS = (HERE / "gmad.css", HERE / "gmad.js")
ASSETS = (SHARED / "style.css", SHARED / "report.js", *OWN_ASSETS)


@dataclass(frozen=True)
class PagePlace:
    """Where a page goes."""

    file: Path
    """The page."""
    images: Path
    """Folder of its images, beside the page or below."""
    assets: str
    """Relative address of the folder of style sheets and scripts."""
    home: str = ""
    """Relative address of the leaderboard, '' where the page stands alone."""


SIDES = ("best", "worst")


def write(
    document: dict[str, Any], scores: Scores, album: Album, look: Look, place: PagePlace, ends: bool
) -> list[Path]:
    """Write the page and its images; `ends` shows the worst and the best level alone.

    Returns the page and every image that it shows.
    Raises `DataError` where an image cannot be decoded.
    """
    pictures: dict[str, EncodedImage] = {}
    matches = []
    for match in document["matches"]:
        levels = [
            {**level, "end": level["level"] in match["ends"]}
            for level in match["levels"]
            if level["level"] in match["ends"] or not ends
        ]
        pairs = [pair for level in levels for pair in level["pairs"]]
        for name in dict.fromkeys(pair[side]["image"] for pair in pairs for side in SIDES):
            pictures[name] = pictures.get(name) or album.encode(name, look, place.images)
        matches.append({**match, "shown": [level for level in levels if level["pairs"]]})
    names = [item["label"] for item in document["methods"]]
    text = (
        _templates()
        .get_template("gmad.html.j2")
        .render(
            document=document,
            matches=matches,
            pictures=pictures,
            folder=place.images.relative_to(place.file.parent).as_posix(),
            assets=place.assets,
            home=place.home,
            title=f"gMAD on {document['test']}",
            banner=warning(scores),
            look=look.text,
            ends=ends,
            names=names,
        )
    )
    write_text(place.file, text)
    shown = dict.fromkeys(place.images / picture.file for picture in pictures.values())
    return [place.file, *shown]


def warning(scores: Scores) -> tuple[str, str] | None:
    """Heading and text of the banner on rendered data and the tiny backbone."""
    demo = on_demo(*scores.pool.trainings, scores.pool.test)
    tiny = any(run["weights"] == "tiny" for run in scores.runs.values())
    return site.banner(demo, tiny)


def _percent(share: float) -> str:
    """A share of a range: '63 %', '0.4 %'."""
    return f"{100 * share:.{0 if share >= 0.01 else 1}f} %"


def _score(value: float) -> str:
    """A score to three digits, with a real minus."""
    return f"{value:.3g}".replace("-", "−")


@cache
def _templates() -> jinja2.Environment:
    found = site.templates(HERE)
    found.filters.update(percent=_percent, score=_score)
    return found
