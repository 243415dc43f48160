"""AIGCIQA2023: pictures by six generators for a hundred prompts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import (
    columns,
    find_file,
    read_mat,
    read_table,
    same_length,
    subfolder,
)
from bench.data.datasets._places import within
from bench.data.datasets.base import DatasetInfo, DatasetReader, Version

if TYPE_CHECKING:
    import pandas as pd

_GENERATORS = ("Controlnet", "DALLE", "Glide", "Lafite", "stable-diffusion", "Unidiffuser")
"""In the order of pic-index.xlsx: 400 pictures each, four a prompt."""
_LABELS = {"": 1, "authenticity": 2, "correspondence": 3}
_COMMUNITY = "AIGCIQA2023.csv"


class Aigciqa2023(DatasetReader):
    """`DATA/MOS/mosz1.mat` (quality), 2 (authenticity), 3 (correspondence), each 2400 x 1."""

    info = DatasetInfo(
        name="aigciqa2023",
        title="AIGCIQA2023",
        kind="ai-generated",
        label="mos",
        low=0.0,
        high=100.0,
        size=2400,
        homepage="https://github.com/wangjiarui153/AIGCIQA2023",
        licence="research use",
        citation="J. Wang et al., AIGCIQA2023: A Large-Scale Image Quality Assessment Database for "
        "AI Generated Images, CICAI, 2023",
        folders=("aigciqa2023", "AIGCIQA_2023", "AIGCIQA"),
        versions={
            "authenticity": Version("does it look real", "mos", 0, 100, 2400),
            "correspondence": Version("does it show the prompt", "mos", 0, 100, 2400),
        },
        standard="quality",
    )
    marks = ("DATA/MOS/mosz1.mat", "MOS/mosz1.mat", "mosz1.mat", _COMMUNITY)

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """Rescaled z-scores (about 0 to 100); pictures of one prompt form a group.

        The shipped deviations are those of the ratings before rescaling, so no spread is given.
        `distortion` is the generator.
        """
        import numpy as np
        import pandas as pd

        number = _LABELS[version]
        names = [mark.replace("mosz1", f"mosz{number}") for mark in self.marks[:3]]
        if not any(within(root, name) for name in names) and within(root, _COMMUNITY):
            file = find_file(root, _COMMUNITY)
            column = f"{version or 'quality'}_mos"
            scores = columns(read_table(file), {"score": column})["score"].to_numpy()
        else:
            scores = read_mat(find_file(root, *names), "MOSz")["MOSz"].astype(float)
        same_length(root, score=scores, image=range(self.info.size))
        index = np.arange(self.info.size)
        return pd.DataFrame(
            {
                "image": [f"{row}.png" for row in index],
                "score": scores,
                "group": [f"prompt{row % 400 // 4:03d}" for row in index],
                "distortion": [_GENERATORS[row // 400] for row in index],
            }
        )

    def images(self, root: Path) -> Path:
        """`Image/allimg`."""
        return subfolder(root, "Image/allimg", "allimg")
