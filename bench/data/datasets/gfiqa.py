"""Generic Face Image Quality Assessment 20k database (GFIQA-20k)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import find_file, first_two, read_table
from bench.data.datasets.base import DatasetInfo, DatasetReader
from bench.data.datasets.ratings import Ratings, of_rows

if TYPE_CHECKING:
    import pandas as pd

_NUMBERS = re.compile(r"\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


class Gfiqa(DatasetReader):
    """`mos_val_rating.csv`: img_name, mos. Other tables in use have both in their first columns.

    The archive has variances and raw ratings too. What their column is called is not evidenced: one
    called var or variance in the same table is taken for the variance over raters.
    """

    info = DatasetInfo(
        name="gfiqa20k",
        title="GFIQA-20k",
        kind="face",
        label="mos",
        low=0.0,
        high=1.0,
        size=20000,
        homepage="https://database.mmsp-kn.de/gfiqa-20k-database.html",
        licence="as stated by its authors at the home page",
        citation="S. Su et al., Going the Extra Mile in Face Image Quality Assessment: A Novel "
        "Database and Model, IEEE Transactions on Multimedia, 2023",
        folders=("gfiqa20k", "gfiqa-20k", "gfiqa", "GFIQA_20k"),
        spread_kind="variance",
    )
    marks = (
        "mos_val_rating.csv",
        "mos.csv",
        "mos_rating.csv",
        "GFIQA_20k.csv",
        "meta_info_GFIQADataset.csv",
    )
    image_folders = ("image", "images", "GFIQA")

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """MOS from 0 to 1."""
        file = find_file(root, *self.marks)
        listed = read_table(file)
        table = first_two(listed)
        name = next((name for name in ("var", "variance") if name in listed), None)
        if name is not None:
            table["spread"] = listed.numbers(name)
        return table

    def ratings(self, root: Path) -> Ratings | None:
        """Single ratings from 0 to 1, where the table has them.

        How the release writes them is not evidenced: either a column `rating` (or `ratings`) with
        several numbers in each cell, or columns `rating_1` and following are read.
        """
        table = read_table(find_file(root, *self.marks))
        named = [name for name in table.names[2:] if name.lower().startswith("rating")]
        if not named:
            return None
        rows = zip(*(table.texts(name) for name in named), strict=True)
        single = [[float(text) for text in _NUMBERS.findall(" ".join(row))] for row in rows]
        return of_rows(table.by_position().paths("0"), single)
