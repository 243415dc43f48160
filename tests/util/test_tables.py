"""One reader for all tables: what programs write differently is read alike, the rest is named."""

from __future__ import annotations

import csv
import io
import json
import math
import unicodedata
from pathlib import Path

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.util.errors import DataError
from bench.util.tables import Table, read_sheet, read_table, separator

NAMES = ("a.png", "sub/b.png", "Zürich_é.png")


def written(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(folder: Path, content: str | bytes, name: str = "t.csv") -> Table:
    return read_table(written(folder, content, name))


def pairs(table: Table) -> list[tuple[str, float]]:
    return list(zip(table.paths("image"), table.numbers("score").tolist(), strict=True))


SAME = {
    "plain": "image,score\na.png,1.5\nsub/b.png,2\n",
    "mark": b"\xef\xbb\xbfimage,score\na.png,1.5\nsub/b.png,2\n",
    "semicolons and decimal commas": "image;score\na.png;1,5\nsub/b.png;2\n",
    "tabs": "image\tscore\na.png\t1.5\nsub/b.png\t2\n",
    "bars": "image|score\na.png|1.5\nsub/b.png|2\n",
    "quoted decimal commas": 'image,score\na.png,"1,5"\nsub/b.png,2\n',
    "padding": " image , score \n a.png , 1.5\nsub/b.png ,2 \n",
    "blanks that look like none": "image,score\n\u00a0a.png\u200b,1.5\nsub/b.png,2\n",
    "case": "IMAGE,Score\na.png,1.5\nsub/b.png,2\n",
    "blank rows": "\n  \nimage,score\n , \na.png,1.5\n,,\nsub/b.png,2\n\n",
    "commas at the end": "image,score,\na.png,1.5,\nsub/b.png,2\n",
    "Excel's hint": "sep=;\nimage;score\na.png;1,5\nsub/b.png;2\n",
    "Windows lines": "image,score\r\na.png,1.5\r\nsub/b.png,2\r\n",
    "old Macintosh lines": "image,score\ra.png,1.5\rsub/b.png,2\r",
    "backslashes": "image,score\na.png,1.5\nsub\\b.png,2\n",
    "another order": "score,note,image\n1.5,x,a.png\n2,y,sub/b.png\n",
}


@pytest.mark.parametrize("content", SAME.values(), ids=SAME)
def test_all_of_these_are_the_same_table(tmp_path: Path, content: str | bytes) -> None:
    assert pairs(read(tmp_path, content)) == [("a.png", 1.5), ("sub/b.png", 2)]


def test_a_workbook_is_the_same_table(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    for row in ([], [" Image ", "score", None], [" a.png ", "1,5"], [" ", None], ["sub/b.png", 2]):
        page.append(row)
    book.save(tmp_path / "t.xlsx")
    table = read_table(tmp_path / "t.xlsx")
    assert pairs(table) == [("a.png", 1.5), ("sub/b.png", 2)]
    assert table.where(0).endswith("t.xlsx:3")


@pytest.mark.parametrize("lines", [False, True])
def test_json_is_the_same_table(tmp_path: Path, lines: bool) -> None:
    items = [{"image": "a.png", "score": 1.5}, {"image": "sub/b.png", "score": 2, "more": [1]}]
    text = "\n\n".join(map(json.dumps, items)) if lines else json.dumps(items)
    table = read(tmp_path, text, "t.jsonl" if lines else "t.json")
    assert pairs(table) == [("a.png", 1.5), ("sub/b.png", 2)]
    assert table.cells("more") == ["", [1]]
    assert table.where(1).endswith("t.jsonl:3" if lines else "t.json, entry 2")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_letters_are_composed(tmp_path: Path, form: str) -> None:
    name = unicodedata.normalize(form, NAMES[2])
    assert read(tmp_path, f"image,score\n{name},1\n").paths("image") == [NAMES[2]]


def test_names_and_empty_cells(tmp_path: Path) -> None:
    table = read(tmp_path, "image,score\n00012,NA\n00013,\n1600,n/a\n")
    assert table.texts("image") == ["00012", "00013", "1600"]
    assert all(map(math.isnan, table.numbers("score")))
    with pytest.raises(DataError, match=r"t\.csv:2: score 'NA' is not a number"):
        table.numbers("score", finite=True)


def test_numbers_of_a_workbook_are_names_without_point(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    page.append([1600.0, 2])
    book.save(tmp_path / "t.xlsx")
    assert read_sheet(tmp_path / "t.xlsx", header_row=None).texts("0") == ["1600"]


def test_a_line_break_in_quotes_counts_as_a_line(tmp_path: Path) -> None:
    table = read(tmp_path, 'image,note,score\na.png,"two\nlines",1\nb.png,x,bad\n')
    with pytest.raises(DataError, match=r"t\.csv:4: score 'bad'"):
        table.numbers("score")


def test_comments_before_the_header(tmp_path: Path) -> None:
    path = written(tmp_path, "# made by\n#\nimage,part\n#1.png,train\n")
    assert read_table(path, comments=True).texts("image") == ["#1.png"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "image,image,score\na,b,1\n", r"2 columns are called 'image' \('image' and"),
        ("t.csv", "image,Image,score\na,b,1\n", r"'image' and 'Image'\); rename or remove"),
        ("t.json", '[{"image": "a", "IMAGE": "b", "score": 1}]', "2 columns are called 'image'"),
        ("t.csv", ",score\na.png,1\n", "no column 'image'"),
        ("t.csv", "image,score\n,0.5\n", r"t\.csv:2: no image in this row"),
        ("t.csv", "image,score\n0.5\n", r"t\.csv:2: 1 columns, the first row has 2"),
        ("t.csv", "image,score\na.png,1_000\n", "'1_000' is not a number"),
        ("t.csv", "image,score\na.png,1e999\n", "'1e999' is not a number"),
        ("t.csv", "image,score\na.png,1.234,5\n", "3 columns"),
        ("t.csv", "image;score\na.png;1.234,5\n", "'1.234,5' is not a number"),
        ("t.csv", "  \n\n", "the file is empty"),
        ("t.csv", ",,\n", "the file is empty"),
        ("t.json", "[]", "the file is empty"),
        ("t.json", "[1]", "entry 1 is not a JSON object"),
        ("t.jsonl", '{"image": "a"}\n3', "line 2 is not a JSON object"),
        ("t.json", "{", "not a list of JSON objects"),
        ("t.json", "[" * 100_000, "not a list of JSON objects"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        pairs(read(tmp_path, content, name))


def test_a_column_that_nobody_asks_for_may_be_there_twice(tmp_path: Path) -> None:
    assert pairs(read(tmp_path, "image,note,note,score\na.png,x,y,1\n")) == [("a.png", 1.0)]


@pytest.mark.parametrize("text", ["", "xy", "a", "7", '"', "\n"])
def test_what_cannot_separate(text: str) -> None:
    with pytest.raises(ValueError, match="one character, or one of comma, semicolon, tab"):
        separator(text)


CELLS = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufeff\u200b"),
    max_size=12,
).map(lambda text: unicodedata.normalize("NFC", text.strip()))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(CELLS.filter(bool), st.floats(-1e6, 1e6).map(lambda value: round(value, 6))),
        min_size=1,
        max_size=6,
    ),
    mark=st.sampled_from([",", ";", "\t", "|"]),
)
def test_what_is_written_is_read(tmp_path: Path, rows: list[tuple[str, float]], mark: str) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=mark)
    writer.writerow(["image", "score"])
    writer.writerows([name, f"{value:.6f}"] for name, value in rows)
    table = read(tmp_path, out.getvalue())
    assert table.texts("image") == [name.strip(" \u00a0\u2007\u202f") for name, _ in rows]
    assert table.numbers("score").tolist() == [value for _, value in rows]
