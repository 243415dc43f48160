"""LIVE Image Quality Assessment Database, release 2."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import find_file, read_mat, same_length
from bench.data.datasets.base import DatasetInfo, DatasetReader, Version
from bench.util.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_FOLDERS = (("jp2k", 227), ("jpeg", 233), ("wn", 174), ("gblur", 174), ("fastfading", 174))
"""Distortion folders with their number of files, in the order in which the .mat files count."""


class Live(DatasetReader):
    """982 files `jp2k/img1.bmp` ...; 203 of them are undistorted copies and are left out."""

    info = DatasetInfo(
        name="live",
        title="LIVE",
        kind="synthetic",
        label="dmos",
        low=-3.0,
        high=112.0,
        size=779,
        published=(-2.64, 111.77),
        homepage="https://live.ece.utexas.edu/research/quality/subjective.htm",
        licence="free use with the notice in its readme.txt",
        citation="H. R. Sheikh, M. F. Sabir and A. C. Bovik, A Statistical Evaluation of Recent "
        "Full Reference Image Quality Assessment Algorithms, IEEE TIP, 2006",
        folders=("databaserelease2", "live", "LIVEIQA", "LIVE_R2", "live_release2"),
        references=True,
        versions={"dmos": Version("dmos.mat, before realignment", "dmos", 0, 100, 779)},
        standard="dmos_new",
    )
    marks = ("dmos_realigned.mat", "dmos.mat")
    pristine = ("refimgs/{}",)

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """Realigned DMOS (`dmos_new`) with `dmos_std`, or the older `dmos`.

        Whether `dmos_std` is a deviation over raters or the error of the mean is not evidenced.
        """
        import pandas as pd

        label, file = ("dmos", "dmos.mat") if version else ("dmos_new", "dmos_realigned.mat")
        path = find_file(root, file)
        columns = read_mat(path, label, "orgs", *([] if version else ["dmos_std"]))
        columns["refs"] = read_mat(find_file(root, "refnames_all.mat"), "refnames_all")[
            "refnames_all"
        ]
        table = pd.DataFrame(
            [
                {"image": f"{kind}/img{number}.bmp", "distortion": kind}
                for kind, count in _FOLDERS
                for number in range(1, count + 1)
            ]
        )
        same_length(root, image=table, score=columns[label])
        table["score"] = columns[label].astype(float)
        if not version:
            table["spread"] = columns["dmos_std"].astype(float)
        if len(columns["orgs"]) == len(table):
            table = table[columns["orgs"] == 0]
        else:  # copies are about whose `orgs` leaves the originals out; those have a DMOS of 0
            table = table[table["score"] != 0]
        table["reference"] = self._references(path, table, columns["refs"].tolist())
        return table

    def _references(self, path: Path, table: pd.DataFrame, names: list[str]) -> list[str]:
        """The pristine image of each distorted one.

        The file lists all 982. In some copies it lists only the 779, and then within a folder in
        the alphabetical order of the file names.
        """
        total = sum(count for _, count in _FOLDERS)
        if len(names) == total:
            return [names[row] for row in table.index]
        if len(names) != len(table):
            raise DataError(f"{path.parent}: refnames_all has {len(names)} names, not {total}")
        folders = [folder for folder, _ in _FOLDERS]
        alphabetical = sorted(
            table["image"], key=lambda image: (folders.index(image.split("/")[0]), image)
        )
        named = dict(zip(alphabetical, names, strict=True))
        return [named[image] for image in table["image"]]
