"""LIVE In the Wild Image Quality Challenge Database (LIVEC, CLIVE)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import find_file, read_mat, same_length
from bench.data.datasets.base import DatasetInfo, DatasetReader, Version

if TYPE_CHECKING:
    import pandas as pd

_TRAINING = 7
"""The first images were shown to train the raters and carry no valid MOS of the study."""


class LiveChallenge(DatasetReader):
    """`Data/All*_release.mat` list all images; the first seven lie in `Images/trainingImages`."""

    info = DatasetInfo(
        name="livec",
        title="LIVEC",
        kind="authentic",
        label="mos",
        low=0.0,
        high=100.0,
        size=1162,
        published=(3.42, 92.43),
        homepage="https://live.ece.utexas.edu/research/ChallengeDB/",
        licence="free use with the notice in its README.txt",
        citation="D. Ghadiyaram and A. C. Bovik, Massive Online Crowdsourced Study of Subjective "
        "and Objective Picture Quality, IEEE Transactions on Image Processing, 2016",
        folders=("ChallengeDB_release", "livec", "clive", "livew", "live_challenge", "LIVE_WILD"),
        spread_kind="std",
        versions={
            "1169": Version("all images, the seven training images included", "mos", 0, 100, 1169)
        },
        standard="1162",
    )
    marks = ("Data/AllMOS_release.mat",)
    image_folders = ("Images",)
    duplicates = (("246.bmp", "333.bmp"),)

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """1,162 images, or 1,169 with version '1169'; spread is a standard deviation."""
        import pandas as pd

        names, scores, spreads = (
            read_mat(find_file(root, f"Data/{key}.mat", f"{key}.mat"), key)[key]
            for key in ("AllImages_release", "AllMOS_release", "AllStdDev_release")
        )
        same_length(root, image=names, score=scores, spread=spreads)
        table = pd.DataFrame({"image": names, "score": scores, "spread": spreads})
        if version == "1169":
            table.loc[: _TRAINING - 1, "image"] = "trainingImages/" + table["image"][:_TRAINING]
            return table
        return table[_TRAINING:]
