"""Blurred Image Database (BID), authentic blur."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import columns, find_file, read_sheet
from bench.data.datasets.base import DatasetInfo, DatasetReader
from bench.data.datasets.ratings import Ratings, of_rows

if TYPE_CHECKING:
    import pandas as pd


class Bid(DatasetReader):
    """`DatabaseGrades.xls` or .xlsx: image number, average grade, number of grades, the grades."""

    info = DatasetInfo(
        name="bid",
        title="BID",
        kind="authentic",
        label="mos",
        low=0.0,
        high=5.0,
        size=586,
        published=(0.16, 4.92),
        homepage="https://www02.smt.ufrj.br/~eduardo/ImageDatabase.htm",
        licence="research use",
        citation="A. Ciancio et al., No-Reference Blur Assessment of Digital Pictures Based on "
        "Multifeature Classifiers, IEEE TIP, 2011",
        folders=("bid", "ImageDatabase", "BID_Database"),
        spread_kind="std",
    )
    marks = ("DatabaseGrades.xlsx", "DatabaseGrades.xls")
    image_folders = ("ImageDatabase", ".")

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """MOS from 0 to 5; spread is the standard deviation of the single grades."""
        file = find_file(root, *self.marks)
        table, single = _grades(file)
        if single is not None:
            table["raters"], table["spread"] = single.raters, single.std
        return table

    def ratings(self, root: Path) -> Ratings | None:
        """Columns `Grade #1` and following."""
        return _grades(find_file(root, *self.marks))[1]


def _grades(file: Path) -> tuple[pd.DataFrame, Ratings | None]:
    """Images with their average grade, and the single grades where the sheet has them."""
    import numpy as np

    sheet = read_sheet(file)
    table = columns(sheet, {"score": "Average Subjective Grade"})
    numbers = sheet.numbers("Image Number", finite=True)
    table["image"] = [f"DatabaseImage{number:04.0f}.JPG" for number in numbers]
    single = [name for name in sheet.names if name.startswith("Grade #")]
    if not single:
        return table, None
    grades = np.column_stack([sheet.numbers(name) for name in single])
    return table, of_rows(list(table["image"]), list(grades))
