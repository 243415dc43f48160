"""LIVE-FB Large-Scale Social Picture Quality Database (LIVEFB, FLIVE, PaQ-2-PiQ)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import columns, find_file, read_table
from bench.data.datasets._places import within
from bench.data.datasets.base import DatasetInfo, DatasetReader

if TYPE_CHECKING:
    import pandas as pd

_TEST = "labels640.csv"
_PADDED = ("labels=640_padded.csv", "labels<=640_padded.csv", "labels_640_padded.csv")


class LiveFb(DatasetReader):
    """`labels_image.csv` (name, mos); test images in labels640.csv, validation in the padded one.

    The tables may lie beside the folder `database` of the images or in it.
    """

    info = DatasetInfo(
        name="livefb",
        title="LIVEFB",
        kind="authentic",
        label="mos",
        low=0.0,
        high=100.0,
        size=39810,
        published=(0.0, 94.33),
        homepage="https://github.com/baidut/PaQ-2-PiQ",
        licence="research use",
        citation="Z. Ying et al., From Patches to Pictures (PaQ-2-PiQ): Mapping the Perceptual "
        "Space of Picture Quality, CVPR, 2020",
        folders=("livefb", "flive", "PaQ-2-PiQ", "paq2piq", "LIVE_FB_IQA", "FLIVE_Database"),
    )
    marks = ("labels_image.csv", "database/labels_image.csv")
    image_folders = ("database", ".")

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """MOS from 0 to 100, with the official split as far as its tables are there.

        Without the padded table there is no validation part: what is not tested trains. With it,
        the images that neither table lists (three, in the release) belong to no part.
        """
        file = find_file(root, *self.marks)
        table = columns(read_table(file), {"image": "name", "score": "mos"})
        here = file.parent
        test = within(here, _TEST)
        padded = next((found for name in _PADDED if (found := within(here, name))), None)
        if test is None:
            return table
        tested = set(columns(read_table(test), {"image": "name_image"})["image"])
        rest = "" if padded else "train"
        part = {name: "test" if name in tested else rest for name in table["image"]}
        if padded:
            named = {"image": "name_image", "valid": "is_valid"}
            for row in columns(read_table(padded), named).itertuples():
                part[row.image] = "val" if str(row.valid).lower() in ("true", "1") else "train"
        table["official"] = table["image"].map(part)
        return table
