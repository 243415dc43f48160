"""CGIQA-6k: pictures of computer games and animated films."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import columns, find_file, read_table
from bench.data.datasets.base import DatasetInfo, DatasetReader

if TYPE_CHECKING:
    import pandas as pd


class Cgiqa6k(DatasetReader):
    """`mos.csv`: Image, MOS; `database/game_0000.jpg`, `movie_0000.jpg`. `scene` is which of both.

    Columns and names are those that users of the database read; its archive was not examined.
    """

    info = DatasetInfo(
        name="cgiqa6k",
        title="CGIQA-6k",
        kind="graphics",
        label="mos",
        low=0.0,
        high=5.0,
        size=6000,
        homepage="https://github.com/zzc-1998/CGIQA6K",
        licence="as stated by its authors at the home page",
        citation="Z. Zhang et al., Subjective and Objective Quality Assessment for in-the-Wild "
        "Computer Graphics Images, ACM TOMM, 2023",
        folders=("cgiqa6k", "CGIQA-6K", "CGIQA6K-main"),
    )
    marks = ("mos.csv",)
    image_folders = ("database",)

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """MOS from 0 to 5."""
        listed = read_table(find_file(root, *self.marks))
        table = columns(listed, {"image": "Image", "score": "MOS"})
        table["scene"] = table["image"].str.extract(r"(?:^|/)(game|movie)_", expand=False)
        return table
