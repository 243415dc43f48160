"""Stored results as one table: a row for every run of every cell, done or not.

>>> from bench.store import table
>>> runs = table.load("results")  # doctest: +SKIP
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.model.identity import canonical
from bench.model.records import Record, Task
from bench.store import Store
from bench.store.manifest import CellEntry, read_all
from bench.util.atomic import replacing
from bench.util.errors import StoreError, UsageError, unknown
from bench.util.gc_paused import gc_paused

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("csv", "parquet", "json")
CELL = ("label", "train", "test", "budget", "selection")
"""Columns that tell the cells of one protocol apart."""
SPLIT = ("split_digest", "repeat")
"""Columns that tell the runs of one cell apart. The digest alone does not: an official split is
the same at every repeat."""
COLUMNS = (
    *("protocol", "label", "method", "train", "test", "budget", "labels", "ratio", "selection"),
    *("repeat", "status", "run_id", "split_digest", "n_train", "n_val", "n_test", "n_pool"),
    *("method_version", "settings", "weights", "pretrained", "trained_on"),
    *("fit_seconds", "predict_seconds", "total_seconds", "peak_memory_mb"),
    *("device", "commit", "created", "error"),
)
"""Columns that a table always has, in this order; metrics follow."""
_COUNTS = ("labels", "repeat", "n_train", "n_val", "n_test", "n_pool")


@dataclass
class _Reader:
    """Reads each record once, whichever cells mention it."""

    store: Store
    selection: str | None
    metrics: Sequence[str]
    seen: dict[str, dict[str, Any]] = field(default_factory=dict)

    def row(self, path: str, selection: str) -> dict[str, Any]:
        if path not in self.seen:
            record = self.store.read(path, curve=False)
            self.seen[path] = self._values(record, selection) if record else {}
        return self.seen[path]

    def _values(self, record: Record, selection: str) -> dict[str, Any]:
        chosen = self.selection or selection
        row = describe(record)
        values: Mapping[str, float | None] = record.metrics.get(chosen, {})
        absent = [name for name in self.metrics if name not in values]
        if record.judged and absent:
            values = {**values, **self._recomputed(record, chosen, absent)}
        row.update(values)
        return row

    def _recomputed(self, record: Record, selection: str, names: list[str]) -> dict[str, float]:
        try:
            return recompute(self.store, record, selection, names)
        except (StoreError, ValueError) as error:
            self.store.problems.append(f"{record.run_id}: {error}")
            return {}


def load(
    results: str | Path | Store,
    *,
    selection: str | None = None,
    metrics: Sequence[str] = (),
) -> pd.DataFrame:
    """Every run of every cell as one row, in the order of the protocols' tables.

    A run that two cells share has two rows; one that no protocol mentions has the protocol ''.
    `status` is done, failed or missing. Metrics are those of the cell's own selection, or of
    `selection`; what is undefined or absent is NaN. Of `metrics`, those that a record lacks are
    computed from its stored predictions.

    Raises `UsageError` where there is no such folder or metric. Records and predictions that
    cannot be read count as missing; pass a `Store` to find them in its `problems`.
    """
    import pandas as pd

    _require_known(metrics)
    store = results if isinstance(results, Store) else Store(Path(results))
    if not store.root.is_dir():
        raise UsageError(f"no results folder '{store.root}'")
    reader = _Reader(store, selection, metrics)
    with gc_paused():
        rows = [*_of_protocols(reader), *_of_no_protocol(reader)]
        frame = pd.DataFrame(rows)
    values = [column for column in frame.columns if column not in COLUMNS]
    frame = frame.reindex(columns=[*COLUMNS, *values])
    return frame.astype(dict.fromkeys(_COUNTS, "Int64"))


def recompute(
    store: Store, record: Record, selection: str, names: Sequence[str]
) -> dict[str, float]:
    """Metrics of a done run from its stored predictions; NaN where undefined.

    Raises `StoreError` where the predictions cannot be read or hold none of this selection, and
    `ValueError` for predictions that no metric accepts.
    """
    return judge(store.predictions(record.spec), record, selection, names)


def judge(
    table: pd.DataFrame, record: Record, selection: str, names: Sequence[str]
) -> dict[str, float]:
    """`recompute` on predictions that are read already."""
    from bench.metrics import compute

    own = "prediction" if selection == record.spec.selection else ""
    column = next((c for c in (f"prediction_{selection}", own) if c in table.columns), None)
    if column is None or "quality" not in table.columns:
        raise StoreError(f"predictions of {record.run_id} hold none of selection '{selection}'")
    return compute(names, table[column], table["quality"])


def write(results: str | Path | Store, out: Path, form: str, selection: str | None = None) -> Path:
    """Write `load(results)` as csv, parquet or json (an array of rows), whole or not at all.

    A folder as `out` gets a file named runs.FORMAT. Raises `UsageError` for another format.
    """
    if form not in FORMATS:
        raise unknown("format", form, FORMATS)
    frame = load(results, selection=selection)
    path = out / f"runs.{form}" if out.is_dir() else out
    with replacing(path) as temporary:
        if form == "csv":
            frame.to_csv(temporary, index=False)
        elif form == "parquet":
            frame.to_parquet(temporary, index=False)
        else:
            frame.to_json(temporary, orient="records", indent=1, double_precision=15)
    return path


def _of_protocols(reader: _Reader) -> Iterator[dict[str, Any]]:
    if not any((reader.store.root / "protocols").glob("*.json")):
        return
    for manifest in read_all(reader.store):
        for cell in manifest.cells:
            keys = _cell_keys(manifest.protocol.name, cell)
            for repeat, path in enumerate(cell.runs):
                name = path.rpartition("/")[2].removesuffix(".json")
                absent = {"run_id": name, "status": "missing", "repeat": repeat}
                yield {**keys, **absent, **reader.row(path, cell.selection)}


def _of_no_protocol(reader: _Reader) -> Iterator[dict[str, Any]]:
    """Records alone, as a merge by `cp` of the folder `records` leaves them."""
    for name in reader.store.names():
        if name in reader.seen:
            continue
        record = reader.store.read(name, curve=False)
        if record is None:
            continue
        keys = _keys("", record.spec.method, record.spec.task, record.spec.selection)
        yield {**keys, **reader._values(record, record.spec.selection)}


def _cell_keys(protocol: str, cell: CellEntry) -> dict[str, Any]:
    return {**_keys(protocol, cell.label, cell.task, cell.selection), "method": cell.method}


def _keys(protocol: str, label: str, task: Task, selection: str) -> dict[str, Any]:
    return {
        "protocol": protocol,
        "label": label,
        "train": task.train,
        "test": task.test,
        "budget": task.budget,
        "labels": task.labels,
        "ratio": task.ratio,
        "selection": selection,
    }


def describe(record: Record) -> dict[str, Any]:
    """What a row says of a record, besides its cell and its metrics."""
    spec, sizes, seconds = record.spec, record.sizes, record.seconds
    return {
        "run_id": record.run_id,
        "status": record.status,
        "repeat": spec.repeat,
        "method": spec.method,
        "method_version": spec.fit.method_version,
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
        "device": record.environment.device,
        "commit": record.environment.commit,
        "created": record.created,
        "error": record.error,
    }


def pool_size(record: Record) -> int | None:
    """Images that a split leaves beside its test images, labelled or not; None without sizes.

    What `bench.stats.nadeau_bengio` takes as `n_train`. Its n_test / n_train stands for the
    correlation n_test / (n_test + n_train) between two splits, which is the share of test images
    that two random test parts have in common. A label budget changes what is trained on but not
    that share: with 50 of 930 images labelled, n_test / 50 would widen intervals threefold, while
    training sets overlap less and so correlate less than full ones (measured by
    `python -m tools.simulate_training`, table in `docs/statistics.md`).

    Across datasets all images of the one are tested at every repeat, and no ratio makes up for
    that: then it is what was trained on, and comparisons say that images were the same.
    """
    test, spec = record.sizes.get("test"), record.spec
    if not test:
        return None
    used = record.sizes.get("train", 0) + record.sizes.get("val", 0)
    if spec.task.train != spec.task.test:
        return used or None
    fraction = spec.fit.split.test_fraction
    return max(used, math.floor(test * (1 - fraction) / fraction + 0.5))


def _require_known(names: Sequence[str]) -> None:
    if not names:
        return
    from bench.metrics import METRICS

    for name in names:
        if name not in METRICS:
            raise unknown("metric", name, METRICS)
