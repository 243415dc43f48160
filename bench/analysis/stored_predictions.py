"""Stored predictions of a cell's runs → sides for intervals over images (`bench.stats.bootstrap`).

The images of several splits are pooled by their names: an image that two splits test is one image.
Images of one group (a reference, a prompt) form a cluster; which they are stands in the database's
table, so a database with groups must be on this machine. No image is opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bench.data.at_hand import AtHand
from bench.stats import Side, numbered, side
from bench.store import Store, read_parquet
from bench.util.errors import StoreError

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]


class NoSides(Exception):
    """There is no interval over images; the message says why."""


class StoredPredictions:
    """Reads predictions, and the groups of images from databases on this machine."""

    def __init__(self, store: Store, at_hand: AtHand) -> None:
        self.store, self.at_hand = store, at_hand
        self.table = lru_cache(maxsize=256)(self._read)
        # Methods on the same splits come one after the other.
        self._numbered = lru_cache(maxsize=4)(numbered)

    def sides(self, test: str, records: Sequence[str], selection: str) -> list[Side]:
        """The test sides of some runs on one database, clusters numbered alike.

        `records` are paths of records under the store's root. Raises `NoSides` for predictions that
        cannot be read, without labels or without this selection, and where groups are not known.
        """
        groups = self.at_hand.groups(test)
        if isinstance(groups, str):
            raise NoSides(groups)
        names, values = [], []
        for record in records:
            table = self.table(record)
            predicted = self.column(table, selection)
            images = table["image"].tolist()
            lost = [name for name in images if groups and name not in groups]
            if lost:
                raise NoSides(f"'{lost[0]}' and {len(lost) - 1} more images are not in {test}")
            names.append(tuple(groups[name] for name in images) if groups else tuple(images))
            values.append((predicted, table["quality"].to_numpy(np.float64)))
        try:
            codes = self._numbered(tuple(names))
            return [side(*pair, own) for pair, own in zip(values, codes, strict=True)]
        except ValueError as error:
            raise NoSides(str(error)) from None

    @staticmethod
    def column(table: pd.DataFrame, selection: str) -> FloatArray:
        """(n,) predictions of the state that a selection chose."""
        name = f"prediction_{selection}"
        return np.asarray(table[name if name in table else "prediction"], dtype=np.float64)

    def files(self, records: Sequence[str]) -> list[Path]:
        """The files with the predictions of some runs."""
        return [(self.store.root / record).with_suffix(".parquet") for record in records]

    def _read(self, record: str) -> pd.DataFrame:
        try:
            table = read_parquet(self.files([record])[0])
        except StoreError as error:
            raise NoSides(str(error)) from None
        if not {"image", "quality", "prediction"} <= set(table.columns):
            raise NoSides(f"the predictions of {record} have other columns than expected")
        return table
