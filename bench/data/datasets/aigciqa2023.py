"""AIGCIQA2023: pictures by six generators for a hundred prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import (
    columns,
    find_file,
    read_mat,
    read_table,
    same_length,
)
from bench.data.datasets._places import within
from bench.data.datasets.base import DatasetInfo, DatasetReader, Version
from bench.util.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

_GENERATORS = ("Controlnet", "DALLE", "Glide", "Lafite", "stable-diffusion", "Unidiffuser")
"""In the order of pic-index.xlsx: 400 pictures each, four a prompt."""
_LABELS = {"": 1, "authenticity": 2, "correspondence": 3}
_COMMUNITY = "AIGCIQA2023.csv"
_HUB = "AIGIQA2023.json"
"""Of the hub's copy: a list with one object for each question about an image, scores repeated;
`img`, and `moz1` to `moz3` as the authors' files count."""


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
    marks = ("DATA/MOS/mosz1.mat", "MOS/mosz1.mat", "mosz1.mat", _COMMUNITY, _HUB)
    image_folders = ("Image/allimg", "allimg")

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """Rescaled z-scores (about 0 to 100); pictures of one prompt form a group.

        The shipped deviations are those of the ratings before rescaling, so no spread is given.
        `distortion` is the generator.
        """
        import numpy as np
        import pandas as pd

        number = _LABELS[version]
        names = [mark.replace("mosz1", f"mosz{number}") for mark in self.marks[:3]]
        if any(within(root, name) for name in names):
            scores = read_mat(find_file(root, *names), "MOSz")["MOSz"].astype(float)
        elif within(root, _COMMUNITY):
            file = find_file(root, _COMMUNITY)
            column = f"{version or 'quality'}_mos"
            scores = columns(read_table(file), {"score": column})["score"].to_numpy()
        else:
            scores = _of_hub(find_file(root, *names, _HUB), f"moz{number}", self.info.size)
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


def _of_hub(file: Path, key: str, size: int) -> npt.NDArray[np.float64]:
    """Scores (size,) in the order of the images' numbers. Raises `DataError` for anything else."""
    import numpy as np

    found: dict[str, float] = {}
    try:
        for item in json.loads(file.read_text(encoding="utf-8")):
            name, score = str(item["img"]), float(item[key])
            if found.setdefault(name, score) != score:
                raise DataError(f"{file}: '{name}' has two values of '{key}'")
        return np.array([found[f"{row}.png"] for row in range(size)])
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{file}: expected a list of objects with 'img' (0.png to {size - 1}.png) and '{key}'; "
            f"{type(error).__name__}: {error}"
        ) from error
