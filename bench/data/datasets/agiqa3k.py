"""AGIQA-3K: pictures by six generators."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import columns, find_file, read_table
from bench.data.datasets.base import DatasetInfo, DatasetReader, Version

if TYPE_CHECKING:
    import pandas as pd


class Agiqa3k(DatasetReader):
    """`data.csv`; images flat in the folder or in a folder of it. `distortion` is the generator."""

    info = DatasetInfo(
        name="agiqa3k",
        title="AGIQA-3K",
        kind="ai-generated",
        label="mos",
        low=0.0,
        high=5.0,
        size=2982,
        published=(0.0, 4.489),
        homepage="https://github.com/lcysyzxdc/AGIQA-3k-Database",
        licence="MIT",
        citation="C. Li et al., AGIQA-3K: An Open Database for AI-Generated Image Quality "
        "Assessment, IEEE TCSVT, 2024",
        folders=("agiqa3k", "agiqa-3k", "AGIQA-3k-Database", "AGIQA-3k-Database-main"),
        spread_kind="std",
        versions={"align": Version("alignment with the prompt", "mos", 0, 5, 2982)},
        standard="quality",
    )
    marks = ("data.csv",)

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """Perceptual quality (default) or alignment; pictures of one prompt form a group."""
        file = find_file(root, *self.marks)
        label = version or "quality"
        named = {"image": "name", "group": "prompt"}
        table = columns(
            read_table(file),
            {**named, "score": f"mos_{label}", "spread": f"std_{label}"},
        )
        table["group"] = table["group"].str.strip().str.lower()
        table["distortion"] = table["image"].str.split("_").str[0]
        return table
