"""Konstanz Artificially Distorted Image quality Database (KADID-10k)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import columns, find_file, named_parts, read_table
from bench.data.datasets.base import DatasetInfo, DatasetReader

if TYPE_CHECKING:
    import pandas as pd

TYPES = (
    "gaussian blur",
    "lens blur",
    "motion blur",
    "colour diffusion",
    "colour shift",
    "colour quantization",
    "colour saturation 1",
    "colour saturation 2",
    "jpeg2000",
    "jpeg",
    "white noise",
    "white noise in colour component",
    "impulse noise",
    "multiplicative noise",
    "denoise",
    "brighten",
    "darken",
    "mean shift",
    "jitter",
    "non-eccentricity patch",
    "pixelate",
    "quantization",
    "colour block",
    "high sharpen",
    "contrast change",
)


class Kadid10k(DatasetReader):
    """`dmos.csv`: dist_img, ref_img, dmos, var. Its `dmos` is a MOS: higher is better."""

    info = DatasetInfo(
        name="kadid10k",
        title="KADID-10k",
        kind="synthetic",
        label="mos",
        low=1.0,
        high=5.0,
        size=10125,
        published=(1.0, 4.93),
        homepage="https://database.mmsp-kn.de/kadid-10k-database.html",
        licence="research use",
        citation="H. Lin, V. Hosu and D. Saupe, KADID-10k: A Large-scale Artificially Distorted "
        "IQA Database, QoMEX, 2019",
        folders=("kadid10k", "kadid-10k", "KADID"),
        spread_kind="variance",
        references=True,
    )
    marks = ("dmos.csv", "kadid10k_label.txt")
    image_folders = ("images", "distorted_images")
    pristine = ("images/{}", "reference_images/{}")

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """Scores from 1 to 5, variance where `dmos.csv` is there. Names are I01_25_5.png."""
        file = find_file(root, *self.marks)
        if file.suffix.lower() == ".csv":
            named = {"image": "dist_img", "reference": "ref_img", "score": "dmos", "spread": "var"}
            table = columns(read_table(file), named)
        else:
            table = columns(read_table(file, header=False), {"image": "0", "score": "1"})
        parts = [named_parts(file, name, r"i(\d\d)_(\d\d)_(\d\d)\.png") for name in table["image"]]
        table["reference"] = [f"I{part[0]}.png" for part in parts]
        table["distortion"] = [f"{part[1]} {TYPES[int(part[1]) - 1]}" for part in parts]
        table["level"] = [int(part[2]) for part in parts]
        return table
