"""Names of databases, metrics and budgets as papers write them."""

from __future__ import annotations

from functools import cache

from bench.analysis.grid import Grid, metric_title
from bench.data import datasets
from bench.util.errors import BenchError

ARROW = " → "


def dataset_title(text: str) -> str:
    """A dataset, or a pair of them, under the names that papers use.

    >>> dataset_title("livec"), dataset_title("live → tid2013@ssim"), dataset_title("of my own")
    ('LIVEC', 'LIVE → TID2013@ssim', 'of my own')
    """
    return ARROW.join(map(_title, text.split(ARROW)))


def shown(key: str, value: str) -> str:
    """A value of a key as headers and captions say it."""
    if key == "metric":
        return metric_title(value)
    if key in ("dataset", "train", "test"):
        return dataset_title(value)
    return f"{value} labels" if key == "labels" and value.isdigit() else value


def levels(arranged: Grid) -> list[int]:
    """Header levels: the dataset always, others where they tell columns apart."""
    varying = arranged.varying()
    always = ("dataset", "train", "test")
    keys = arranged.column_keys
    return [level for level, key in enumerate(keys) if key in always or level in varying] or [0]


@cache
def _title(spec: str) -> str:
    name, at, version = spec.partition("@")
    try:
        info = datasets.info(name)
    except BenchError:  # a database of another machine
        return spec
    return spec if info.demo else f"{info.title}{at}{version}"
