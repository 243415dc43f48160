"""A method's model card: settings, training data, results and cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from bench.analysis import costs
from bench.analysis.check.writers import markdown
from bench.analysis.grid import Grid, GridCell, grid, metric_title, number
from bench.analysis.results import CellResult, Results
from bench.analysis.summary import base_name
from bench.model import audits
from bench.model import costs as model_costs
from bench.model.contamination import entry_title
from bench.model.records import Record
from bench.model.titles import budget_title
from bench.reports import bounds
from bench.reports.html.site import banner_of
from bench.util.errors import StoreError, unknown

if TYPE_CHECKING:
    import pandas as pd

_COSTS = (
    ("parameters", "parameters", ",.0f"),
    ("trained_parameters", "trained parameters", ",.0f"),
    ("gmacs", "billion multiply–adds an image", ",.2f"),
    ("ms", "milliseconds an image", ",.1f"),
    ("memory", "MiB of memory at most", ",.0f"),
    ("fit_seconds", "seconds a fit", ",.1f"),
    ("tokens", "tokens an image", ",.0f"),
)


def write(results: Results, method: str, summary: pd.DataFrame) -> str:
    """The card of a row of the tables as Markdown, from stored records alone.

    `method` is the row's label, or the name of a method that only one row has. `summary` is that of
    `results`, with intervals over images where those are wanted. Raises `UsageError` for a method
    without a row, `StoreError` for one without a finished run.
    """
    label = _label(results, method)
    cells = [cell for cell in results.cells if cell.entry.label == label]
    runs = [run for cell in cells for run in cell.done]
    if not runs:
        raise StoreError(f"'{label}' has no finished run in '{results.store.root}'")
    own = summary[summary["label"] == label]
    parts = [
        f"# {markdown(label)}",
        *_banner(cells),
        "## What it is",
        _items(_identity(runs)),
        "## Settings",
        _settings(runs),
        "## Data seen",
        _items(_data(cells, runs)),
        "## Results",
        *_results(results, own),
        "## Cost",
        _items(_cost(results, cells)),
        "## How it was computed",
        _items(_circumstances(results, runs)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _label(results: Results, method: str) -> str:
    labels = list(dict.fromkeys(cell.entry.label for cell in results.cells))
    named = {cell.entry.label for cell in results.cells if cell.entry.method == method}
    if method in labels:
        return method
    if len(named) == 1:
        return named.pop()
    raise unknown("method in these results", method, named or labels)


def _banner(cells: Sequence[CellResult]) -> Iterable[str]:
    found = banner_of(cells)
    if found is not None:
        yield f"> **{found[0]}.** {found[1]}"


def _items(pairs: Iterable[tuple[str, str]]) -> str:
    """A list of facts; those without a value are left out."""
    return "\n".join(f"- **{name}**: {text}" for name, text in pairs if text)


def _identity(runs: Sequence[Record]) -> Iterable[tuple[str, str]]:
    fits = [run.spec.fit for run in runs]
    yield "Method", _code(fit.method for fit in fits)
    yield "Version", _code(fit.method_version for fit in fits)
    yield "Digest of its code", _code(fit.code for fit in fits)
    yield "Weights", _code(" ".join(fit.weights.values()) for fit in fits)
    yield "Pre-trained state", _code(fit.pretrained or "" for fit in fits)
    yield "Images are decoded as", _code(fit.image_policy for fit in fits)


def _settings(runs: Sequence[Record]) -> str:
    """A row a setting: its value, or all values where cells have different ones."""
    found: dict[str, list[str]] = {}
    for run in runs:
        for name, value in run.spec.fit.settings.items():
            found.setdefault(name, []).append(str(value))
    if not found:
        return "None."
    rows = [(name, "; ".join(dict.fromkeys(values))) for name, values in sorted(found.items())]
    return _table(("setting", "value"), rows)


def _data(cells: Sequence[CellResult], runs: Sequence[Record]) -> Iterable[tuple[str, str]]:
    seen = sorted({entry_title(name) for run in runs for name in run.trained_on})
    yield "Labels seen before any fit", ", ".join(map(markdown, seen)) or "none are declared"
    learnt = [
        f"{source} ({budget_title(cell.entry.task.budget)})"
        for cell in cells
        for source in cell.entry.task.sources
        if not cell.entry.task.zero_shot and any(run.sizes.get("train") for run in cell.done)
    ]
    yield "Learnt from here", ", ".join(map(markdown, dict.fromkeys(learnt))) or "nothing"
    tested = dict.fromkeys(cell.entry.task.test for cell in cells)
    yield "Tested on", ", ".join(map(markdown, tested))
    dirty = dict.fromkeys(base_name(c.entry.task.test) for c in cells if c.contaminated)
    yield (
        "Contaminated",
        f"{', '.join(map(markdown, dirty))}: labels of the test images had been seen before"
        if dirty
        else "",
    )
    rules = dict.fromkeys(
        f"{run.spec.fit.split.scheme}, seed {run.spec.fit.split.seed}" for run in runs
    )
    yield "Splits", ", ".join(map(markdown, rules))


def _results(results: Results, own: pd.DataFrame) -> Iterable[str]:
    for protocol in results.protocols:
        rows = own[own["protocol"] == protocol.name]
        if rows.empty:
            continue
        title = protocol.title or protocol.name
        yield f"### {markdown(title)}"
        arranged = grid(rows, rows=("dataset", "labels", "selection"), columns=("metric",))
        yield _table(
            ("dataset", "labels", *(metric_title(column[0]) for column in arranged.columns)),
            [_row(arranged, key) for key in arranged.rows],
        )
        words = " ".join(f"{markdown(sentence)}." for sentence in bounds.in_words(rows))
        marks = _marks(arranged)
        yield f"Median over splits {bounds.shape(rows)} runs that count. {words} {marks}".strip()
        notes = dict.fromkeys(note for text in rows["notes"] for note in filter(None, [text]))
        if notes:
            yield "\n".join(f"- § {markdown(note)}" for note in notes)


def _row(arranged: Grid, key: tuple[str, ...]) -> tuple[str, ...]:
    dataset, labels, selection = key
    where = labels if selection == "last" else f"{labels} ({selection})"
    return dataset, where, *(_value(cell) for cell in arranged.row(key))


def _value(cell: GridCell | None) -> str:
    """`0.812 [0.790, 0.834] 10/10 †`, with the interval over images where there is one."""
    if cell is None:
        return "–"
    images = f"images {cell.over_images()}" if cell.over_images() else ""
    parts = (number(cell.median), cell.over_splits(), images, cell.count, cell.marks)
    return " ".join(part for part in parts if part)


def _marks(arranged: Grid) -> str:
    found = {mark for cell in arranged.cells.values() for mark in cell.marks}
    meanings = {
        "†": "† The weights had seen labels of the test dataset.",
        "‡": "‡ The epoch was chosen on the test set: an upper bound.",
    }
    return " ".join(text for mark, text in meanings.items() if mark in found)


def _cost(results: Results, cells: Sequence[CellResult]) -> Iterable[tuple[str, str]]:
    known = {cost.key: cost for cost in model_costs.read_all(results.store.root)}
    row = costs.row_of([run for cell in cells for run in cell.done], known)
    for name, title, form in _COSTS:
        value = float(row[name])
        yield title[0].upper() + title[1:], "" if math.isnan(value) else format(value, form)
    where = [str(row[name]) for name in ("device", "image") if row[name]]
    yield "Measured on", markdown(", images of ".join(where))


def _circumstances(results: Results, runs: Sequence[Record]) -> Iterable[tuple[str, str]]:
    yield "Runs", f"{len({run.run_id for run in runs}):,}"
    yield "Commit", _code(run.environment.commit[:10] for run in runs)
    yield "Hardware", ", ".join(map(markdown, _distinct(run.environment.device for run in runs)))
    yield "Python", ", ".join(map(markdown, _distinct(run.environment.python for run in runs)))
    packages = _distinct(
        f"{name} {version}" for run in runs for name, version in run.environment.packages.items()
    )
    yield "Packages", ", ".join(map(markdown, packages))
    yield "Audit", _audit(results, runs)


def _audit(results: Results, runs: Sequence[Record]) -> str:
    """Whether `bench audit` passed the code and settings of every run."""
    found = audits.read_all(results.store.root)
    keys = {audits.key_of(r.spec.fit.method, r.spec.fit.settings, r.spec.fit.code) for r in runs}
    passed = [found[key] for key in keys if key in found and found[key].passed]
    if len(passed) < len(keys):
        return "not passed for all of its runs"
    return f"passed, {max(audit.created for audit in passed)[:10]}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(_cell(text) for text in line)} |" for line in lines)


def _cell(text: str) -> str:
    return text if text == "---" else markdown(text)


def _code(texts: Iterable[str]) -> str:
    return ", ".join(f"`{text.replace('`', '')}`" for text in _distinct(texts))


def _distinct(values: Iterable[Any]) -> list[str]:
    return [str(value) for value in dict.fromkeys(values) if value]
