"""Annotation files, read safely: each failure names the file and what was expected in it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data.datasets._places import within
from bench.util.errors import DataError, nearest

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

_SEPARATORS = (",", "\t", ";", "|")


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
    inside = sorted(path.name for path in root.iterdir())
    there = ", ".join(inside[:6]) + (", ..." if len(inside) > 6 else "") if inside else "nothing"
    raise DataError(f"{root}: none of {', '.join(names)} is there (the folder holds {there})")


def read_table(file: Path, separator: str | None = None, header: bool = True) -> pd.DataFrame:
    """A CSV, TSV or text table (UTF-8 with or without mark) or the first sheet of a workbook.

    Every cell of a text file is left as a string, so that a name such as 00012 keeps its zeros;
    `columns` makes numbers. Without `separator` it is the one that the first line uses.
    """
    if file.suffix.lower() in (".xlsx", ".xls"):
        return read_sheet(file)
    import pandas as pd

    text = read_text(file)
    if not text.strip():
        raise DataError(f"{file}: the file is empty")
    used = separator or _separator(text)
    try:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=used)
        rows = [row for row in lines if any(row)]
    except csv.Error as error:
        raise DataError(f"{file}: not a table of text: {error}") from None
    rows = [[cell.strip() for cell in row] for row in rows]
    width = len(rows[0])
    for number, row in enumerate(rows, start=1):
        if len(row) != width:
            raise DataError(f"{file}: row {number} has {len(row)} columns, the first has {width}")
    names = rows[0] if header else list(range(width))
    return pd.DataFrame(rows[1:] if header else rows, columns=names, dtype=object)


def read_text(file: Path) -> str:
    """The text of a UTF-8 file. Raises `DataError` for another encoding."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}: not UTF-8 text (byte {error.start}); save it as UTF-8 and try again"
        ) from None
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from None


def read_sheet(file: Path, sheet: str | None = None, header_row: int | None = 1) -> pd.DataFrame:
    """One sheet of an .xlsx or .xls workbook, the first by default; cells as they are typed.

    `header_row` counts from 1; None for a sheet without a header (columns are then 0, 1, ...).
    """
    import pandas as pd

    rows = _xls(file, sheet) if file.suffix.lower() == ".xls" else _xlsx(file, sheet)
    if header_row is None:
        return pd.DataFrame(rows, dtype=object)
    if len(rows) < header_row:
        raise DataError(f"{file}: the sheet has no row {header_row}")
    names = ["" if cell is None else str(cell).strip() for cell in rows[header_row - 1]]
    body = [row for row in rows[header_row:] if any(cell not in (None, "") for cell in row)]
    return pd.DataFrame(body, columns=names, dtype=object)


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


def columns(table: pd.DataFrame, file: Path, named: Mapping[str, str]) -> pd.DataFrame:
    """The columns of `table` that `named` (ours -> theirs) lists, under our names.

    Scores, spreads, raters and levels become floats. Raises `DataError` for a column that is not
    there (with those that are) and for text where a number should be.
    """
    import pandas as pd

    lowered = {str(column).strip().lower(): column for column in table.columns}
    out = pd.DataFrame(index=table.index)
    for ours, theirs in named.items():
        if theirs.lower() not in lowered:
            raise DataError(f"{file}: {_no_column(theirs, [str(c) for c in table.columns])}")
        values = table[lowered[theirs.lower()]]
        numeric = ours in ("score", "spread", "raters", "level")
        out[ours] = numbers(list(values), file, theirs) if numeric else values
    return out.reset_index(drop=True)


def numbers(values: Sequence[Any], file: Path, what: str) -> npt.NDArray[np.float64]:
    """(n,) float64. Empty cells become NaN; other text is a `DataError` that names its row."""
    import numpy as np

    out = np.empty(len(values))
    for row, value in enumerate(values):
        try:
            out[row] = float(value) if value not in (None, "") else np.nan
        except (TypeError, ValueError):
            raise DataError(f"{file}: {what}: '{value}' in row {row + 1} is no number") from None
    return out


def _no_column(wanted: str, names: Sequence[str]) -> str:
    if len(names) == 1:
        return (
            f"no column '{wanted}': its first line, '{names[0][:60]}', is one single column; "
            "is the file separated by something else?"
        )
    near = nearest(wanted, names)
    hint = f" (did it become '{near}'?)" if near else ""
    return f"no column '{wanted}'{hint}; it has {', '.join(names[:12])}"


def _separator(text: str) -> str:
    first = text.lstrip().splitlines()[0]
    counts = {mark: first.count(mark) for mark in _SEPARATORS}
    best = max(counts, key=lambda mark: counts[mark])
    return best if counts[best] else ","


def _xlsx(file: Path, sheet: str | None) -> list[list[Any]]:
    import openpyxl

    try:
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
    except Exception as error:  # zip, XML and key errors of a damaged or foreign file
        raise DataError(f"{file}: not a readable .xlsx workbook: {error}") from None
    try:
        if sheet is not None and sheet not in book.sheetnames:
            raise DataError(f"{file}: no sheet '{sheet}'; it has {', '.join(book.sheetnames)}")
        page = book[sheet] if sheet is not None else book.worksheets[0]
        return [list(row) for row in page.iter_rows(values_only=True)]
    finally:
        book.close()


def _xls(file: Path, sheet: str | None) -> list[list[Any]]:
    import xlrd

    try:
        book = xlrd.open_workbook(file)
        page = book.sheet_by_name(sheet) if sheet is not None else book.sheet_by_index(0)
    except Exception as error:  # xlrd raises many kinds for a damaged or foreign file
        raise DataError(f"{file}: not a readable .xls workbook: {error}") from None
    return [page.row_values(row) for row in range(page.nrows)]


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


def subfolder(root: Path, *names: str) -> Path:
    """The first of several folders under `root` that exists; the first named where none does."""
    return next((found for name in names if (found := within(root, name))), root / names[0])


def first_two(table: pd.DataFrame, file: Path) -> pd.DataFrame:
    """The first two columns as image and score, for tables whose header is not known for sure."""
    if len(table.columns) < 2:
        raise DataError(f"{file}: one column; expected file name and MOS")
    out = table.iloc[:, :2].copy()
    out.columns = ["image", "score"]
    out["image"] = out["image"].astype(str)
    out["score"] = numbers(list(out["score"]), file, "MOS")
    return out


def named_parts(file: Path, name: str, pattern: str) -> tuple[str, ...]:
    """The groups of `pattern` in a sample's name, without regard to case.

    Raises `DataError` for a name of another kind: the file then belongs to another database.
    """
    found = re.fullmatch(pattern, str(name), re.IGNORECASE)
    if found is None:
        raise DataError(f"{file}: '{name}' is not a name of this database ({pattern})")
    return found.groups()
