"""Categorical Image Quality database (CSIQ)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import (
    columns,
    find_file,
    named_parts,
    read_sheet,
    read_table,
)
from bench.data.datasets.base import DatasetInfo, DatasetReader
from bench.util.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_TYPES = {
    "noise": "AWGN",
    "awgn": "AWGN",
    "jpeg": "JPEG",
    "jpeg2000": "jpeg2000",
    "fnoise": "fnoise",
    "blur": "BLUR",
    "contrast": "contrast",
}
"""Type in the workbook or in a file name -> type in the native file name."""
_ORDER = ("AWGN", "JPEG", "jpeg2000", "fnoise", "BLUR", "contrast")


class Csiq(DatasetReader):
    """`csiq.DMOS.xlsx`, sheet all_by_image, header in row 4; or the text list in wide use."""

    info = DatasetInfo(
        name="csiq",
        title="CSIQ",
        kind="synthetic",
        label="dmos",
        low=0.0,
        high=1.0,
        size=866,
        published=(0.0, 1.0),
        homepage="https://s2.smu.edu/~eclarson/csiq.html",
        licence="research use",
        citation="E. C. Larson and D. M. Chandler, Most apparent distortion: full-reference image "
        "quality assessment and the role of strategy, Journal of Electronic Imaging, 2010",
        folders=("csiq", "CSIQ_Database"),
        spread_kind="std",
        references=True,
    )
    marks = ("csiq.DMOS.xlsx", "csiq.beta.xlsx", "csiq_label.txt")
    image_folders = ("dst_imgs", "dst_imgs_all")  # a folder per type, or all in one
    pristine = ("src_imgs/{}.png",)

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """DMOS from 0 to 1. Rows type by type, then by reference and level, whatever the file."""
        file = find_file(root, *self.marks)
        text = file.suffix.lower() == ".txt"
        table = self._from_text(file) if text else self._from_sheet(file)
        table["image"] = [
            f"{row.reference}.{row.distortion}.{row.level:.0f}.png" for row in table.itertuples()
        ]
        table["order"] = [_ORDER.index(kind) for kind in table["distortion"]]
        table["plain"] = table["reference"].str.replace("_", "")
        return table.sort_values(["order", "plain", "level"])

    def _from_sheet(self, file: Path) -> pd.DataFrame:
        sheet = read_sheet(file, "all_by_image", header_row=4)
        named = {"reference": "image", "distortion": "dst_type", "level": "dst_lev"}
        table = columns(sheet, {**named, "spread": "dmos_std", "score": "dmos"})
        table = table[table["level"].notna()]
        table["distortion"] = [self._type(file, kind) for kind in table["distortion"]]
        return table

    def _from_text(self, file: Path) -> pd.DataFrame:
        import pandas as pd

        listed = read_table(file, separator=" ", header=False)
        pattern = r"(\w+)\.(\w+)\.(\d)\.png"
        parts = [named_parts(file, name, pattern) for name in listed.texts("0")]
        return pd.DataFrame(
            {
                "reference": [part[0] for part in parts],
                "distortion": [self._type(file, part[1]) for part in parts],
                "level": [float(part[2]) for part in parts],
                "score": listed.numbers("1"),
            }
        )

    def _type(self, file: Path, kind: str) -> str:
        key = str(kind).lower().replace(" ", "")
        if key not in _TYPES:
            raise DataError(f"{file}: unknown distortion type '{kind}'")
        return _TYPES[key]
