"""The one table of results: a row for every run of every cell, done or not.

Everything that counts, compares or prints results reads this table; only figures and pages also
look at the records themselves (`cells`).

>>> from bench.store import table
>>> runs = table.load("results")  # doctest: +SKIP
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from bench.data.at_hand import AtHand
from bench.model.contamination import saw_test_labels
from bench.model.identity import canonical
from bench.model.measure import Measure
from bench.model.records import Record, Selection, Task
from bench.protocol import Protocol
from bench.store import Store
from bench.store.judging import judge, judged, known_for
from bench.store.manifest import CellEntry, tables
from bench.util.atomic import replacing
from bench.util.errors import StoreError, UsageError, unknown
from bench.util.gc_paused import gc_paused
from bench.util.listing import listed

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("csv", "parquet", "json")
CELL = ("label", "train", "test", "budget", "selection")
"""Columns that identify a cell within a protocol."""
SPLIT = ("split_digest", "repeat")
"""Columns that identify a run within a cell. The digest alone does not, since an official split is
the same at every repeat."""
COLUMNS = (
    *("protocol", "label", "method", "train", "test", "budget", "labels", "ratio", "selection"),
    "measured",
    *("repeat", "status", "run_id", "split_digest", "n_train", "n_val", "n_test", "n_pool"),
    *("method_version", "code", "settings", "weights", "pretrained", "trained_on"),
    *("contaminated", "notes"),
    *("fit_seconds", "predict_seconds", "total_seconds", "peak_memory_mb"),
    *("device", "commit", "created", "error", "record", "labelled", "n_evaluated"),
)
"""Columns that a table always has, in this order. Metrics follow, each of the cell's selection as
METRIC and of the best test epoch as best_test_METRIC."""
BEST_TEST = "best_test_"
NOTE_BREAK = "; "
"""Separates the notes that a table has to show."""
_COUNTS = ("labels", "repeat", "n_train", "n_val", "n_test", "n_pool", "n_evaluated")

CellRecords = tuple[Protocol, CellEntry, tuple[Record | None, ...]]
"""A cell of a protocol with its runs, repeat by repeat; None where there is no readable record."""


def load(
    results: str | Path | Store, *, selection: str | None = None, metrics: Sequence[str] = ()
) -> pd.DataFrame:
    """Every run of every cell as one row, in the order of the protocols' tables.

    A run that two cells share has two rows; a run that no protocol mentions has the protocol ''.
    `status` is done, failed or missing. Metrics are those of the cell's own selection, or of
    `selection`; undefined and absent values are NaN. Those of `metrics` that a record lacks are
    computed from its stored predictions.

    Raises `UsageError` for an unknown folder or metric. Records and predictions that
    cannot be read count as missing; pass a `Store` to find them in its `problems`.
    """
    _require_known(metrics)
    store = results if isinstance(results, Store) else Store(Path(results))
    if not store.root.is_dir():
        raise UsageError(f"no results folder '{store.root}'")
    found = cells(store) if listed(store.root / "protocols", "*.json") else ()
    return tabulate(store, found, selection, metrics, others=True)


def cells(store: Store, at_hand: AtHand | None = None) -> Iterator[CellRecords]:
    """Every cell of every manifest with the records of its runs, without their curves.

    A record that several cells name is read once; metrics that it lacks are computed from
    predictions and the databases `at_hand` (by default those of `IQA_DATA`). Raises
    `StoreError` if there is no manifest.
    """
    from bench.metrics import BY, METRICS, USUAL

    found = tables(store)
    at_hand = at_hand or AtHand()
    mentions = Counter(run for _, entries in found for cell in entries for run in cell.runs)
    # Only records that are needed again are kept: a hundred thousand of them take a gigabyte.
    shared: dict[str, Record | None] = {}

    def read(run: str) -> Record | None:
        if run in shared:
            return shared[run]
        record = store.read(run, curve=False)
        if mentions[run] > 1:
            shared[run] = record
        return record

    for protocol, entries in found:
        # Metrics that not every run records.
        extra = [
            name
            for name in protocol.metrics
            if name not in USUAL and name.partition(BY)[0] in METRICS
        ]
        for cell in entries:
            records = tuple(map(read, cell.runs))
            if extra:
                records = tuple(
                    record and judged(store, record, extra, at_hand) for record in records
                )
            yield protocol, cell, records


@gc_paused()
def tabulate(
    store: Store,
    found: Iterable[CellRecords],
    selection: str | None = None,
    metrics: Sequence[str] = (),
    others: bool = False,
    at_hand: AtHand | None = None,
) -> pd.DataFrame:
    """`load` for cells that were read already; with `others` also for records in no cell."""
    import pandas as pd

    rows = _RunRows(store, selection, metrics, at_hand or AtHand()).of_all(found, others)
    # Column by column: as a list of rows, a large table would take several times its memory.
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for count, row in enumerate(rows):
        columns.update({name: [None] * count for name in row if name not in columns})
        for name, values in columns.items():
            values.append(row.get(name))
    measured = [name for name in columns if name not in COLUMNS]
    measured.sort(key=lambda name: name.startswith(BEST_TEST))
    types = {**dict.fromkeys(_COUNTS, "Int64"), **dict.fromkeys(measured, "float")}
    frame = pd.DataFrame(columns, columns=[*COLUMNS, *measured])
    return frame.astype({**types, "labelled": "boolean"})


def metrics_of(runs: pd.DataFrame) -> list[str]:
    """The metrics that have a column in the table."""
    return [
        str(name)
        for name in runs.columns
        if name not in COLUMNS and not str(name).startswith(BEST_TEST)
    ]


@dataclass
class _RunRows:
    """Makes rows of records."""

    store: Store
    selection: str | None
    metrics: Sequence[str]
    at_hand: AtHand

    def of_all(self, found: Iterable[CellRecords], others: bool) -> Iterator[dict[str, Any]]:
        """A row for each run of the cells, with `others` also for each other record."""
        seen: set[str] = set()
        for protocol, cell, records in found:
            yield from self.of_cell(protocol.name, cell, records)
            seen.update(cell.runs)
        if others:
            yield from self.of_no_cell(seen)

    def of_cell(
        self, protocol: str, cell: CellEntry, records: Sequence[Record | None]
    ) -> Iterator[dict[str, Any]]:
        """A row for each run of a cell, with or without a record."""
        keys = _keys(protocol, cell.label, cell.method, cell.task, cell.selection, cell.measure)
        for repeat, (path, record) in enumerate(zip(cell.runs, records, strict=True)):
            name = path.rpartition("/")[2].removesuffix(".json")
            absent = {"run_id": name, "status": "missing", "repeat": repeat, "record": path}
            yield {**keys, **absent, **(self._of(record, cell.selection) if record else {})}

    def of_no_cell(self, seen: set[str]) -> Iterator[dict[str, Any]]:
        """Rows of records that no manifest names, e.g. after only the folder `records` was
        copied."""
        for path in self.store.names():
            record = None if path in seen else self.store.read(path, curve=False)
            if record is not None:
                spec = record.spec
                measure = Measure.of(spec.fit)
                keys = _keys("", spec.method, spec.method, spec.task, spec.selection, measure)
                yield {**keys, "record": path, **self._of(record, spec.selection)}

    def _of(self, record: Record, selection: str) -> dict[str, Any]:
        best = record.metrics.get("best_test", {})
        return {
            **_described(record),
            **self._values(record, self.selection or selection),
            **{f"{BEST_TEST}{name}": value for name, value in best.items()},
        }

    def _values(self, record: Record, selection: str) -> Mapping[str, float | None]:
        values = record.metrics.get(selection, {})
        absent = [name for name in self.metrics if name not in values]
        if not (record.judged and absent):
            return values
        try:
            predictions = self.store.predictions(record.spec)
            known = known_for(self.store, self.at_hand, record, predictions, absent)
            return {**values, **judge(predictions, record, selection, absent, known)}
        except (StoreError, ValueError) as error:
            self.store.problems.append(f"{record.run_id}: {error}")
            return values


def write(
    results: str | Path | Store, out: Path, form: str | None = None, selection: str | None = None
) -> Path:
    """Write `load(results)` as csv, parquet or json (an array of rows), atomically.

    Without `form` the ending of `out` decides, and csv is the default. A folder as `out` gets a
    file named runs.FORMAT. Raises `UsageError` for another format, an ending that contradicts
    `form` and an unknown selection, `StoreError` if there is nothing to write.
    """
    ending = "" if out.is_dir() else out.suffix.lower().removeprefix(".")
    chosen = form or (ending if ending in FORMATS else "csv")
    if chosen not in FORMATS:
        raise unknown("format", chosen, FORMATS)
    if ending in FORMATS and ending != chosen:
        raise UsageError(f"'{out}' is named as {ending} and asked for as {chosen}")
    if selection is not None and selection not in get_args(Selection):
        raise unknown("selection", selection, get_args(Selection))
    form = chosen
    frame = load(results, selection=selection)
    if frame.empty:
        raise StoreError(
            f"'{results if isinstance(results, str | Path) else results.root}' holds "
            "no results to export"
        )
    path = out / f"runs.{form}" if out.is_dir() else out
    with replacing(path) as temporary:
        if form == "csv":
            frame.to_csv(temporary, index=False)
        elif form == "parquet":
            frame.to_parquet(temporary, index=False)
        else:
            frame.to_json(temporary, orient="records", indent=1, double_precision=15)
    return path


def _keys(
    protocol: str, label: str, method: str, task: Task, selection: str, measure: Measure | None
) -> dict[str, Any]:
    return {
        "protocol": protocol,
        "label": label,
        "method": method,
        "train": task.train,
        "test": task.test,
        "budget": task.budget,
        "labels": task.labels,
        "ratio": task.ratio,
        "selection": selection,
        "measured": measure.title if measure else "",
    }


def _described(record: Record) -> dict[str, Any]:
    """The columns that a record fills, besides its cell and its metrics."""
    spec, sizes, seconds = record.spec, record.sizes, record.seconds
    return {
        "run_id": record.run_id,
        "status": record.status,
        "repeat": spec.repeat,
        "method": spec.method,
        "method_version": spec.fit.method_version,
        "code": spec.fit.code,
        "split_digest": spec.split_digest,
        "n_train": sizes.get("train"),
        "n_val": sizes.get("val"),
        "n_test": sizes.get("test"),
        "n_pool": pool_size(record),
        "fit_seconds": seconds.get("fit"),
        "predict_seconds": seconds.get("predict"),
        "total_seconds": seconds.get("total"),
        "peak_memory_mb": record.peak_memory_mb,
        "settings": canonical(spec.fit.settings),
        "weights": spec.fit.weights.get("name"),
        "pretrained": spec.fit.pretrained,
        "trained_on": ",".join(record.trained_on),
        "contaminated": saw_test_labels(record.trained_on, spec.task, spec.fit.split, spec.repeat),
        "notes": NOTE_BREAK.join(record.table_notes),
        "device": record.environment.device,
        "commit": record.environment.commit,
        "created": record.created,
        "error": record.error,
        "labelled": record.judged if record.status == "done" else None,
        "n_evaluated": _evaluations(record),
    }


def _evaluations(record: Record) -> int:
    """How many epochs of a run were evaluated; a selection chooses among these.

    That is every `evaluate_every` epochs and after the last one (`bench.runs.execute.fitting`).
    """
    last, every = record.chosen_epoch.get("last", 0), record.spec.fit.evaluate_every
    return math.ceil(last / every) if every else min(last, 1)


def pool_size(record: Record) -> int | None:
    """Images that a split leaves beside its test images, labelled or not; None without sizes.

    This is `left` of `bench.stats.SplitSizes`. Together with the number of test images it gives the
    share of test images that two random splits have in common. Neither a label budget nor further
    training databases change this share.

    If a database is tested whole, every repeat tests the same images, and no ratio corrects for
    that: the result is then the number of training images, and comparisons say that the test
    images were the same.
    """
    test, spec = record.sizes.get("test"), record.spec
    if not test:
        return None
    used = record.sizes.get("train", 0) + record.sizes.get("val", 0)
    if spec.side == "whole":
        return used or None
    fraction = spec.fit.split.test_fraction
    left = math.floor(test * (1 - fraction) / fraction + 0.5)
    # The sizes of a mixture count all of its databases, but only one of them is tested.
    return left if len(spec.task.sources) > 1 else max(used, left)


def _require_known(names: Sequence[str]) -> None:
    from bench.metrics import metric

    for name in names:
        metric(name)
