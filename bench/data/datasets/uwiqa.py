"""Underwater Image Quality Assessment database (UWIQA)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import find_file, first_two, read_table
from bench.data.datasets.base import DatasetInfo, DatasetReader

if TYPE_CHECKING:
    import pandas as pd


class Uwiqa(DatasetReader):
    """A workbook whose first two columns are image number (or file name) and MOS.

    The names in the authors' own archive are not evidenced, so several are tried.
    """

    info = DatasetInfo(
        name="uwiqa",
        title="UWIQA",
        kind="underwater",
        label="mos",
        low=0.0,
        high=1.0,
        size=890,
        homepage="https://doi.org/10.1016/j.image.2021.116218",
        licence="as stated by its authors at the home page",
        citation="N. Yang et al., A reference-free underwater image quality assessment metric in "
        "frequency domain, Signal Processing: Image Communication, 2021",
        folders=("uwiqa", "UWIQA_Database", "UIQA"),
    )
    marks = ("IQA_Value.xlsx", "IQA_Value.xls", "IQA_Value.csv", "mos.csv", "UWIQA.csv")
    image_folders = ("img", "images", "image")

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """MOS from 0 to 1; a bare number 12 means the file 0012.png."""
        file = find_file(root, *self.marks)
        table = first_two(read_table(file))
        table["image"] = [_file_name(name) for name in table["image"]]
        return table


def _file_name(cell: str) -> str:
    number = cell.removesuffix(".0")
    return f"{int(number):04d}.png" if number.isdigit() else cell
