"""Waterloo Exploration Database: no scores; images for group maximum differentiation (gMAD)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import find_file
from bench.data.datasets.base import DatasetInfo, DatasetReader
from bench.util.errors import DataError
from bench.util.listing import listed

if TYPE_CHECKING:
    import pandas as pd

_TYPES, _LEVELS = 4, 5


class Waterloo(DatasetReader):
    """`pristine_images/*.bmp` and `distorted_images/TYPE/LEVEL/` with the same file names.

    Which number is which distortion is not evidenced, so `distortion` is the number.
    """

    info = DatasetInfo(
        name="waterloo",
        title="Waterloo Exploration",
        kind="unlabelled",
        label="none",
        low=0.0,
        high=1.0,
        size=99624,
        homepage="https://ece.uwaterloo.ca/~k29ma/exploration/",
        licence="as stated by its authors at the home page",
        citation="K. Ma et al., Waterloo Exploration Database: New Challenges for Image Quality "
        "Assessment Models, IEEE TIP, 2017",
        folders=(
            "exploration_database_and_code",
            "waterloo",
            "waterloo_exploration",
            "exploration",
        ),
        references=True,
    )
    marks = ("pristine_images",)

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """Pristine images first, then type by type and level by level, as gMAD counts them."""
        import pandas as pd

        pristine = find_file(root, "pristine_images")
        names = [path.name for path in listed(pristine, "*") if path.suffix.lower() == ".bmp"]
        if not names:
            raise DataError(f"{pristine}: no .bmp images in it")
        rows: list[tuple[str, str, str, float]] = []
        rows += [(f"pristine_images/{name}", name, "", float("nan")) for name in names]
        for kind in range(1, _TYPES + 1):
            for level in range(1, _LEVELS + 1):
                folder = f"distorted_images/{kind}/{level}"
                rows += [(f"{folder}/{name}", name, str(kind), level) for name in names]
        return pd.DataFrame(rows, columns=["image", "reference", "distortion", "level"])
