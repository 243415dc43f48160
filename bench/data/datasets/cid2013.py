"""CID2013: photographs of the same scenes by many consumer cameras."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import columns, find_file, read_sheet
from bench.data.datasets.base import DatasetInfo, DatasetReader, Version

if TYPE_CHECKING:
    import pandas as pd


class Cid2013(DatasetReader):
    """Sheet 'CID2013 MOS' of the authors' workbook; `IS1/co1/IS_I_C01_D01.jpg` and so on.

    The name of an image holds its image set, scene and camera. Pictures of one scene in one set
    were judged together and form a group.
    """

    info = DatasetInfo(
        name="cid2013",
        title="CID2013",
        kind="authentic",
        label="mos",
        low=0.0,
        high=100.0,
        size=474,
        homepage="https://zenodo.org/records/2647033",
        licence="as stated by its authors at the home page",
        citation="T. Virtanen et al., CID2013: A Database for Evaluating No-Reference Image "
        "Quality Assessment Algorithms, IEEE TIP, 2015",
        folders=("cid2013", "CID2013_database"),
        versions={"set": Version("MOS of each image set by itself", "mos", 0, 100, 474)},
        standard="realigned",
    )
    marks = ("CID2013 data - version 12112014.xlsx", "CID2013 data.xlsx", "CID2013.xlsx")

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """MOS from 0 to 100: realigned across the six image sets, or of each set by itself."""
        file = find_file(root, *self.marks)
        sheet = read_sheet(file, "CID2013 MOS")
        score = "Image set specific MOS" if version else "Realigned MOS"
        table = columns(sheet, {"image": "Source_ID", "score": score})
        table["group"] = table["image"].str.rsplit("_", n=1).str[0]
        table["image"] += ".jpg"
        return table
