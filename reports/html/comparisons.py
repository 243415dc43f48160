"""The comparison page: every pair of methods on each task, and their ranks across datasets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bench.analysis import compare
from bench.analysis.compare import SIGNIFICANT, Comparisons, Matrix, Versus, matrix
from bench.analysis.grid import metric_title
from bench.metrics import metric as metric_of
from bench.model.titles import budget_title, task_title
from bench.reports import rank_diagram as diagrams
from bench.reports.html.charts import rank_diagram
from bench.reports.html.index_page import SELECTIONS
from bench.reports.html.site import Site, banner_of


def context(site: Site) -> dict[str, Any]:
    """Values of `comparisons.html.j2`."""
    return {
        "title": "Comparisons",
        "banner": banner_of(site.results.cells),
        "level": f"{SIGNIFICANT:g}",
        "protocols": [_protocol(site, item, at) for at, item in enumerate(site.comparisons)],
    }


def _protocol(site: Site, item: Comparisons, position: int) -> dict[str, Any]:
    higher = metric_of(item.metric).higher_is_better
    several = len({task.selection for task in item.tasks}) > 1
    tables = [_table(site, matrix(task, higher), several) for task in item.tasks]
    return {
        "id": f"p{position}",
        "title": site.title_of(item.protocol),
        "metric": metric_title(item.metric),
        "diagrams": [_diagram(found, item.ranks) for found in item.ranks],
        "tables": tables,
        "tasks": list(dict.fromkeys(table["title"] for table in tables)),
        "same_test": any(task.same_test for task in item.tasks),
        "equal": sorted({c.reason for t in tables for c in t["versus"] if c.reason}),
    }


def _table(site: Site, found: Matrix, several: bool) -> dict[str, Any]:
    task = found.task
    where = task_title(task.train, task.test)
    title = f"{where}, {budget_title(task.budget)}"
    return {
        "title": f"{title} ({SELECTIONS[task.selection]})" if several else title,
        "splits": task.n_splits,
        "names": [(name, site.methods[name]) for name in found.names],
        "rows": [
            {
                "name": row,
                "href": site.methods[row],
                "cells": [
                    _cell(found.cells[row, column]) if row != column else None
                    for column in found.names
                ],
            }
            for row in found.names
        ],
        "versus": list(found.cells.values()),
        "left_out": list(task.left_out.items()),
    }


def _cell(found: Versus) -> dict[str, Any]:
    kind = ("better" if found.difference > 0 else "worse") if found.significant else ""
    return {
        "difference": f"{found.difference:+.3f}".replace("-", "−"),
        "p": p_value(found.p),
        "wins": f"{found.wins}–{found.losses}",
        "kind": kind,
        "sort": f"{found.difference:.6g}",
    }


def p_value(p: float) -> str:
    """A p-value as tables print it.

    >>> p_value(0.0312), p_value(0.00004), p_value(1.0), p_value(math.nan)
    ('p 0.031', 'p < 0.001', 'p 1', 'no p')
    """
    if math.isnan(p):
        return "no p"
    return "p < 0.001" if p < 0.001 else f"p {p:.2g}"


def _diagram(
    found: compare.AcrossDatasets, ranks_of: Sequence[compare.AcrossDatasets]
) -> dict[str, Any]:
    where = budget_title(found.budget)
    if len({item.selection for item in ranks_of}) > 1:
        where += f", {SELECTIONS[found.selection]}"
    return {
        "title": where[0].upper() + where[1:],
        "svg": rank_diagram(found, f"Critical-difference diagram, {where}"),
        "caption": diagrams.caption(found),
        "rows": [
            (name, f"{rank:.2f}")
            for name, rank in zip(found.result.names, found.result.ranks, strict=True)
        ],
        "groups": [
            ", ".join(found.result.names[i] for i in group.members) for group in found.result.groups
        ],
        "datasets": ", ".join(found.datasets),
        "left_out": list(found.left_out.items()),
    }
