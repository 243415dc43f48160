"""Annotation files, read safely: each failure names the file and what was expected in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data.datasets._places import within
from bench.util.errors import DataError
from bench.util.listing import hidden
from bench.util.tables import Table, read_sheet, read_table

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

__all__ = [
    "Table",
    "columns",
    "find_file",
    "first_two",
    "named_parts",
    "read_mat",
    "read_sheet",
    "read_table",
    "same_length",
]

NUMBERS = ("score", "spread", "raters", "level")
_READERS: dict[str, Callable[[Table, str], Sequence[Any]]] = {
    "image": Table.paths,
    "reference": Table.texts,
    "group": Table.texts,
    "official": Table.texts,
}


def find_file(root: Path, *names: str) -> Path:
    """The first of several paths under `root` that exists, whatever their case.

    Raises `DataError` with all the names that were tried, and what is in the folder instead.
    """
    for name in names:
        found = within(root, name)
        if found is not None:
            return found
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    inside = sorted(path.name for path in root.iterdir() if not hidden(path.name))
    there = ", ".join(inside[:6]) + (", ..." if len(inside) > 6 else "") if inside else "nothing"
    raise DataError(f"{root}: none of {', '.join(names)} is there (the folder holds {there})")


def read_mat(file: Path, *keys: str) -> dict[str, npt.NDArray[Any]]:
    """Arrays of a MATLAB 5 to 7 file, each flattened; cell arrays of text come as strings."""
    import numpy as np
    from scipy.io import loadmat

    try:
        content = loadmat(file)
    except NotImplementedError:
        raise DataError(f"{file}: MATLAB 7.3 files cannot be read; save it with -v7") from None
    except Exception as error:  # scipy raises whatever the damaged bytes lead it to
        raise DataError(f"{file}: not a readable MATLAB file: {error}") from None
    for key in keys:
        if key not in content:
            has = ", ".join(sorted(name for name in content if not name.startswith("__")))
            raise DataError(f"{file}: no variable '{key}' (it has {has or 'none'})")
    return {key: np.array([_text(cell) for cell in content[key].ravel()]) for key in keys}


def columns(table: Table, named: Mapping[str, str]) -> pd.DataFrame:
    """The columns of `table` that `named` (ours -> theirs) lists, under our names.

    Scores, spreads, raters and levels become floats; images, references and groups text; the others
    stay what they are. Raises `DataError` for a column that is not there (with those that are) or
    is there twice, for text where a number should be, and for a row without its image.
    """
    import pandas as pd

    found: dict[str, Any] = {}
    for ours, theirs in named.items():
        if ours in NUMBERS:
            found[ours] = table.numbers(theirs)
        else:
            found[ours] = _READERS.get(ours, Table.cells)(table, theirs)
    kinds = {ours: object for ours in named if ours not in NUMBERS}
    return pd.DataFrame(found, columns=list(named)).astype(kinds)


def _text(cell: Any) -> Any:
    """The string in a MATLAB cell, or the number itself."""
    while (hasattr(cell, "dtype") and cell.dtype == object) or getattr(cell, "ndim", 0) > 0:
        cell = cell.ravel()[0] if cell.size else ""
    return cell


def same_length(root: Path, **parts: Sized) -> None:
    """Raises `DataError` unless all parts of the annotations have one length."""
    lengths = {name: len(part) for name, part in parts.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{count} {name}" for name, count in lengths.items())
        raise DataError(f"{root}: the annotation files do not belong together: {counts}")


def first_two(table: Table) -> pd.DataFrame:
    """The first two columns as image and score, for tables whose header is not known for sure."""
    if len(table.names) < 2:
        raise DataError(f"{table.file}: one column; expected file name and MOS")
    return columns(table.by_position(), {"image": "0", "score": "1"})


def named_parts(file: Path, name: str, pattern: str) -> tuple[str, ...]:
    """The groups of `pattern` in a sample's name, without regard to case.

    Raises `DataError` for a name of another kind: the file then belongs to another database.
    """
    found = re.fullmatch(pattern, str(name), re.IGNORECASE)
    if found is None:
        raise DataError(f"{file}: '{name}' is not a name of this database ({pattern})")
    return found.groups()
