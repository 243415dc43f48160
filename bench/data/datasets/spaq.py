"""Smartphone Photography Attribute and Quality database (SPAQ)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import columns, find_file, read_sheet, read_table
from bench.data.datasets._places import within
from bench.data.datasets.base import DatasetInfo, DatasetReader

if TYPE_CHECKING:
    import pandas as pd

_MOS = ("MOS and Image attribute scores.xlsx", "MOS_and_Image_attribute_scores.xlsx")
_SCENES = ("Scene category labels.xlsx", "Scene_category_labels.xlsx")
_SPREADS = ("SPAQ_mos_std.txt",)
_ATTRIBUTES = ("Brightness", "Colorfulness", "Contrast", "Noisiness", "Sharpness")
_CATEGORIES = {
    "Animal": "animal",
    "Cityscape": "cityscape",
    "Human": "human",
    "Indoor scene": "indoor",
    "Landscape": "landscape",
    "Night scene": "night",
    "Plant": "plant",
    "Still-life": "still_life",
    "Others": "others",
}


class Spaq(DatasetReader):
    """`Annotations/MOS and Image attribute scores.xlsx`; scenes in a second workbook.

    The standard deviations are no part of the archive; the authors give them in a file of their
    own (h4nwei/SPAQ, issues 18 and 35), read where it lies beside the workbook or above it.
    """

    info = DatasetInfo(
        name="spaq",
        title="SPAQ",
        kind="authentic",
        label="mos",
        low=0.0,
        high=100.0,
        size=11125,
        published=(2.0, 96.0),
        homepage="https://github.com/h4nwei/SPAQ",
        licence="research use",
        citation="Y. Fang, H. Zhu, Y. Zeng, K. Ma and Z. Wang, Perceptual Quality Assessment of "
        "Smartphone Photography, CVPR, 2020",
        folders=("spaq", "SPAQ_Database", "SPAQ dataset"),
        spread_kind="std",
        attributes=tuple(name.lower() for name in _ATTRIBUTES),
    )
    marks = tuple(f"{folder}{name}" for name in _MOS for folder in ("Annotations/", ""))
    image_folders = ("TestImage", "img_resize")

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """MOS from 0 to 100; an image with several scene categories has them joined by '|'."""
        file = find_file(root, *self.marks)
        named = {"image": "Image name", "score": "MOS"}
        sheet = read_sheet(file)
        named |= {name.lower(): name for name in _ATTRIBUTES if name in sheet}
        table = columns(sheet, named)
        table["spread"] = table["image"].map(self._spreads(root, file.parent))
        beside = next((found for name in _SCENES if (found := within(file.parent, name))), None)
        if beside is not None:
            wanted = {"image": "Image name", **{ours: theirs for theirs, ours in _scenes()}}
            shares = columns(read_sheet(beside), wanted)
            names = [ours for _, ours in _scenes()]
            scenes = {
                row["image"]: "|".join(name for name in names if row[name])
                for row in shares.to_dict("records")
            }
            table["scene"] = table["image"].map(scenes)
        return table

    def _spreads(self, *folders: Path) -> dict[str, float]:
        """Deviations by image, from lines 'name MOS deviation'; {} without the file."""
        places = (within(folder, name) for folder in folders for name in _SPREADS)
        file = next(filter(None, places), None)
        if file is None:
            return {}
        listed = read_table(file, separator=" ", header=False)
        return dict(zip(listed.texts("0"), listed.numbers("2").tolist(), strict=True))


def _scenes() -> list[tuple[str, str]]:
    return list(_CATEGORIES.items())
