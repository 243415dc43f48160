"""Blurred Image Database (BID), authentic blur."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import columns, find_file, read_sheet, subfolder
from bench.data.datasets._places import within
from bench.data.datasets.base import DatasetInfo, DatasetReader

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

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """MOS from 0 to 5; spread is the standard deviation of the single grades."""
        import numpy as np

        file = find_file(root, *self.marks)
        sheet = read_sheet(file)
        named = {"score": "Average Subjective Grade"}
        table = columns(sheet, named)
        numbers = sheet.numbers("Image Number", finite=True)
        table["image"] = [f"DatabaseImage{number:04.0f}.JPG" for number in numbers]
        single = [name for name in sheet.names if name.startswith("Grade #")]
        if single:
            grades = np.column_stack([sheet.numbers(name) for name in single])
            table["raters"] = np.isfinite(grades).sum(axis=1)
            table["spread"] = [row[np.isfinite(row)].std(ddof=1) for row in grades]
        return table

    def images(self, root: Path) -> Path:
        """`ImageDatabase`, or the folder itself."""
        return subfolder(root, "ImageDatabase") if within(root, "ImageDatabase") else root
