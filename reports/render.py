"""A results folder → every table, figure and page of its report, from the store alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.analysis import costs, image_intervals, over_images
from bench.analysis.ceilings import Ceilings
from bench.analysis.costs import NO_LIMITS, Limits
from bench.analysis.published import NOTHING, Printed, beside, frame
from bench.analysis.results import Results, load
from bench.analysis.sanity import broken
from bench.analysis.stored_predictions import StoredPredictions
from bench.analysis.summary import write_csv
from bench.data import datasets
from bench.data.at_hand import AtHand
from bench.data.data_cache import DataCache
from bench.metrics import METRICS
from bench.reports import html, latex, latex_costs
from bench.reports.cleanup import new_folder, reuse, swap_in, tidy
from bench.reports.figures.gallery import Gallery
from bench.reports.gmad.report import ReportContests
from bench.reports.html.site import Site
from bench.reports.sound import reportable
from bench.reports.worst import FOLDER as THUMBNAILS
from bench.reports.worst import Thumbnails
from bench.store import Store
from bench.util.atomic import write_text
from bench.util.errors import UsageError
from bench.util.gc_paused import gc_paused

if TYPE_CHECKING:
    import pandas as pd

    from bench.protocol import Protocol

GMAD_IMAGES = "gmad/images"


@dataclass
class Rendered:
    """What a report consists of."""

    out: Path
    """The folder."""
    summary: pd.DataFrame
    """One row a cell and metric (`bench.analysis.summary`)."""
    printed: Printed = NOTHING
    """Published numbers (`bench.analysis.published`)."""
    paths: list[Path] = field(default_factory=list)
    """Every file written."""
    notes: list[str] = field(default_factory=list)
    """What was left out and why."""
    unsound: list[str] = field(default_factory=list)
    """Protocols that could not be reported at all, and why; these are among the notes too."""
    warnings: list[str] = field(default_factory=list)
    """Sanity rows that show the table to be wrong (`bench.analysis.sanity`)."""


def default_folder(store: Store) -> Path:
    """The default folder of a report."""
    return store.root / "report"


@gc_paused()  # thousands of objects that live to the end: looking for garbage took a sixth of it
def render(
    store: Store,
    out: Path | None = None,
    data_roots: Sequence[Path] = (),
    *,
    published: bool = True,
    exclude_contaminated: bool = False,
    with_images: bool = True,
    limits: Limits = NO_LIMITS,
) -> Rendered:
    """Write summary.csv, table.tex, figures and index.html with its pages to `out`.

    Images, for figures that show some, are looked for under `data_roots` and `IQA_DATA`.
    `published` sets printed numbers beside ours and writes published.csv; `exclude_contaminated`
    leaves out cells whose test dataset the method's weights had seen labels of, `limits` rows that
    cost more; `with_images` adds intervals over images, which reads all predictions once. What of a
    protocol cannot be reported is named in `notes`, and the rest is whole. The report is made in a
    folder of its own, so that an error leaves the last one as it was; files of that one that this
    one does not have are removed (`cleanup`). Raises `StoreError` where the store holds no
    results or `out` cannot be written, `UsageError` where nothing is left.
    """
    out = out or default_folder(store)
    with new_folder(out) as made:
        reuse(out / THUMBNAILS, made / THUMBNAILS)
        reuse(out / GMAD_IMAGES, made / GMAD_IMAGES)
        rendered = _render(
            store, made, out, data_roots, published, exclude_contaminated, limits, with_images
        )
        rendered.paths = swap_in(made, out, rendered.paths)
        rendered.notes = [note.replace(str(made), str(out)) for note in rendered.notes]
    rendered.out = out
    rendered.notes += tidy(out, rendered.paths)
    return rendered


def _render(
    store: Store,
    out: Path,
    earlier: Path,
    data_roots: Sequence[Path],
    published: bool,
    exclude_contaminated: bool,
    limits: Limits,
    with_images: bool,
) -> Rendered:
    """The whole report in a new folder; `earlier` is the one that it replaces."""
    results, unsound = reportable(_read(store, data_roots, exclude_contaminated))
    results, above = _within(results, limits)
    at_hand = AtHand(data_roots)
    gains: dict[str, list[str]] = {}
    summary = results.summary
    if with_images:
        images = StoredPredictions(store, at_hand)
        summary = image_intervals.beside(summary, results.runs, images, results.protocols)
        gains = {one.name: _gains(results, one, summary, images) for one in results.protocols}
    summary = Ceilings(at_hand).beside(summary)
    printed = NOTHING
    if published:
        summary, printed = beside(summary, results.protocols)
    notes = [*results.problems, *unsound, *printed.problems, *results.exclusions(), *above]
    rendered = Rendered(out, summary, printed, notes=notes, unsound=unsound)
    rendered.warnings = broken(results.runs)
    write_csv(summary, out / "summary.csv")
    spent = costs.frame(results)
    write_csv(spent, out / "costs.csv")
    text = latex.document(
        summary, results.protocols, printed=printed, excluded=results.excluded_from
    )
    priced = latex_costs.tables(spent, results.protocols)
    write_text(out / "table.tex", f"{text}\n{priced}" if priced else text)
    if printed.numbers:
        write_csv(frame(printed), out / "published.csv")
        rendered.paths.append(out / "published.csv")
    data_cache = DataCache(datasets.data_roots(list(data_roots) or None))
    gallery = Gallery(results, summary, out / "figures", data_cache, earlier, notes=rendered.notes)
    gallery.draw()
    contests = ReportContests(results, out, data_cache.data_roots, notes=rendered.notes)
    contests.draw()
    thumbnails = Thumbnails(out, data_cache.data_roots, rendered.notes)
    figures = [*gallery.figures, *contests.sheets]
    site = Site(
        results,
        summary,
        out,
        figures,
        rendered.notes,
        printed,
        warnings=rendered.warnings,
        contests=contests.pages,
        thumbnails=thumbnails,
        gains=gains,
    )
    pages = html.write(site)
    tables = [out / name for name in ("summary.csv", "costs.csv", "table.tex")]
    rendered.paths += [pages[0], *tables, *pages[1:]]
    rendered.paths += [path for figure in figures for path in (figure.png, figure.pdf)]
    rendered.paths += [*dict.fromkeys(contests.paths), *sorted(thumbnails.paths)]
    return rendered


def _gains(
    results: Results, protocol: Protocol, summary: pd.DataFrame, images: StoredPredictions
) -> list[str]:
    """Which first places of a protocol its databases cannot show, by its first metric."""
    metric = protocol.metrics[0]
    runs = results.runs[results.runs["protocol"] == protocol.name]
    if metric not in METRICS or metric not in runs:
        return []
    medians = summary[summary["metric"] == metric]
    higher = METRICS[metric].higher_is_better
    return over_images.gains_of_best(runs, medians, images, metric, higher)


def _within(results: Results, limits: Limits) -> tuple[Results, list[str]]:
    """Results of the rows that keep all limits, and why others are left out."""
    if not limits.bounds:
        return results, []
    reasons = {}
    for row in costs.rows(results):
        if reason := limits.broken(row):
            reasons[row["protocol"], row["label"]] = reason
    kept = [c for c in results.cells if (c.protocol.name, c.entry.label) not in reasons]
    if not kept:
        raise UsageError(f"nothing is left within the limits: {next(iter(reasons.values()))}")
    notes = [f"{label} ({protocol}): {why}" for (protocol, label), why in reasons.items()]
    return replace(results, cells=kept), notes


def _read(store: Store, data_roots: Sequence[Path], exclude_contaminated: bool) -> Results:
    results = load(store, data_roots)
    if not exclude_contaminated:
        return results
    kept = results.uncontaminated()
    if results.cells and not kept.cells:
        raise UsageError(
            f"nothing is left of '{store.root}' without contaminated cells: every method had seen "
            "labels of every dataset it was tested on"
        )
    return kept
