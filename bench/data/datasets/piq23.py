"""PIQ23: portraits by smartphones, compared in pairs within a scene."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import columns, find_file, read_table
from bench.data.datasets._places import within
from bench.data.datasets.base import DatasetInfo, DatasetReader, Version

if TYPE_CHECKING:
    import pandas as pd


_SPLITS = ("Test split/Scene Split.csv", "Scene Split.csv")


class Piq23(DatasetReader):
    """`Scores_Overall.csv`, `_Details`, `_Exposure`: scores of scenes apart, in JOD.

    Scores compare images of one scene and no others, so that the scene is the group: metrics are
    taken within it, and no random split tears it. The three attributes show other parts of the
    photographs, in a folder each.
    """

    info = DatasetInfo(
        name="piq23",
        title="PIQ23",
        kind="authentic",
        label="mos",
        low=-10.0,
        high=10.0,
        size=5116,
        homepage="https://github.com/DXOMARK-Research/PIQ2023",
        licence="research use, on request",
        citation="N. Chahine et al., An Image Quality Assessment Dataset for Portraits, CVPR, 2023",
        folders=("PIQ23", "PIQ2023"),
        spread_kind="std",
        versions={
            "details": Version("preservation of the face's details", "mos", -10, 10, 5116),
            "exposure": Version("exposure of the face", "mos", -10, 10, 5116),
        },
        standard="overall",
    )
    marks = ("Scores_Overall.csv", "Scores/Scores_Overall.csv")

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """Just-objectionable differences (about -6 to 6); `official` is the authors' scene split.

        Their device split is read as a published one (`splits:` in the data configuration).
        """
        label = version.capitalize() or "Overall"
        file = find_file(root, *(mark.replace("Overall", label) for mark in self.marks))
        named = {"image": "IMAGE PATH", "score": "JOD", "spread": "JOD STD"}
        table = columns(read_table(file), {**named, "group": "SCENE", "scene": "SCENE"})
        split = next((found for name in _SPLITS if (found := within(root, name))), None)
        if split is not None:
            listed = read_table(split)
            parts = dict(zip(listed.texts("SCENE"), listed.texts("SPLIT"), strict=True))
            table["official"] = table["scene"].map(parts)
        return table
