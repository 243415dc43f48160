"""The noise ceiling of each database of a summary (`bench.stats.ceiling`), and gains below it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any

from bench.data.at_hand import AtHand
from bench.data.datasets import cache_folder
from bench.data.datasets.base import Dataset
from bench.model.identity import digest
from bench.stats.ceiling import Ceiling, from_ratings, from_spread, no_ceiling
from bench.util.atomic import write_text

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("ceiling", "ceiling_low", "ceiling_high", "ceiling_note")
METRICS = ("srcc", "plcc")
"""Metrics that have a ceiling."""
VERSION = 1
"""Raised when the same ratings would give another ceiling."""


class Ceilings:
    """Ceilings of the databases on this machine, worked out once and kept in the user's cache."""

    def __init__(self, at_hand: AtHand) -> None:
        self.at_hand = at_hand
        self.of = cache(self._of)

    def beside(self, summary: pd.DataFrame) -> pd.DataFrame:
        """The summary with its columns `COLUMNS` filled in; empty for other metrics and means."""
        rows = [
            self._columns(str(test), str(metric))
            for test, metric in zip(summary["test"], summary["metric"], strict=True)
        ]
        filled = {name: [row[at] for row in rows] for at, name in enumerate(COLUMNS)}
        return summary.assign(**filled)

    def _columns(self, test: str, metric: str) -> tuple[Any, ...]:
        if metric not in METRICS or test.startswith("mean"):
            return math.nan, math.nan, math.nan, ""
        found = self.of(test)
        if found.reason:
            return math.nan, math.nan, math.nan, found.reason
        numbers = [getattr(found, f"{metric}{end}") for end in ("", "_low", "_high")]
        return *numbers, f"from {found.source}"

    def _of(self, test: str) -> Ceiling:
        """The ceiling of a database's default or named label version."""
        dataset = self.at_hand.dataset(test)
        if isinstance(dataset, str):
            return _without(dataset)
        if dataset.info.spec != test:
            return _without("its labels come from a metric, not from raters")
        ratings = self.at_hand.ratings(test)
        source = "ratings" if ratings is not None else "spread"
        path = cache_folder() / "ceilings" / f"{digest([VERSION, source, dataset.digest])}.json"
        kept = _read(path)
        if kept is None:
            kept = (
                from_ratings(ratings.levels, ratings.counts)
                if ratings is not None
                else _from_table(dataset)
            )
            write_text(path, json.dumps(asdict(kept)))
        return kept


def _from_table(dataset: Dataset) -> Ceiling:
    if not dataset.info.labelled:
        return _without("it has no scores")
    if len(dataset) < 3:
        return _without("fewer than three images")
    return from_spread(dataset.quality, dataset.rating_std, dataset.raters)


def _without(reason: str) -> Ceiling:
    return no_ceiling(reason, "")


def _read(path: Any) -> Ceiling | None:
    try:
        return Ceiling(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
