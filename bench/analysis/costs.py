"""The cost of each row, beside its quality: measured costs and those in records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.model import costs
from bench.model.records import Record
from bench.util.errors import UsageError, unknown

if TYPE_CHECKING:
    import pandas as pd

    from bench.analysis.results import CellResult, Results

LIMITS = {
    "parameters": "parameters",
    "gmacs": "billion multiply-adds an image",
    "ms": "milliseconds an image",
    "memory": "peak memory, MiB",
    "fit_seconds": "seconds a fit",
    "tokens": "tokens an image",
}
"""Columns that `--limit NAME=VALUE` accepts, with their meaning."""
COLUMNS = (
    *("protocol", "label", "parameters", "trained_parameters", "gmacs", "image"),
    *("ms", "images_per_second", "batch", "device", "memory", "fit_seconds", "tokens"),
)


@dataclass(frozen=True)
class Limits:
    """Upper bounds of costs, by column."""

    bounds: Mapping[str, float]

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Limits:
        """Limits of texts NAME=VALUE. Raises `UsageError` for any other text."""
        bounds = {}
        for text in texts:
            name, _, value = text.partition("=")
            if name not in LIMITS:
                raise unknown("cost", name, LIMITS, "--limit")
            try:
                bounds[name] = float(value)
            except ValueError:
                bounds[name] = math.nan
            if not 0 <= bounds[name] < math.inf:
                raise UsageError(f"--limit {text}: expected NAME=VALUE with a number from 0")
        return cls(bounds)

    def broken(self, row: Mapping[str, Any]) -> str:
        """Why a row is left out; '' if it keeps all limits. Unknown costs exceed every limit."""
        for name, bound in self.bounds.items():
            value = row[name]
            if value is None or math.isnan(value):
                return f"its {LIMITS[name]} are not known (--limit {name}={bound:g})"
            if value > bound:
                return f"{value:.4g} {LIMITS[name]}, above --limit {name}={bound:g}"
        return ""


NO_LIMITS = Limits({})


def frame(results: Results) -> pd.DataFrame:
    """`rows` as a table."""
    import pandas as pd

    return pd.DataFrame(rows(results), columns=list(COLUMNS))


def rows(results: Results) -> list[dict[str, Any]]:
    """A row for each protocol and label, keys `COLUMNS`; NaN where nothing is known."""
    known = {cost.key: cost for cost in costs.read_all(results.store.root)}
    cells: dict[tuple[str, str], list[CellResult]] = {}
    for cell in results.cells:
        cells.setdefault((cell.protocol.name, cell.entry.label), []).append(cell)
    return [
        {"protocol": protocol, "label": label, **row_of([r for c in of for r in c.done], known)}
        for (protocol, label), of in cells.items()
    ]


def row_of(runs: Sequence[Record], known: Mapping[str, costs.Cost]) -> dict[str, Any]:
    """The costs of one row: the last run's measured ones, and medians over its runs' records."""
    cost = next((found for run in reversed(runs) if (found := _cost(run, known))), None)
    fits = [run.seconds["fit"] for run in runs if run.seconds.get("fit")]
    memory = [run.peak_memory_mb for run in runs if run.peak_memory_mb]
    speed = cost.milliseconds if cost and cost.milliseconds else _recorded(runs)
    measured = cost is not None and cost.multiply_adds is not None
    return {
        "parameters": _number(cost.parameters if cost else None),
        "trained_parameters": _number(cost.trained_parameters if cost else None),
        "gmacs": cost.multiply_adds / 1e9 if cost and cost.multiply_adds else math.nan,
        "image": f"{cost.width} x {cost.height}" if cost and measured else "",
        "ms": speed,
        "images_per_second": 1000 / speed if speed and not math.isnan(speed) else math.nan,
        "batch": _number(cost.batch if cost else None),
        "device": cost.hardware if cost else (runs[-1].environment.device if runs else ""),
        "memory": median(memory) if memory else math.nan,
        "fit_seconds": median(fits) if fits else math.nan,
        "tokens": _number(cost.tokens if cost else None),
    }


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Positions of (cost, score) pairs that no other is both cheaper than and as good as.

    In order of cost; of equal pairs the first counts.

    >>> front([(1, .5), (2, .4), (3, .9), (3, .8)])
    [0, 2]
    """
    best, found = -math.inf, []
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if points[index][1] > best:
            best = points[index][1]
            found.append(index)
    return found


def _cost(run: Record, known: Mapping[str, costs.Cost]) -> costs.Cost | None:
    fit = run.spec.fit
    for device in ("cuda", "cpu"):
        key = costs.key_of(fit.method, fit.settings, fit.code, device)
        if key in known:
            return known[key]
    return None


def _recorded(runs: Sequence[Record]) -> float:
    """Milliseconds for each image, of runs with a prediction time; NaN without any."""
    found = [
        1000 * run.seconds["predict"] / run.sizes["test"]
        for run in runs
        if run.seconds.get("predict") and run.sizes.get("test") and not run.spec.fit.evaluate_every
    ]
    return median(found) if found else math.nan


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
