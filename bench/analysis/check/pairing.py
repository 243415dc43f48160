"""Which runs of two result sets belong together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.analysis import split_images
from bench.stats import SplitSizes
from bench.store.table import CELL, SPLIT
from bench.util.errors import UsageError, unknown

if TYPE_CHECKING:
    import pandas as pd

CellKey = tuple[str, ...]
"""Protocol, label, train, test, budget, selection."""
Split = tuple[str, int]


@dataclass(frozen=True)
class PairedRuns:
    """One cell of the baseline beside the cell of the new set that it is compared with."""

    key: CellKey
    """The new set's cell; the baseline's where the new set has none."""
    against: str
    """Label of the baseline's cell."""
    old: tuple[float, ...]
    new: tuple[float, ...]
    """Values of the metric on the same splits, (k,) each."""
    sizes: SplitSizes | None
    """Of the baseline's splits; None where they are not known."""
    missing: tuple[str, ...]
    """What the baseline has and the new set lacks, each with its reason."""
    undefined: int
    """Runs of the baseline without a value to compare with."""
    expected: int
    """Finished runs of the baseline."""
    records: tuple[tuple[str, str], ...] = ()
    """Records of both runs, the baseline's first, pair by pair; none of a baseline file."""


def pair(
    new: pd.DataFrame, old: pd.DataFrame, metric: str, reference: str | None = None
) -> list[PairedRuns]:
    """Every cell of `old` with the runs of `new` on the same splits, in the order of `old`.

    Both are tables as `bench.store.table.load` gives them. A cell is known by its label, task and
    selection, and by its protocol where both sets have one of that name. With `reference`, every
    method of `new` is paired with that method of `old` instead. Raises `UsageError` where `old` has
    no such method.
    """
    fresh, stored = _cells(new), _cells(old)
    if reference is None:
        matches = [(key, _counterpart(key, fresh, stored[key]), key) for key in stored]
    else:
        matches = list(_against(reference, old, fresh, stored))
    return [
        _pairs(key, fresh.get(found) if found else None, stored[base], base[1], metric)
        for key, found, base in matches
    ]


def _cells(frame: pd.DataFrame) -> dict[CellKey, pd.DataFrame]:
    grouped = frame.groupby(["protocol", *CELL], sort=False)
    return {tuple(map(str, key)): part for key, part in grouped}


def _counterpart(
    key: CellKey, cells: dict[CellKey, pd.DataFrame], stored: pd.DataFrame
) -> CellKey | None:
    """The same cell, under another protocol only where there is no doubt which one is meant.

    Of several tables of a protocol, the one that is measured as the stored cell is.
    """
    others = [other for other in cells if other[1:] == key[1:]]
    alike = [other for other in others if not _otherwise(cells[other], stored)]
    for found in ([key] if key in alike else [], alike, [key] if key in cells else [], others):
        if len(found) == 1:
            return found[0]
    return None


def _otherwise(fresh: pd.DataFrame, stored: pd.DataFrame) -> str:
    """How two cells are measured, where that differs; baselines of older versions do not say."""
    here, there = (str(cell["measured"].iloc[0] or "") for cell in (fresh, stored))
    return f"measured with {here} here, with {there} there" if here != there and there else ""


def _against(
    reference: str,
    old: pd.DataFrame,
    fresh: dict[CellKey, pd.DataFrame],
    stored: dict[CellKey, pd.DataFrame],
) -> Iterator[tuple[CellKey, CellKey | None, CellKey]]:
    """(cell to report, new cell or None, stored cell) for every method of the new set."""
    label = _label(reference, old)
    bases = [key for key in stored if key[1] == label]
    methods = list(dict.fromkeys(key[1] for key in fresh))
    for base in bases:
        for method in methods:
            wanted = (base[0], method, *base[2:])
            yield wanted, _counterpart(wanted, fresh, stored[base]), base
        if not methods:
            yield base, None, base


def _label(reference: str, old: pd.DataFrame) -> str:
    """What tables call a method that is given by its label or, without doubt, by its name."""
    labels = set(old["label"])
    named = set(old["label"][old["method"] == reference])
    if reference in labels:
        return reference
    if len(named) > 1:
        raise UsageError(f"'{reference}' has several rows; give one of {', '.join(sorted(named))}")
    if not named:
        raise unknown("method in the baseline", reference, labels)
    return str(named.pop())


def _pairs(
    key: CellKey, fresh: pd.DataFrame | None, stored: pd.DataFrame, against: str, metric: str
) -> PairedRuns:
    refused = "" if fresh is None else _otherwise(fresh, stored)
    runs = _by_split(fresh) if fresh is not None and not refused else {}
    base = {split: row for split, row in _by_split(stored).items() if row["status"] == "done"}
    old, new, records, missing, undefined = [], [], list[tuple[str, str]](), [], 0
    for split, row in base.items():
        value = _value(row, metric)
        other = _value(runs.get(split, {}), metric)
        if value is None:
            undefined += 1
        elif other is None:
            missing.append(f"repeat {split[1]}: {_why(runs.get(split), metric)}")
        else:
            old.append(value)
            new.append(other)
            if row.get("record"):
                records.append((str(row["record"]), str(runs[split]["record"])))
    if missing and fresh is None:
        missing = ["no run of this cell"]
    elif missing and refused:
        missing = [refused]
    return PairedRuns(
        key,
        against,
        tuple(old),
        tuple(new),
        split_images.sizes(stored[stored["status"] == "done"]),
        tuple(missing),
        undefined,
        len(base),
        tuple(records),
    )


def _by_split(cell: pd.DataFrame) -> dict[Split, dict[str, Any]]:
    read = cell[cell[SPLIT[0]].notna()]
    columns = [str(column) for column in read.columns]
    rows: list[dict[str, Any]] = [dict(zip(columns, row, strict=True)) for row in read.to_numpy()]
    return {(str(row[SPLIT[0]]), int(row[SPLIT[1]])): row for row in rows}


def _why(run: dict[str, Any] | None, metric: str) -> str:
    if run is None:
        return "not there"
    return "failed" if run["status"] == "failed" else f"{metric} is undefined"


def _value(row: dict[str, Any], metric: str) -> float | None:
    value = row.get(metric)
    # A failed run has no value, and what is undefined is NaN.
    return None if value is None or value != value else float(value)
