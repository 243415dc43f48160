"""AIGIQA-20K: pictures by fifteen generators."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import columns, find_file, read_table
from bench.data.datasets._places import within
from bench.data.datasets.base import DatasetInfo, DatasetReader
from bench.util.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


_PARTS = ("train", "val", "test")


class Aigiqa20k(DatasetReader):
    """`info_train.xlsx` (image, prompt, MOS) and its like; images in `train/`, `val/`, `test/`.

    The order of the three columns is that of the training table; the headers and the other two
    tables are not evidenced. A part whose table has no scores is left out.
    """

    info = DatasetInfo(
        name="aigiqa20k",
        title="AIGIQA-20K",
        kind="ai-generated",
        label="mos",
        low=0.0,
        high=5.0,
        size=20000,
        homepage="https://www.modelscope.cn/datasets/lcysyzxdxc/AIGCQA-30K-Image",
        licence="Apache-2.0, as its page says",
        citation="C. Li et al., AIGIQA-20K: A Large Database for AI-Generated Image Quality "
        "Assessment, CVPR Workshops, 2024",
        folders=("AIGCQA-30K-Image", "AIGIQA-20K", "aigiqa20k", "AIGCIQA-20K"),
    )
    marks = tuple(f"info_train.{suffix}" for suffix in ("xlsx", "csv"))

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """MOS from 0 to 5; pictures of one prompt form a group; the parts are the official split.

        Raises `DataError` where no table has scores.
        """
        import pandas as pd

        find_file(root, *self.marks)
        found = [table for part in _PARTS if (table := self._part(root, part)) is not None]
        if not found:
            raise DataError(f"{root}: no table info_train with image, prompt and MOS")
        return pd.concat(found, ignore_index=True)

    def _part(self, root: Path, part: str) -> pd.DataFrame | None:
        names = (mark.replace("train", part) for mark in self.marks)
        file = next(filter(None, (within(root, name) for name in names)), None)
        table = read_table(file).by_position() if file else None
        if table is None or len(table.names) < 3:
            return None
        found = columns(table, {"image": "0", "group": "1", "score": "2"})
        found["group"] = found["group"].str.strip().str.lower()
        return found.assign(image=f"{part}/" + found["image"], official=part)
