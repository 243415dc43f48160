"""The index page: for every protocol its tables, curves, selection gap and what went wrong."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.analysis.curves import over_budgets
from bench.analysis.embedding import RULE
from bench.analysis.grid import (
    Grid,
    GridCell,
    Key,
    grid,
    metric_title,
    number,
    row_title,
    span,
    table_notes,
)
from bench.analysis.published import mark
from bench.analysis.results import CellResult
from bench.metrics import BY, METRICS
from bench.metrics import metric as metric_of
from bench.model.records import Record
from bench.model.titles import budget_title
from bench.protocol import Protocol
from bench.reports import bounds
from bench.reports.drawing import Axis, series_marks
from bench.reports.html import costs
from bench.reports.html.charts import WIDE, line_chart
from bench.reports.html.site import Site, banner_of, texts
from bench.reports.sections import sections

if TYPE_CHECKING:
    import pandas as pd

Places = dict[tuple[str, ...], str]
"""Label, selection, dataset and budget of a cell -> its place on its method's page."""
SELECTIONS = {
    "last": "the last epoch",
    "val": "the best epoch on held-out training images",
    "best_test": "the best epoch on the test set",
}


def context(site: Site) -> dict[str, Any]:
    """Values of `index.html.j2`."""
    cells = site.results.cells
    runs = [run for cell in cells for run in cell.records]
    protocols = site.results.protocols
    return {
        "title": (protocols[0].title or protocols[0].name) if len(protocols) == 1 else "Results",
        "banner": banner_of(cells),
        "warnings": site.warnings,
        "facts": _facts(site),
        "protocols": [_protocol(site, item, number) for number, item in enumerate(protocols)],
        "failed": [_failure(site, cell, run) for cell in cells for run in cell.failed],
        "figures": site.figures,
        "commits": sorted({run.environment.commit[:10] for run in runs if run.environment.commit}),
    }


def _facts(site: Site) -> list[tuple[str, str]]:
    cells = site.results.cells
    expected = {(cell.protocol.name, run) for cell in cells for run in cell.entry.runs}
    done = {run.run_id for cell in cells for run in cell.done}
    return [
        (str(len(site.methods)), "method" + "s" * (len(site.methods) != 1)),
        (str(len(site.datasets)), "dataset" + "s" * (len(site.datasets) != 1)),
        (f"{len(done):,}/{len({run for _, run in expected}):,}", "runs done"),
    ]


def _protocol(site: Site, protocol: Protocol, position: int) -> dict[str, Any]:
    cells = site.results.of(protocol)
    summary = site.summary[site.summary["protocol"] == protocol.name]
    places: Places = {
        (cell.entry.label, cell.entry.selection, cell.column, cell.entry.task.budget): (
            site.place(cell)
        )
        for cell in cells
    }
    return {
        "id": f"p{position}",
        "name": protocol.name,
        "title": site.title_of(protocol),
        "description": protocol.description,
        "split": protocol.split,
        "repeats": protocol.repeats,
        "selection": SELECTIONS[protocol.selection],
        "datasets": list(dict.fromkeys(summary["dataset"])),
        "tables": [
            _table(part[part["metric"] == metric], metric, places, site, heading)
            for heading, part in sections(summary, protocol)
            for metric in protocol.metrics
            if (part["metric"] == metric).any()
        ],
        "metrics": [
            (metric, metric_title(metric))
            for metric in protocol.metrics
            if (summary["metric"] == metric).any()
        ],
        "unlabelled": sorted({cell.entry.task.test for cell in cells if cell.unlabelled}),
        "published": _sources(protocol, site),
        "shape": bounds.shape(summary),
        "gains": site.gains.get(protocol.name, []),
        "bounds": bounds.in_words(summary),
        "incomplete": not summary["complete"].all(),
        "contaminated": bool(summary["contaminated"].any()),
        "best_test": bool((summary["selection"] == "best_test").any()),
        "table_notes": table_notes(summary),
        "compared": next(
            (f"p{at}" for at, item in enumerate(site.comparisons) if item.protocol == protocol), ""
        ),
        "charts": _charts(protocol, summary),
        "costs": costs.table(site, protocol),
        "gaps": _gaps(summary, protocol.metrics[0], places),
        "noise": _noise(summary, places),
        "noise_rule": RULE,
    }


def _table(
    summary: pd.DataFrame, metric: str, places: Places, site: Site, heading: str
) -> dict[str, Any]:
    protocol = str(summary["protocol"].iloc[0])
    there = set(summary["dataset"])
    printed = [row for row in site.printed.alone(protocol, metric) if row["dataset"] in there]
    arranged = grid(summary, columns=("dataset", "labels"), printed=printed)
    several = len(arranged.values("selection")) > 1
    shown = [cell for cell in arranged.cells.values() if cell.n]
    scale = (min(c.low for c in shown), max(c.high for c in shown)) if shown else (0.0, 1.0)
    heads = [column[0] for column in arranged.columns]
    edges = [at > 0 and name != heads[at - 1] for at, name in enumerate(heads)]
    return {
        "metric": metric,
        "title": f"{heading}: {metric_title(metric)}" if heading else metric_title(metric),
        "descending": metric.partition(BY)[0] not in METRICS or metric_of(metric).higher_is_better,
        "groups": _groups(arranged),
        "columns": [
            {"dataset": column[0], "labels": budget_title(column[1]), "edge": edge}
            for column, edge in zip(arranged.columns, edges, strict=True)
        ],
        "rows": [
            {
                "title": row_title(row, arranged.row_keys, several),
                "href": site.methods[row[0]],
                "audited": site.audit_marks.get(row[0], ""),
                "cells": [
                    _cell(arranged.cells.get((row, column)), scale, places, (*row, *column), edge)
                    for column, edge in zip(arranged.columns, edges, strict=True)
                ],
            }
            for row in arranged.measured_rows
        ],
        "published": [
            _published(arranged, row, edges, site.printed.letters(protocol))
            for row in arranged.published_rows
        ],
    }


def _published(
    arranged: Grid, row: Key, edges: Sequence[bool], letters: Mapping[str, str]
) -> dict[str, Any]:
    """A row of printed numbers without a run of ours."""
    cells = arranged.row(row)
    texts = [cell.published.replace("-", "−") if cell else "" for cell in cells]
    return {
        "title": row_title(row, arranged.row_keys, several=False),
        "mark": mark(letters, (cell.published_in for cell in cells if cell)),
        "cells": list(zip(texts, edges, strict=True)),
    }


def _sources(protocol: Protocol, site: Site) -> dict[str, Any] | None:
    """Where printed numbers come from, and what is odd about them."""
    sources = site.printed.sources(protocol.name)
    letters = site.printed.letters(protocol.name)
    if not sources:
        return None
    return {
        "sources": [(letters.get(source.title, ""), source) for source in sources],
        "notes": [(source.title, note) for source in sources for note in source.notes],
        "caveat": site.printed.caveat(protocol.name),
    }


def _groups(arranged: Grid) -> list[tuple[str, int]]:
    names: list[Key] = list(arranged.columns)
    return [
        (dataset, sum(name[0] == dataset for name in names))
        for dataset in dict.fromkeys(name[0] for name in names)
    ]


def _cell(
    cell: GridCell | None,
    scale: tuple[float, float],
    places: Places,
    place: tuple[str, ...],
    edge: bool,
) -> dict[str, Any] | None:
    if cell is None or not cell.measured:
        return {"published": cell.published} if cell else None
    low, span = scale[0], (scale[1] - scale[0]) or 1.0
    strip = [100 * (value - low) / span for value in (cell.low, cell.high, cell.median)]
    kind = {1: "best", 2: "second"}.get(cell.rank or 0, "") if cell.complete else "part"
    return {
        **texts(cell),
        "href": places.get(place, "#"),
        "kind": " ".join(name for name in (kind, "edge" if edge else "") if name),
        "strip": [f"{value:.0f}" for value in strip] if cell.n else None,
    }


def _charts(protocol: Protocol, summary: pd.DataFrame) -> list[dict[str, Any]]:
    """Few-shot curves: one a dataset, where at least one method has two budgets."""
    charts = []
    metric = protocol.metrics[0]
    shown = summary[summary["metric"] == metric]
    names = list(dict.fromkeys(zip(shown["label"], shown["selection"], strict=True)))
    several = shown["selection"].nunique() > 1
    for dataset, of_dataset in shown.groupby("dataset", sort=False):
        drawn = []
        for key, rows in of_dataset.groupby(["label", "selection"], sort=False):
            own = (str(key[0]), str(key[1]))
            line = over_budgets(row_title(own, ("label", "selection"), several), rows)
            drawn += [(names.index(own), line)] if line is not None else []
        drawn.sort(key=lambda numbered: numbered[0])
        if drawn:
            title = f"{metric_title(metric)} on {dataset} by number of labels"
            axis = Axis("labels", "log", ticks=True)
            ceiling = float(of_dataset["ceiling"].iloc[0])
            level = ceiling if math.isfinite(ceiling) else None
            chart = line_chart(drawn, title, axis, metric_title(metric), WIDE, level)
            legend = [(*series_marks(position), line.title) for position, line in drawn]
            charts.append({"title": dataset, "svg": chart, "legend": legend})
    return charts


def _place(row: Mapping[Hashable, Any]) -> tuple[str, ...]:
    return str(row["label"]), str(row["selection"]), str(row["dataset"]), str(row["labels"])


def _gaps(summary: pd.DataFrame, metric: str, places: Places) -> list[dict[str, Any]]:
    shown = summary[(summary["metric"] == metric) & summary["gap"].notna()]
    return [
        {
            "label": row["label"],
            "href": places.get(_place(row), "#"),
            "dataset": row["dataset"],
            "labels": budget_title(row["labels"]),
            "chosen": number(row["median"], minus="−"),
            "best": number(row["best_test_median"], minus="−"),
            "gap": f"{row['gap']:+.3f}".replace("-", "−"),
            "sort": f"{row['gap']:.6g}",
            "complete": bool(row["complete"]),
        }
        for row in shown.to_dict("records")
    ]


def _noise(summary: pd.DataFrame, places: Places) -> list[dict[str, Any]]:
    """How many test images are semantic noise, a row a cell that can say."""
    shown = summary[summary["noise_n"] > 0].drop_duplicates(
        ["label", "selection", "dataset", "labels"]
    )
    return [
        {
            "label": row["label"],
            "href": places.get(_place(row), "#"),
            "dataset": row["dataset"],
            "labels": budget_title(row["labels"]),
            "median": f"{row['noise']:g}",
            "interval": span(f"{row['noise_low']:g}", f"{row['noise_high']:g}", row["noise_n"]),
            "count": f"{row['noise_n']}/{row['expected']}",
            "complete": row["noise_n"] == row["expected"],
        }
        for row in shown.to_dict("records")
    ]


def _failure(site: Site, cell: CellResult, run: Record) -> dict[str, Any]:
    return {
        "label": cell.entry.label,
        "href": site.place(cell),
        "protocol": cell.protocol.title or cell.protocol.name,
        "task": f"{cell.entry.task.title}, {budget_title(cell.entry.task.budget)}",
        "repeat": run.spec.repeat,
        "error": run.error or "no error was recorded",
    }
