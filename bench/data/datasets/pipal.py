"""Perceptual Image Processing Algorithms dataset (PIPAL), training part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import columns, find_file, named_parts, read_table
from bench.data.datasets._places import within
from bench.data.datasets.base import DatasetInfo, DatasetReader
from bench.util.errors import DataError
from bench.util.listing import listed

if TYPE_CHECKING:
    import pandas as pd

_LISTS = ("pipal22_train.txt",)
_CLASSES = {
    "00": "traditional SR (likely)",
    "01": "PSNR-oriented SR (likely)",
    "02": "SR with kernel mismatch (likely)",
    "03": "GAN-based SR (likely)",
    "04": "denoising (likely)",
    "05": "SR and denoising (likely)",
    "06": "traditional distortions (likely)",
}


class Pipal(DatasetReader):
    """`Train_Label/A0001.txt` and so on: lines 'A0001_00_00.bmp,1520.0648', an Elo rating.

    Images are found in whichever of the `Distortion_*` folders they were unpacked to. In a name
    like A0001_03_12 the author calls 03 the class of distortion and 12 the type within it, and
    points to Table 10 of arXiv 2011.15002 (HaomingCai/PIPAL-dataset, issue 13). Names are likely
    ones: a reader of the files lists the first of them there and asks the author to confirm them,
    and another project finds that the variants of the table's classes number 12, 16, 10, 24, 13, 14
    and 27, as the types in the label files do, class by class.
    """

    info = DatasetInfo(
        name="pipal",
        title="PIPAL",
        kind="synthetic",
        label="mos",
        low=900.0,
        high=1850.0,
        size=23200,
        published=(916.71, 1835.99),
        homepage="https://www.jasongt.com/projectpages/pipal.html",
        licence="research use",
        citation="J. Gu et al., PIPAL: a Large-Scale Image Quality Assessment Dataset for "
        "Perceptual Image Restoration, ECCV, 2020",
        folders=("pipal", "PIPAL_train", "NTIRE2022"),
        references=True,
    )
    marks = ("Train_Label", *_LISTS)
    pristine = ("Train_Ref/{}.bmp",)

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """Elo ratings (917 to 1836), higher is better, of 200 references."""
        import pandas as pd

        folder = within(root, "Train_Label")
        files = listed(folder, "*.txt") if folder else [find_file(root, *self.marks)]
        if not files:
            raise DataError(f"{folder}: no A0001.txt and so on in it")
        parts = [
            columns(read_table(file, header=False), {"image": "0", "score": "1"}) for file in files
        ]
        table = pd.concat(parts, ignore_index=True)
        pattern = r"(\w+?)_(\d\d)_(\d\d)\.bmp"
        rows = [named_parts(files[0], name, pattern) for name in table["image"]]
        table["reference"] = [row[0] for row in rows]
        table["distortion"] = [_CLASSES.get(row[1], row[1]) for row in rows]
        return table
