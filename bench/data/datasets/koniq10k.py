"""KonIQ-10k."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import columns, find_file, numbers, read_table, subfolder
from bench.data.datasets._places import within
from bench.data.datasets.base import DatasetInfo, DatasetReader, Version
from bench.data.datasets.ratings import Ratings
from bench.util.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_SCORES = "koniq10k_scores_and_distributions.csv"
_SETS = "koniq10k_distributions_sets.csv"
_PARTS = {"training": "train", "validation": "val", "test": "test"}


class Koniq10k(DatasetReader):
    """Two native tables: the release's scores, and the authors' later one with the split."""

    info = DatasetInfo(
        name="koniq10k",
        title="KonIQ-10k",
        kind="authentic",
        label="mos",
        low=1.0,
        high=5.0,
        size=10073,
        published=(1.096, 4.31),
        homepage="https://database.mmsp-kn.de/koniq-10k-database.html",
        licence="research use; images under their Creative Commons licences",
        citation="V. Hosu, H. Lin, T. Sziranyi and D. Saupe, KonIQ-10k: An Ecologically Valid "
        "Database for Deep Learning of Blind Image Quality Assessment, IEEE TIP, 2020",
        folders=("koniq10k", "koniq-10k", "koniq"),
        spread_kind="std",
        versions={
            "zscore": Version("MOS_zscore of the release", "mos", 0, 100, 10073, (3.91, 88.39)),
            "100": Version(
                "MOS of koniq10k_distributions_sets.csv", "mos", 0, 100, 10073, (3.91, 88.39)
            ),
        },
        standard="5",
    )
    marks = (_SCORES, _SETS)

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """MOS from 1 to 5 (default), or from 0 to 100 in either table's column.

        The spread is that of the ratings from 1 to 5, so the other scales have none. The official
        split is given where the second table is there.
        """
        named = {"image": "image_name", "raters": "c_total"}
        if version == "100":
            file, named["score"] = find_file(root, _SETS), "MOS"
        else:
            file = find_file(root, _SCORES)
            named["score"] = "MOS_zscore" if version else "MOS"
        if not version:
            named["spread"] = "SD"
        table = columns(read_table(file, separator=","), file, named)
        sets = within(root, _SETS)
        if sets is not None:
            parts = columns(read_table(sets, ","), sets, {"image": "image_name", "set": "set"})
            known = dict(zip(parts["image"], parts["set"].map(_PARTS), strict=True))
            if set(known) != set(table["image"]):
                raise DataError(f"{root}: {file.name} and {_SETS} list different images")
            table["official"] = table["image"].map(known)
        return table

    def ratings(self, root: Path) -> Ratings:
        """Columns c1 to c5 of the release: how many raters gave 1 to 5."""
        import numpy as np

        file = find_file(root, _SCORES)
        levels = [f"c{level}" for level in range(1, 6)]
        table = columns(
            read_table(file, separator=","),
            file,
            {"image": "image_name", **{name: name for name in levels}},
        )
        counts = np.column_stack([numbers(list(table[name]), file, name) for name in levels])
        return Ratings(tuple(table["image"]), np.arange(1.0, 6.0), counts.astype(np.int64))

    def images(self, root: Path) -> Path:
        """`1024x768`, else `512x384`."""
        return subfolder(root, "1024x768", "512x384")
