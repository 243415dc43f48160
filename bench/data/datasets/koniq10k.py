"""KonIQ-10k."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import columns, find_file, read_table
from bench.data.datasets._places import within
from bench.data.datasets.base import DatasetInfo, DatasetReader, Version
from bench.data.datasets.ratings import Ratings
from bench.util.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_SCORES = "koniq10k_scores_and_distributions.csv"
_SETS = "koniq10k_distributions_sets.csv"
_PLUSPLUS = ("koniqplusplus.csv", "koniq++database.csv")
_DEFECTS = ("artifacts", "blur", "contrast", "colors", "other")


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
            "plusplus": Version(
                "KonIQ++: judged anew, with shares of raters who saw each defect (Su et al., 2021)",
                "mos",
                1,
                5,
                10073,
                attributes=_DEFECTS,
            ),
        },
        standard="5",
    )
    marks = (_SCORES, _SETS, *_PLUSPLUS)
    image_folders = ("1024x768", "512x384")

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """MOS from 1 to 5 (default), from 0 to 100 in either table's column, or of KonIQ++.

        The spread is that of the ratings from 1 to 5, so the other scales have none. The official
        split is given where the second table is there.
        """
        named = {"image": "image_name", "raters": "c_total"}
        if version == "plusplus":
            file = find_file(root, *_PLUSPLUS)
            named = {"image": "filename", "score": "qmos", "spread": "sd", "raters": "votes"}
            named |= {name: name for name in _DEFECTS}
        elif version == "100":
            file, named["score"] = find_file(root, _SETS), "MOS"
        else:
            file = find_file(root, _SCORES)
            named["score"] = "MOS_zscore" if version else "MOS"
        if not version:
            named["spread"] = "SD"
        table = columns(read_table(file), named)
        sets = within(root, _SETS)
        if sets is not None:
            parts = columns(read_table(sets), {"image": "image_name", "set": "set"})
            known = dict(zip(parts["image"], parts["set"], strict=True))
            if set(known) != set(table["image"]):
                raise DataError(f"{root}: {file.name} and {_SETS} list different images")
            table["official"] = table["image"].map(known)
        return table

    def ratings(self, root: Path) -> Ratings:
        """Columns c1 to c5 of the release: how many raters gave 1 to 5."""
        import numpy as np

        table = read_table(find_file(root, _SCORES))
        counts = [table.numbers(f"c{level}", finite=True) for level in range(1, 6)]
        images = tuple(table.paths("image_name"))
        return Ratings(images, np.arange(1.0, 6.0), np.column_stack(counts).astype(np.int64))
