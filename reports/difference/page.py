"""The page: what `bench check` decides of each cell, and the images that moved most."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.analysis.check import CellCheck, CheckReport
from bench.analysis.check.writers import row
from bench.analysis.grid import metric_title, number
from bench.analysis.movers import Mover, movers
from bench.analysis.stored_predictions import NoSides, StoredPredictions
from bench.analysis.summary import on_demo
from bench.data.at_hand import AtHand
from bench.data.datasets import data_roots
from bench.metrics import metric as metric_of
from bench.model.titles import budget_title
from bench.reports.cleanup import new_folder, reuse, swap_in, tidy
from bench.reports.html import site
from bench.reports.worst import FOLDER as THUMBNAILS
from bench.reports.worst import Thumbnails
from bench.store import Store
from bench.util.atomic import write_text

if TYPE_CHECKING:
    from bench.data.datasets import Roots

HERE = Path(__file__).parent / "assets"
SHOWN = 6
"""Images that came nearer to their labels, and as many that went away, of each cell."""
MOST_CELLS = 20
"""Cells whose images are shown: those that moved beyond chance come first."""


@dataclass
class Difference:
    """Two result sets, and what `bench check` says of them."""

    report: CheckReport
    before: Path
    """The first set: a results folder or a baseline file, which has no predictions."""
    now: Path
    """The second set, a results folder."""
    roots: Roots = None
    """Where databases lie, for thumbnails."""
    notes: list[str] = field(default_factory=list)
    """What is not shown, and why."""


def write(found: Difference, out: Path) -> list[Path]:
    """Write index.html, its assets and thumbnails to a folder; returns their paths, the page first.

    Without the databases movers are named alone. Raises `StoreError` where `out` cannot be written.
    """
    with new_folder(out) as made:
        reuse(out / THUMBNAILS, made / THUMBNAILS)
        thumbnails = Thumbnails(made, found.roots, found.notes)
        moved = _moved(found, thumbnails)
        page = made / "index.html"
        text = (
            site.templates(HERE)
            .get_template("difference.html.j2")
            .render(**_context(found), moved=moved, notes=found.notes)
        )
        write_text(page, text)
        assets = [
            site.copy_asset(site.HERE / "assets" / name, made / "assets")
            for name in ("style.css", "report.js")
        ]
        paths = swap_in(made, out, [page, *assets, *sorted(thumbnails.paths)])
    found.notes += tidy(out, paths)
    return paths


def _context(found: Difference) -> dict[str, Any]:
    report = found.report
    cells = report.cells
    demo = any(on_demo(cell.train, cell.test) for cell in cells)
    store = Store(found.now)
    shown = (
        store.read(pair.records[0][1], curve=False) for pair in found.report.pairs if pair.records
    )
    tiny = any(run.spec.fit.weights.get("name") == "tiny" for run in shown if run)
    protocols = dict.fromkeys(cell.protocol for cell in cells)
    return {
        "title": f"{found.before.name} → {found.now.name}",
        "before": report.against,
        "now": report.new,
        "metric": metric_title(report.metric),
        "summary": report.summary,
        "tolerance": f"{report.tolerance:g}",
        "confidence": f"{report.confidence:.0%}",
        "reference": report.reference,
        "banner": site.banner(demo, tiny),
        "problems": report.problems,
        "tables": [
            {
                "title": protocol or "no protocol",
                "rows": [_row(cell, report) for cell in cells if cell.protocol == protocol],
            }
            for protocol in protocols
        ],
    }


def _row(cell: CellCheck, report: CheckReport) -> dict[str, Any]:
    verdict, method, task, budget, runs, before, now, change, interval, reason = row(cell)
    return {
        "verdict": verdict,
        "method": method,
        "task": task,
        "labels": budget_title(budget),
        "runs": runs,
        "numbers": [text.replace("-", "−") for text in (before, now, change, interval)],
        "reason": reason,
        "kind": _kind(cell, report.metric),
    }


def _kind(cell: CellCheck, metric: str) -> str:
    """'better' or 'worse' where the change is beyond chance, '' elsewhere."""
    if not cell.beyond_chance:
        return ""
    rose = (cell.change > 0) == metric_of(metric).higher_is_better
    return "better" if rose else "worse"


def _moved(found: Difference, thumbnails: Thumbnails) -> list[dict[str, Any]]:
    """The images that moved most, of the cells that moved beyond chance first."""
    if not found.before.is_dir():
        found.notes.append(f"no images: {found.before} is a baseline file without predictions")
        return []
    at_hand = AtHand(data_roots(found.roots))
    before, now = (StoredPredictions(Store(path), at_hand) for path in (found.before, found.now))
    compared = [
        (cell, pair)
        for cell, pair in zip(found.report.cells, found.report.pairs, strict=True)
        if pair.records
    ]
    compared.sort(key=lambda item: not item[0].beyond_chance)
    shown = []
    for cell, pair in compared[:MOST_CELLS]:
        where = f"{cell.label} on {cell.task}, {budget_title(cell.budget)}"
        try:
            images = movers(before, now, pair.records, cell.selection)
        except NoSides as reason:
            found.notes.append(f"no images of {where}: {reason}")
            continue
        nearer = [one for one in images if one.change < 0][:SHOWN]
        further = [one for one in reversed(images) if one.change > 0][:SHOWN]
        if not nearer and not further:
            continue
        shown.append(
            {
                "title": where,
                "protocol": cell.protocol,
                "kind": _kind(cell, found.report.metric),
                "lists": [
                    ("Nearer to their labels", [_image(thumbnails, cell, one) for one in nearer]),
                    ("Further away", [_image(thumbnails, cell, one) for one in further]),
                ],
            }
        )
    if len(compared) > MOST_CELLS:
        found.notes.append(f"images of {len(compared) - MOST_CELLS} more cells")
    return shown


def _image(thumbnails: Thumbnails, cell: CellCheck, mover: Mover) -> dict[str, Any]:
    picture = thumbnails.of(cell.test, mover.image)
    return {
        "name": mover.image,
        "src": f"{THUMBNAILS}/{picture.file}" if picture else "",
        "size": (picture.width, picture.height) if picture else (0, 0),
        "label": number(mover.label, 0),
        "before": number(mover.before, 0),
        "now": number(mover.now, 0),
        "splits": mover.splits,
    }
