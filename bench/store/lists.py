"""The splits of a results folder as lists of images, in the form of DeQA-Score's metas.

An item is `{"id", "image", "gt_score", "gt_score_norm", "std", "std_norm"}`. `gt_score` runs
upwards (DMOS negated); `gt_score_norm` maps the range of the database's scores to 1 to 5; `std` is
the standard deviation over raters, if known, and `std_norm` the same on the scale of 1 to 5
(build_soft_labels/gen_soft_label.py of zhiyuanyou/DeQA-Score). `image` begins with the database's
name.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.store import Store
from bench.util.atomic import write_json
from bench.util.errors import DataError, StoreError, UsageError

if TYPE_CHECKING:
    from bench.data.data_cache import DataCache
    from bench.data.datasets.base import Dataset
    from bench.data.selection import Rows
    from bench.model.records import RunSpec

Item = dict[str, Any]
Lists = dict[str, list[Item]]
"""Path under the folder that is written -> items."""


def write(store: Store, out: Path, data_cache: DataCache) -> list[Path]:
    """Write `BUDGET/DATASET/train_split_1.json`, `val_...` and `test_...` for every split.

    A database that is tested whole has `test_whole.json`. The lists are made again from the data
    and compared with what the records say of them. Raises `StoreError` for a folder without
    records, `DataError` where data have changed since, and `UsageError` where two protocols of the
    folder split alike-named sides differently; nothing is written then.
    """
    lists: Lists = {}
    seen: set[str] = set()
    for record in store.records(curve=False):
        key = json.dumps(
            [record.spec.task.model_dump(), record.spec.fit.split.model_dump(), record.spec.repeat]
        )
        if key not in seen:
            seen.add(key)
            _add(lists, record.spec, data_cache)
    if not lists:
        raise StoreError(f"'{store.root}' has no runs whose splits could be written")
    for name, items in lists.items():
        write_json(out / name, items)
    return [out / name for name in lists]


def _add(lists: Lists, spec: RunSpec, data_cache: DataCache) -> None:
    task, rule = spec.task, spec.fit.split
    sides, learnt = data_cache.sources(task, rule, spec.repeat)
    rows, tested = data_cache.tested(task, rule, spec.repeat)
    if spec.test_digest and (learnt, tested) != (spec.fit.split_digests, spec.test_digest):
        raise DataError(
            f"{task.title}: the split of repeat {spec.repeat + 1} is not the one that was run; "
            "the database or its split files have changed since"
        )
    number = spec.repeat + 1
    parts: list[tuple[Dataset, str, Rows]] = []
    for side in () if task.zero_shot else sides:
        parts += [(side.dataset, f"train_split_{number}", side.train)]
        parts += [(side.dataset, f"val_split_{number}", side.val)] if len(side.val) else []
    name = "test_whole" if task.side == "whole" else f"test_split_{number}"
    parts.append((data_cache.dataset(task.test), name, rows))
    for dataset, name, part in parts:
        path = f"{task.budget.replace('%', '-percent')}/{dataset.info.spec}/{name}.json"
        items = _items(dataset, part)
        if lists.setdefault(path, items) != items:
            raise UsageError(
                f"two splits of this folder would both be written to {path}; export protocols "
                "of other seeds or rules from folders of their own"
            )


def _items(dataset: Dataset, rows: Rows) -> list[Item]:
    names = dataset.table["image"].to_numpy(dtype=str)
    labelled = dataset.info.labelled
    spreads = dataset.rating_std
    span = np.ptp(dataset.quality) if labelled else 0.0
    low = dataset.quality.min() if labelled else 0.0
    items = []
    for row in sorted(rows, key=lambda row: str(names[row])):
        item: Item = {"id": names[row], "image": f"{dataset.info.name}/{names[row]}"}
        if labelled:
            score = float(dataset.quality[row])
            item |= {"id": f"{names[row]}->{score:.10g}", "gt_score": score}
            item["gt_score_norm"] = float(1 + 4 * (score - low) / span) if span else 3.0
        if labelled and np.isfinite(spreads[row]):
            item["std"] = float(spreads[row])
            item["std_norm"] = float(4 * spreads[row] / span) if span else 0.0
        items.append(item)
    return items
