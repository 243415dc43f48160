"""Pages of methods and datasets: what ran, how it trained, and how predictions lie against MOS."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from markupsafe import Markup

from bench.analysis.curves import cloud, diagnostic, loss, on_test, over_epochs
from bench.analysis.grid import MARKS, metric_title, number
from bench.analysis.results import CellResult
from bench.model.contamination import entry_title
from bench.model.identity import digest
from bench.model.records import Record
from bench.model.titles import budget_title
from bench.reports.drawing import Axis
from bench.reports.html.charts import line_chart, scatter
from bench.reports.html.index_page import SELECTIONS
from bench.reports.html.site import Site, banner_of, texts
from bench.reports.html.worst_errors import worst_errors
from bench.stats.median import bounds
from bench.util.environment import Environment
from bench.util.errors import StoreError

UNITS = {
    "angle": "angle in degrees",
    "angle_regulated": "angle after regulation, degrees",
    "kl": "KL divergence",
}


def method(site: Site, label: str) -> dict[str, Any]:
    """Values of `method.html.j2`."""
    cells = [cell for cell in site.results.cells if cell.entry.label == label]
    records = [run for cell in cells for run in cell.records]
    common = _common([run.spec.fit.settings for run in records])
    shared = _shared(cells)
    # Thumbnails of one budget a dataset: the others err on much the same images.
    last = {(cell.protocol.name, cell.entry.task.title): cell for cell in cells}.values()
    return {
        "title": label,
        "banner": banner_of(cells),
        "name": cells[0].entry.method,
        "versions": sorted({run.spec.fit.method_version for run in records}),
        "weights": _distinct(" ".join(run.spec.fit.weights.values()) for run in records),
        "trained_on": sorted({entry_title(name) for run in records for name in run.trained_on}),
        "code": _code(site, records),
        "settings": sorted(common.items()),
        "facts": shared,
        "cells": [_cell(site, cell, common, shared, cell in last) for cell in cells],
    }


def _code(site: Site, records: Sequence[Record]) -> list[str]:
    """Digests of the code that computed the runs, with the day that each passed an audit."""
    texts = []
    for fit in [run.spec.fit for run in records]:
        day = site.audited(fit)
        texts.append(f"{fit.code}, audited {day} ✓" if day else fit.code)
    return list(dict.fromkeys(texts))


def dataset(site: Site, name: str) -> dict[str, Any]:
    """Values of `dataset.html.j2`."""
    cells = [cell for cell in site.results.cells if cell.entry.task.test == name]
    metrics = list(dict.fromkeys(metric for cell in cells for metric in cell.metrics))
    return {
        "title": name,
        "banner": banner_of(cells),
        "sizes": _distinct(
            f"{run.sizes['test']:,} test images" for cell in cells for run in cell.done if run.sizes
        ),
        "digests": _distinct(
            run.digests.get("test", "")[:12] for cell in cells for run in cell.records
        ),
        "metrics": [metric_title(metric) for metric in metrics],
        "rows": [_row(site, cell, metrics) for cell in sorted(cells, key=_order(site, cells))],
        "charts": _last_budget(site, cells),
    }


def _cell(
    site: Site,
    cell: CellResult,
    common: dict[str, Any],
    shared: Sequence[tuple[str, str]],
    last: bool,
) -> dict[str, Any]:
    task = cell.entry.task
    first = next(iter(cell.records), None)
    metrics = cell.metrics
    return {
        "id": site.place(cell).rpartition("#")[2],
        "dataset": task.title,
        "dataset_href": site.datasets[task.test],
        "labels": budget_title(task.budget),
        "protocol": site.title_of(cell.protocol),
        "values": list(_values(site, cell).values()),
        "sources": _sources(site, cell),
        "metrics": [metric_title(metric) for metric in metrics],
        "selection": SELECTIONS[cell.entry.selection],
        "mark": MARKS["best_test"] if cell.entry.selection == "best_test" else "",
        "dagger": cell.contaminated,
        "table_notes": cell.table_notes,
        "charts": [*_scatter(site, cell), *_curves(site, cell)],
        "worst": worst_errors(site, cell, 6) if last else [],
        "runs": [_run(run, cell, repeat) for repeat, run in enumerate(cell.runs)],
        "settings": _own_settings(first, common),
        "facts": [fact for fact in _facts(cell) if fact not in shared],
        "notes": list(dict.fromkeys(note for run in cell.records for note in run.notes)),
    }


def _values(site: Site, cell: CellResult) -> dict[str, dict[str, Any]]:
    return {
        metric: {"metric": metric_title(metric), **texts(found)}
        for metric, found in site.numbers(cell).items()
    }


def _sources(site: Site, cell: CellResult) -> str:
    """The tables that printed numbers beside this cell come from."""
    found = (item.published_in for item in site.numbers(cell).values())
    return "; ".join(dict.fromkeys(filter(None, found)))


def _order(site: Site, cells: Sequence[CellResult]) -> Callable[[CellResult], tuple[Any, ...]]:
    """Task by task as protocols list them, and within a task the best first."""
    tasks = list(dict.fromkeys((cell.protocol.name, cell.entry.task) for cell in cells))

    def key(cell: CellResult) -> tuple[Any, ...]:
        first = next(iter(site.numbers(cell).values()), None)
        place = tasks.index((cell.protocol.name, cell.entry.task))
        return place, first.rank if first and first.rank else math.inf

    return key


def _row(site: Site, cell: CellResult, metrics: Sequence[str]) -> dict[str, Any]:
    task = cell.entry.task
    found = _values(site, cell)
    double = MARKS["best_test"] if cell.entry.selection == "best_test" else ""
    return {
        "label": cell.entry.label,
        "href": site.place(cell),
        "protocol": site.title_of(cell.protocol),
        "train": task.train if task.train != task.test else "",
        "labels": budget_title(task.budget),
        "order": task.labels or 0,
        "mark": (MARKS["contaminated"] if cell.contaminated else "") + double,
        "table_notes": cell.table_notes,
        "values": [found.get(metric) for metric in metrics],
    }


def _last_budget(site: Site, cells: Sequence[CellResult]) -> list[dict[str, Any]]:
    """One scatter a method: that of its last cell, the largest budget as protocols list them."""
    last = {cell.entry.label: cell for cell in cells}
    return [
        {
            **chart,
            "title": f"{label}, {budget_title(cell.entry.task.budget)}",
            "worst": worst_errors(site, cell, 4),
        }
        for label, cell in last.items()
        for chart in _scatter(site, cell)
    ]


def _scatter(site: Site, cell: CellResult) -> list[dict[str, Any]]:
    run = cell.typical(cell.protocol.metrics[0])
    if run is None or cell.unlabelled:
        return []
    try:
        points = cloud(site.results, run)
    except (StoreError, ValueError, KeyError) as error:
        site.notes.append(f"{cell.entry.label} on {cell.entry.task.title}: no scatter: {error}")
        return []
    key = ("scatter", run.run_id)  # on the method's page and on the dataset's
    name = f"Prediction against MOS, {cell.entry.label} on {cell.entry.task.title}"
    fit = "with the fitted logistic" if points.curve else f"no logistic: {points.reason}"
    text = f"split {run.spec.repeat}, the median one; {fit}"
    if key not in site.results.worked_out:
        site.results.worked_out[key] = scatter(points, name)
    svg: Markup = site.results.worked_out[key]
    return [{"title": "Prediction against MOS", "svg": svg, "text": text}]


def _curves(site: Site, cell: CellResult) -> list[dict[str, Any]]:
    metric = cell.protocol.metrics[0]
    runs = site.results.trained(cell)
    names = dict.fromkeys(
        name for run in runs for point in run.curve[:2] for name in point.diagnostics
    )
    wanted = [(f"{metric_title(metric)} on the test images", metric_title(metric), on_test(metric))]
    wanted += [("Training loss", "loss", loss)]
    wanted += [(UNITS.get(name, name), UNITS.get(name, name), diagnostic(name)) for name in names]
    charts = []
    for title, y_title, reading in wanted:
        line = over_epochs(title, runs, reading)
        if line is not None:
            name = f"{title} by epoch, {cell.entry.label} on {cell.entry.task.title}"
            svg: Markup = line_chart([(0, line)], name, Axis("epoch"), y_title)
            charts.append({"title": title[0].upper() + title[1:], "svg": svg, "text": ""})
    if charts:
        charts[0]["text"] = (
            f"median and {bounds(len(cell.done)) or 'value'} over {len(cell.done)} splits"
        )
    return charts


def _run(run: Record | None, cell: CellResult, repeat: int) -> dict[str, Any]:
    metrics = cell.metrics
    if run is None:
        return {"repeat": repeat, "status": "missing", "values": ["–"] * len(metrics)}
    values = [run.value(metric, cell.entry.selection) for metric in metrics]
    return {
        "repeat": repeat,
        "status": run.status,
        "values": ["–" if value is None else number(value, minus="−") for value in values],
        "epoch": run.chosen_epoch.get(cell.entry.selection, ""),
        "seconds": f"{run.seconds['total']:.0f} s" if "total" in run.seconds else "",
        "id": run.run_id,
        "error": run.error,
    }


def _own_settings(run: Record | None, common: dict[str, Any]) -> list[tuple[str, Any]]:
    settings = run.spec.fit.settings if run is not None else {}
    return sorted((key, value) for key, value in settings.items() if key not in common)


def _facts(cell: CellResult) -> list[tuple[str, str]]:
    """How a cell's runs were split, decoded and computed."""
    run = next(iter(cell.records), None)
    if run is None:
        return []
    spec, sizes = run.spec, run.sizes
    pairs = [
        ("Images", ", ".join(f"{count:,} {side}" for side, count in sizes.items() if count)),
        ("Splits", f"{spec.fit.split.scheme}, seed {spec.fit.split.seed}"),
        ("Splits' digest", _splits(cell)),
        ("Labels scaled", spec.fit.normalise),
        ("Pre-trained state", spec.fit.pretrained or ""),
        ("Images decoded", spec.fit.image_policy),
    ]
    pairs += [
        ("Environment", text) for text in _distinct(_environment(r.environment) for r in cell.done)
    ]
    return [(name, value) for name, value in pairs if value]


def _splits(cell: CellResult) -> str:
    """One name for all splits of a cell: the same for every method that ran on the same ones."""
    return digest([None if run is None else run.spec.split_digest for run in cell.runs], 12)


def _shared(cells: Sequence[CellResult]) -> list[tuple[str, str]]:
    """Facts that hold for all cells with records, said once."""
    found = [facts for cell in cells if (facts := _facts(cell))]
    return [fact for fact in found[0] if all(fact in other for other in found)] if found else []


def _environment(found: Environment) -> str:
    commit = found.commit[:10] + (" with uncommitted changes" if found.dirty else "")
    packages = ", ".join(f"{name} {version}" for name, version in found.packages.items())
    parts = [
        f"commit {commit}" if commit else "",
        f"Python {found.python}" if found.python else "",
        found.platform,
        found.device,
        f"{found.threads} threads" if found.threads else "",
        packages,
    ]
    return " · ".join(part for part in parts if part)


def _common(settings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Settings that are the same in all runs."""
    first = settings[0] if settings else {}
    missing = object()
    return {
        key: value
        for key, value in first.items()
        if all(other.get(key, missing) == value for other in settings)
    }


def _distinct(values: Iterable[str]) -> list[str]:
    return [value for value in dict.fromkeys(values) if value]
