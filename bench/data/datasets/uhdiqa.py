"""UHD-IQA: high-quality photographs at 3840 pixels, rated by professionals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import columns, find_file, read_table
from bench.data.datasets.base import DatasetInfo, DatasetReader

if TYPE_CHECKING:
    import pandas as pd


class UhdIqa(DatasetReader):
    """`uhd-iqa-metadata.csv`: image_name, quality_mos, set; images in `training/` and so on."""

    info = DatasetInfo(
        name="uhdiqa",
        title="UHD-IQA",
        kind="authentic",
        label="mos",
        low=0.0,
        high=1.0,
        size=6073,
        homepage="https://database.mmsp-kn.de/uhd-iqa-benchmark-database.html",
        licence="as stated by its authors at the home page",
        citation="V. Hosu et al., UHD-IQA Benchmark Database: Pushing the Boundaries of Blind "
        "Photo Quality Assessment, ECCV Workshops, 2024",
        folders=("UHD-IQA-database", "uhd-iqa", "uhdiqa"),
    )
    marks = ("uhd-iqa-metadata.csv",)

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """MOS from 0 to 1, with the official split 4,269 / 904 / 900.

        An image is found in the folder of its part, whatever that is called.
        """
        file = find_file(root, *self.marks)
        named = {"image": "image_name", "score": "quality_mos", "official": "set"}
        return columns(read_table(file), named)
