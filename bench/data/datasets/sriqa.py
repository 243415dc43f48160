"""SRIQA-Bench: photographs enlarged by ten methods of super-resolution."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import columns, find_file, named_parts, read_table
from bench.data.datasets.base import DatasetInfo, DatasetReader
from bench.util.errors import DataError
from bench.util.listing import listed

if TYPE_CHECKING:
    import pandas as pd


class Sriqa(DatasetReader):
    """`MOS/x1.txt` with lines 'x1_SwinIRx4.png,71.3'; `images/METHOD/x1_METHODx4.png`.

    Folders and names of the images are evidenced; the label files are those that the authors'
    script writes. It scales the scores of each photograph's versions to 0-100 by themselves, so
    that they compare versions of one photograph (the group) and no others. `distortion` is the
    method, 'Original' for the photograph itself, which may be worse than an enlargement.
    """

    info = DatasetInfo(
        name="sriqa",
        title="SRIQA-Bench",
        kind="synthetic",
        label="mos",
        low=0.0,
        high=100.0,
        size=1100,
        homepage="https://github.com/ChrisDud0257/AFINE",
        licence="as stated by its authors at the home page",
        citation="D. Chen et al., Toward Generalized Image Quality Assessment: Relaxing the "
        "Perfect Reference Quality Assumption, CVPR, 2025",
        folders=("SRIQA-Bench", "SRIQA", "sriqa_bench"),
    )
    marks = ("MOS", "LRImages")
    image_folders = ("images",)  # the low-resolution originals beside it share names with it

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """Scores from 0 to 100 within each photograph."""
        import pandas as pd

        folder = find_file(root, "MOS")
        files = listed(folder, "*.txt")
        if not files:
            raise DataError(f"{folder}: no x1.txt and so on in it")
        named = {"image": "0", "score": "1"}
        parts = [columns(read_table(file, header=False), named) for file in files]
        table = pd.concat(parts, ignore_index=True)
        pattern = r"(x\d+)_(.+?)(?:x4)?\.png"
        names = [named_parts(folder, name, pattern) for name in table["image"]]
        table["group"] = [name[0] for name in names]
        table["distortion"] = [name[1] for name in names]
        return table
