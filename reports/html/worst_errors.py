"""The worst errors of a cell for its pages: thumbnails where the images are on this machine."""

from __future__ import annotations

from typing import Any

from bench.analysis.grid import number
from bench.analysis.results import CellResult
from bench.data import datasets
from bench.reports.html.site import Site
from bench.reports.worst import FOLDER, Miss, worst
from bench.util.errors import StoreError, UsageError


def worst_errors(site: Site, cell: CellResult, count: int) -> list[dict[str, Any]]:
    """The worst errors of the run that the cell's scatter shows, the worst first.

    Empty where predictions cannot be read, which the scatter has noted then.
    """
    run = cell.typical(cell.protocol.metrics[0])
    if run is None or cell.unlabelled:
        return []
    try:
        found = worst(site.results, run, count)
    except (StoreError, ValueError, KeyError):
        return []
    spec = cell.entry.task.test
    dmos = _falls(spec)
    return [_shown(site, spec, miss, dmos) for miss in found]


def _shown(site: Site, spec: str, miss: Miss, dmos: bool) -> dict[str, Any]:
    picture = site.thumbnails.of(spec, miss.image) if site.thumbnails else None
    return {
        "name": miss.image,
        "src": f"{FOLDER}/{picture.file}" if picture else "",
        "size": (picture.width, picture.height) if picture else (0, 0),
        "label": f"{'DMOS' if dmos else 'MOS'} {_text(miss.quality, dmos)}",
        "score": f"score {_text(miss.score, False)}",
        "mapped": "" if miss.mapped is None else _text(miss.mapped, dmos),
    }


def _text(value: float, negated: bool) -> str:
    return number(-value if negated else value, 2, minus="−")


def _falls(spec: str) -> bool:
    """Whether a dataset's own labels fall with quality; records hold them turned upwards."""
    try:
        return datasets.info(spec).label == "dmos"
    except UsageError:  # a dataset of somebody else's configuration
        return False
