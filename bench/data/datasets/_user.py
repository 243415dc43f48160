"""A database of the user's own: a table and a folder of images, named in the data configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._config import UserDatabase
from bench.data.datasets._files import columns, find_file, read_table
from bench.data.datasets.base import DatasetInfo, DatasetReader
from bench.data.images.files import image_files

if TYPE_CHECKING:
    import pandas as pd

_OPTIONAL = ("reference", "group", "spread", "raters", "scene", "distortion")


class UserReader(DatasetReader):
    """Reads what one entry under `databases:` describes."""

    def __init__(self, name: str, entry: UserDatabase) -> None:
        self.entry = entry
        low, high = entry.range or (0.0, 1.0)
        self.pristine = ("{}", f"{entry.images.as_posix()}/{{}}")
        self.info = DatasetInfo(  # type: ignore[misc]  # one per instance here, not per class
            name=name,
            title=entry.title or name,
            kind="user",
            label=entry.label,
            low=low,
            high=high,
            size=0,
            homepage="",
            licence="",
            citation="",
            folders=(name,),
            spread_kind="std" if entry.spread else "",
            references=entry.reference is not None,
        )

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """The table, its columns under the project's names."""
        if self.entry.table is None:
            return self._listed(root)
        if isinstance(self.entry.table, str):
            return self._table(root, self.entry.table)
        import pandas as pd

        tables = [
            self._table(root, file).assign(official=part) for part, file in self.entry.table.items()
        ]
        return pd.concat(tables, ignore_index=True)

    def _table(self, root: Path, name: str) -> pd.DataFrame:
        file = find_file(root, name)
        named = {"image": self.entry.image}
        if self.info.labelled:
            named["score"] = self.entry.score
        for key in _OPTIONAL:
            column = getattr(self.entry, key)
            if column is not None:
                named[key] = column
        if self.entry.split is not None:
            named["official"] = self.entry.split
        return columns(read_table(file, self.entry.separator), named)

    def _listed(self, root: Path) -> pd.DataFrame:
        """Every image file in the folder, by name."""
        import pandas as pd

        return pd.DataFrame({"image": image_files(self.images(root)).names})

    def images(self, root: Path) -> Path:
        """The folder named in the entry."""
        return root / self.entry.images

    def find(self, data_root: Path) -> Path | None:
        """The folder named in the entry, wherever the data roots are."""
        return self.entry.root if self.entry.root.is_dir() else None
