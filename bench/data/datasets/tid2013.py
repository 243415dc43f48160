"""Tampere Image Database 2013 (TID2013)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import (
    find_file,
    named_parts,
    read_table,
    same_length,
)
from bench.data.datasets._places import within
from bench.data.datasets.base import DatasetInfo, DatasetReader

if TYPE_CHECKING:
    import pandas as pd

TYPES = (
    "additive gaussian noise",
    "additive noise in colour components",
    "spatially correlated noise",
    "masked noise",
    "high-frequency noise",
    "impulse noise",
    "quantization noise",
    "gaussian blur",
    "image denoising",
    "jpeg compression",
    "jpeg2000 compression",
    "jpeg transmission errors",
    "jpeg2000 transmission errors",
    "non-eccentricity pattern noise",
    "local block-wise distortions",
    "mean shift",
    "contrast change",
    "change of colour saturation",
    "multiplicative gaussian noise",
    "comfort noise",
    "lossy compression of noisy images",
    "colour quantization with dither",
    "chromatic aberrations",
    "sparse sampling and reconstruction",
)


class Tid2013(DatasetReader):
    """`mos_with_names.txt`: score and file name in mixed case; `mos_std.txt` in the same order."""

    info = DatasetInfo(
        name="tid2013",
        title="TID2013",
        kind="synthetic",
        label="mos",
        low=0.0,
        high=9.0,
        size=3000,
        published=(0.24, 7.21),
        homepage="https://www.ponomarenko.info/tid2013.htm",
        licence="research use",
        citation="N. Ponomarenko et al., Image database TID2013: Peculiarities, results and "
        "perspectives, Signal Processing: Image Communication, 2015",
        folders=("tid2013", "tid_2013"),
        spread_kind="error",
        references=True,
    )
    marks = ("mos_with_names.txt",)
    image_folders = ("distorted_images",)
    pristine = ("reference_images/{}.bmp",)

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """MOS from 0 to 9. References, types and levels come from names like i01_23_5.bmp.

        By its size (0.13 on a scale of 9) `mos_std` can only be the error of the mean.
        """
        import pandas as pd

        file = find_file(root, "mos_with_names.txt")
        listed = read_table(file, separator=" ", header=False)
        names = listed.texts("1")
        rows = [named_parts(file, name, r"i(\d\d)_(\d\d)_(\d)\.bmp") for name in names]
        table = pd.DataFrame(
            {
                "image": names,
                "score": listed.numbers("0"),
                "reference": [f"I{row[0]}" for row in rows],
                "distortion": [f"{row[1]} {TYPES[int(row[1]) - 1]}" for row in rows],
                "level": [int(row[2]) for row in rows],
            }
        )
        spread = within(root, "mos_std.txt")
        if spread is not None:
            values = read_table(spread, separator=" ", header=False).numbers("0")
            same_length(root, mos_with_names=table, mos_std=values)
            table["spread"] = values
        return table
