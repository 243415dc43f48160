"""Generic Face Image Quality Assessment 20k database (GFIQA-20k)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import find_file, first_two, numbers, read_table, subfolder
from bench.data.datasets.base import DatasetInfo, DatasetReader
from bench.data.datasets.ratings import Ratings, of_rows

if TYPE_CHECKING:
    import pandas as pd

_NUMBERS = re.compile(r"\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


class Gfiqa(DatasetReader):
    """A table whose first two columns are file name and MOS.

    The name of the table in the authors' own archive is not evidenced, so several are tried.
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
    )
    marks = (
        "mos.csv",
        "mos_rating.csv",
        "mos_val_rating.csv",
        "GFIQA_20k.csv",
        "meta_info_GFIQADataset.csv",
    )

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """MOS from 0 to 1."""
        file = find_file(root, *self.marks)
        return first_two(read_table(file), file)

    def ratings(self, root: Path) -> Ratings | None:
        """Single ratings from 0 to 1, where the table has them.

        How the release writes them is not evidenced: either a column `rating` (or `ratings`) with
        several numbers in each cell, or columns `rating_1` and following are read.
        """
        file = find_file(root, *self.marks)
        table = read_table(file)
        named = [name for name in table.columns[2:] if str(name).lower().startswith("rating")]
        if not named:
            return None
        rows = zip(*(table[name] for name in named), strict=True)
        single = [_NUMBERS.findall(" ".join(map(str, row))) for row in rows]
        found = [numbers(row, file, "rating") for row in single]
        return of_rows([str(name) for name in table.iloc[:, 0]], found)

    def images(self, root: Path) -> Path:
        """`image`, or what is called alike."""
        return subfolder(root, "image", "images", "GFIQA")
