"""BIQ2021: photographs in three subsets, from deliberate distortion to a search engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import columns, find_file, read_table
from bench.data.datasets.base import DatasetInfo, DatasetReader

if TYPE_CHECKING:
    import pandas as pd


_TABLES = {"train": "Train (Images and MOS).csv", "test": "Test (Images and MOS).csv"}


class Biq2021(DatasetReader):
    """Two tables, Image Name and MOS, which are the official split; images in `Images/`."""

    info = DatasetInfo(
        name="biq2021",
        title="BIQ2021",
        kind="authentic",
        label="mos",
        low=0.0,
        high=1.0,
        size=12000,
        published=(0.0, 1.0),
        homepage="https://github.com/nisarahmedrana/BIQ2021",
        licence="research use",
        citation="N. Ahmed and S. Asif, BIQ2021: a large-scale blind image quality assessment "
        "database, Journal of Electronic Imaging, 2022",
        folders=("biq2021", "BIQ2021-main", "BIQ2021-master"),
    )
    marks = tuple(_TABLES.values())
    image_folders = ("Images",)

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """MOS from 0 to 1: 10,000 images train, 2,000 are tested."""
        import pandas as pd

        named = {"image": "Image Name", "score": "MOS"}
        parts = [
            columns(read_table(find_file(root, name)), named).assign(official=part)
            for part, name in _TABLES.items()
        ]
        return pd.concat(parts, ignore_index=True)
