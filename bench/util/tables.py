"""Tables written by people and programs: the only reader of them in the project.

CSV and its kin (UTF-8, with or without a mark; separated by comma, semicolon, tab or bar), Excel
workbooks, and lists of JSON objects (one array, or one object a line). Differences
between programs and languages are removed: padding, blank rows, case of headers, decimal commas,
the Unicode form of letters, Excel's `sep=;` line. Cells stay text until a column is read as
numbers, so that a name such as 00012 keeps its zeros.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.util.errors import DataError, nearest
from bench.util.listing import fold

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "bar": "|", "space": " "}
JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
_GUESSED = (",", "\t", ";", "|")
_PADDING = " \t\r\n\v\f\u00a0\u2007\u202f\ufeff\u200b"
"""Blanks and invisible characters, which Excel and web pages leave in cells."""
_EXCEL_HINT = re.compile(r'"?sep=(.)"?')
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.IGNORECASE)
_PERHAPS_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")

_EMPTY = frozenset({"", "nan", "na", "n/a", "#n/a", "null", "none"})
"""Texts that R, Excel and other programs write for an empty cell."""


def separator(text: str) -> str:
    """The character of a user's separator. Raises `ValueError` if it cannot separate columns.

    >>> separator("tab") == separator("\\\\t") == separator("\\t"), separator("semicolon")
    (True, ';')
    """
    found = _SEPARATORS.get(text.strip().lower(), text)
    if len(found) != 1 or found.isalnum() or found in '"\r\n':
        raise ValueError(f"one character, or one of {', '.join(_SEPARATORS)}")
    return found


@dataclass(frozen=True)
class Table:
    """Rows of cells under names, whose case does not matter."""

    file: Path
    """The file it was read from."""
    names: tuple[str, ...]
    """Headers as in the file; '0', '1', ... if it has none."""
    rows: tuple[tuple[Any, ...], ...]
    """Cells, text without padding and in Unicode's composed form."""
    lines: tuple[int, ...]
    """First line of each row: line of the text, row of the sheet, from 1."""
    separator: str = ""
    """The separator of the columns; "" if there is none (workbooks, JSON)."""
    counted: str = "line"
    """The unit of `lines`: lines, or the entries of a JSON list."""

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, row: int) -> str:
        """FILE:LINE of a row."""
        mark = ":" if self.counted == "line" else f", {self.counted} "
        return f"{self.file}{mark}{self.lines[row]}"

    def __contains__(self, name: str) -> bool:
        return any(_header(name) == _header(other) for other in self.names)

    def cells(self, name: str) -> list[Any]:
        """A column as it is. Raises `DataError` if it is missing, or there twice."""
        place = self._place(name)
        return [row[place] for row in self.rows]

    def texts(self, name: str) -> list[str]:
        """A column as text; a number that a spreadsheet made of 12 is '12'."""
        return [_as_text(cell) for cell in self.cells(name)]

    def paths(self, name: str) -> list[str]:
        """A column of file names or paths, with forward slashes. Raises `DataError` for none."""
        found = [text.replace("\\", "/") for text in self.texts(name)]
        if "" in found:
            raise DataError(f"{self.where(found.index(''))}: no {name} in this row")
        return found

    def numbers(self, name: str, finite: bool = False) -> npt.NDArray[np.float64]:
        """(n,) a column as numbers, NaN for empty cells.

        Raises `DataError` that names the line of other text, with `finite` also of NaN, infinities
        and empty cells.
        """
        import numpy as np

        cells = self.cells(name)
        comma = self._decimal_comma(name, cells)
        found = [_as_number(cell, comma) for cell in cells]
        for row, value in enumerate(found):
            if value is None or (finite and math.isnan(value)):
                shown = _as_text(cells[row])
                raise DataError(f"{self.where(row)}: {name} '{shown}' is not a number")
        return np.array(found, dtype=np.float64)

    def by_position(self) -> Table:
        """The same with the names '0', '1', ..., for files whose headers are not certain."""
        return replace(self, names=tuple(map(str, range(len(self.names)))))

    def _place(self, name: str) -> int:
        wanted = _header(name)
        found = [at for at, other in enumerate(self.names) if _header(other) == wanted]
        if len(found) > 1:
            shown = " and ".join(f"'{self.names[at]}'" for at in found)
            raise DataError(
                f"{self.file}: {len(found)} columns are called '{name}' ({shown}); "
                "rename or remove all but one"
            )
        if not found:
            raise DataError(f"{self.file}: {_no_column(name, self.names)}")
        return found[0]

    def _decimal_comma(self, name: str, cells: Sequence[Any]) -> bool:
        """Whether 3,5 means 3.5 in a column. Raises `DataError` if it could also mean 35."""
        texts = [cell for cell in cells if isinstance(cell, str)]
        commas = [text for text in texts if _DECIMAL_COMMA.fullmatch(text)]
        if not commas:
            return False
        if any("." in text for text in texts):
            raise DataError(
                f"{self.file}: {name} has numbers with a comma ('{commas[0]}') and numbers with a "
                "point; write them alike"
            )
        # Where columns are not separated by commas, whoever wrote 1,234 has a comma for decimals.
        if self.separator in (",", "") and all(_PERHAPS_THOUSANDS.fullmatch(c) for c in commas):
            raise DataError(
                f"{self.file}: {name} '{commas[0]}' may be {commas[0].replace(',', '.')} or "
                f"{commas[0].replace(',', '')}; write it without a comma"
            )
        return True


def read_table(
    file: Path, separator: str | None = None, header: bool = True, comments: bool = False
) -> Table:
    """The table in a file: text, the first sheet of a workbook, or JSON, by its suffix.

    Without `separator` it is the one that the first line uses; " " stands for any run of blanks.
    With `comments`, lines before the header that begin with '#' are skipped. Raises `DataError`
    for a file that cannot be read, that is no table, or whose rows differ in length.
    """
    suffix = file.suffix.lower()
    if suffix in (".xlsx", ".xls"):
        return read_sheet(file, header_row=1 if header else None)
    if suffix in JSON_SUFFIXES:
        return _json(file)
    text = read_text(file)
    if not text.strip():
        raise DataError(f"{file}: the file is empty")
    skipped, hint, body = _body(text, comments)
    used = separator or hint or _separator(body)
    if used == " ":
        parts = [line.split() for line in body.split("\n")]
        return _table(file, parts, [skipped + n for n in range(1, len(parts) + 1)], header, used)
    rows, lines, begins = list[list[str]](), list[int](), 1
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=used)
    try:
        for row in reader:
            rows.append([_clean(cell) for cell in row])
            lines.append(skipped + begins)
            begins = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{file}: not a table of text: {error}") from None
    return _table(file, rows, lines, header, used)


def read_sheet(file: Path, sheet: str | None = None, header_row: int | None = 1) -> Table:
    """One sheet of an .xlsx or .xls workbook, the first by default; numbers stay numbers.

    `header_row` counts from 1; None for a sheet without a header.
    """
    found = _xls(file, sheet) if file.suffix.lower() == ".xls" else _xlsx(file, sheet)
    if header_row is not None and len(found) < header_row:
        raise DataError(f"{file}: the sheet has no row {header_row}")
    start = (header_row or 1) - 1
    rows = [[_clean(cell) for cell in row] for row in found[start:]]
    lines = list(range(start + 1, start + 1 + len(rows)))
    return _table(file, rows, lines, header_row is not None, "")


def read_text(file: Path) -> str:
    """The text of a UTF-8 file, with or without mark. Raises `DataError` for another encoding."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}: not UTF-8 text (byte {error.start}); save it as UTF-8 and try again"
        ) from None
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from None


def _table(
    file: Path, rows: list[list[Any]], lines: list[int], header: bool, separator: str
) -> Table:
    """The table without blank rows. Lines may have extra empty cells, rows of a sheet fewer."""
    kept = [(row, line) for row, line in zip(rows, lines, strict=True) if _filled(row)]
    if not kept:
        raise DataError(f"{file}: the file is empty")
    first = kept[0][0]
    if separator:
        width = _filled(first) if header else len(first)
        for row, line in kept:
            if _filled(row) > width or len(row) < width:
                wrong = _filled(row) if len(row) > width else len(row)
                raise DataError(f"{file}:{line}: {wrong} columns, the first row has {width}")
    else:
        width = max(_filled(row) for row, _ in kept)
    even = [(*row[:width], *[""] * (width - len(row))) for row, _ in kept]
    numbered = tuple(line for _, line in kept)
    if not header:
        return Table(file, tuple(map(str, range(width))), tuple(even), numbered, separator)
    names = tuple(_as_text(cell) for cell in even[0])
    return Table(file, names, tuple(even[1:]), numbered[1:], separator)


def _filled(row: list[Any]) -> int:
    """Cells of a row without the empty ones at its end."""
    end = len(row)
    while end and row[end - 1] in ("", None):
        end -= 1
    return end


def _json(file: Path) -> Table:
    """A list of objects, or an object a line; keys are headers, nested values stay as they are."""
    text = read_text(file)
    try:
        if text.lstrip().startswith("["):
            found, lines, counted = json.loads(text), None, "entry"
        else:
            kept = [(n, line) for n, line in enumerate(text.split("\n"), start=1) if line.strip()]
            found, lines = [json.loads(line) for _, line in kept], [number for number, _ in kept]
            counted = "line"
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{file}: not a list of JSON objects: {error}") from None
    if not found:
        raise DataError(f"{file}: the file is empty")
    wrong = next((n for n, item in enumerate(found, start=1) if not isinstance(item, dict)), None)
    if wrong is not None:
        raise DataError(f"{file}: {counted} {wrong} is not a JSON object ('image': ..., ...)")
    names = tuple(dict.fromkeys(key for item in found for key in item))
    rows = tuple(tuple(_clean(item.get(name, "")) for name in names) for item in found)
    return Table(file, names, rows, tuple(lines or range(1, len(rows) + 1)), counted=counted)


def _body(text: str, comments: bool) -> tuple[int, str, str]:
    """Number of lines before the header, the separator that they name, and the text from there."""
    lines = text.split("\n")
    count, hint = 0, ""
    while count < len(lines):
        line = lines[count].strip()
        named = _EXCEL_HINT.fullmatch(line)
        if not (not line or named or (comments and line.startswith("#"))):
            break
        hint = named[1] if named else hint
        count += 1
    return count, hint, "\n".join(lines[count:])


def _separator(text: str) -> str:
    """The most frequent separator of the first line, outside quotes."""
    first = re.sub(r'"[^"]*"', "", text.partition("\n")[0])
    best = max(_GUESSED, key=first.count)
    return best if best in first else ","


def _header(name: str) -> str:
    """A header as it counts: without case, runs of blanks as one."""
    return " ".join(fold(name).split())


def _clean(cell: Any) -> Any:
    if not isinstance(cell, str):
        return "" if cell is None else cell
    cell = cell.strip(_PADDING)
    return cell if cell.isascii() else unicodedata.normalize("NFC", cell)


def _as_text(cell: Any) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return "" if cell is None else str(cell)


def _is_empty(cell: Any) -> bool:
    if isinstance(cell, str):
        return cell.lower() in _EMPTY
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def _as_number(cell: Any, comma: bool) -> float | None:
    """The number in a cell, NaN if it is empty, None if it is something else."""
    if _is_empty(cell):
        return math.nan
    text = str(cell).replace("\N{MINUS SIGN}", "-")
    if comma and _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    try:
        # Python alone reads 1_000 as a number.
        value = math.nan if "_" in text else float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _no_column(wanted: str, names: Sequence[str]) -> str:
    if len(names) == 1:
        return (
            f"no column '{wanted}': its first line, '{names[0][:60]}', is one single column; "
            "is the file separated by something else?"
        )
    near = nearest(wanted, names)
    hint = f" (did it become '{near}'?)" if near else ""
    return f"no column '{wanted}'{hint}; it has {', '.join(names[:12])}"


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
