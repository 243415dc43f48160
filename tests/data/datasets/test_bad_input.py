"""Annotation files that are not what they should be: each gets an error that names the cause."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.data import datasets
from bench.data.datasets._files import read_mat
from bench.data.datasets.base import DatasetInfo, complete
from bench.util.errors import BenchError, DataError, UsageError
from bench.util.tables import read_sheet
from tests.data.datasets import layouts

GOOD = "image,score\na.png,1\nb.png,2\n"


def own(root: Path, content: str | bytes = GOOD, *settings: str) -> Path:
    """A database of the user's own called `mine`, its table as given; returns the data root."""
    (root / "mine").mkdir(exist_ok=True)
    data = content if isinstance(content, bytes) else content.encode()
    (root / "mine" / "scores.csv").write_bytes(data)
    lines = ["databases:", "  mine:", "    root: mine", "    table: scores.csv"]
    lines += [f"    {line}" for line in settings or ("range: [0, 10]",)]
    (root / "iqa-data.yaml").write_text("\n".join(lines) + "\n")
    return root


def test_a_good_table_is_read(tmp_path):
    data = datasets.load("mine", own(tmp_path))
    assert data.table["image"].tolist() == ["a.png", "b.png"]
    assert data.quality.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image,mos\na.png,1\n", r"scores\.csv: no column 'score'; it has image, mos"),
        ("image,scores\na.png,1\n", r"no column 'score' \(did it become 'scores'\?\)"),
        ("image score\na.png 1\n", "one single column; is the file separated by something else"),
        ("image,score\na.png,1,5\n", r"scores\.csv:2: 3 columns, the first row has 2"),
        ("", "the file is empty"),
        ("image,score\n", "no samples"),
        ("image,score\na.png,good\n", r"scores\.csv:2: score 'good' is not a number"),
        ("image,score\na.png,1\nb.png\n", r"scores\.csv:3: 1 columns, the first row has 2"),
        ('image,score\na.png,"1,234"\n', "may be 1.234 or 1234; write it without a comma"),
        (
            "image;score\na.png;3,5\nb.png;2.5\n",
            "a comma \\('3,5'\\) and numbers with a point",
        ),
        ("image,image,score\na.png,b.png,1\n", "2 columns are called 'image'"),
        ("image,Image,score\na.png,b.png,1\n", "called 'image' \\('image' and 'Image'\\)"),
        ("image,score\na.png,1\nb.png,\n", "1 scores are not numbers, first for 'b.png'"),
        ("image,score\na.png,nan\nb.png,2\n", "1 scores are not numbers, first for 'a.png'"),
        ("image,score\na.png,inf\n", r"scores\.csv:2: score 'inf' is not a number"),
        ("image,score\na.png,1\nb.png,30\n", "1 scores outside 0 to 10, first 30 for 'b.png'"),
        ("image,score\na.png,1\na.png,2\n", r"listed twice: a\.png, a\.png"),
        ("image,score\nA.png,1\na.PNG,2\n", r"listed twice: A\.png, a\.PNG"),
        ("image,score\n../a.png,1\n", r"'\.\./a\.png' leaves the database's folder"),
        ("image,score\nx/../../a.png,1\n", "leaves the database's folder"),
        ("image,score\n..\\a.png,1\n", "leaves the database's folder"),
        ("image,score\n/etc/a.png,1\n", "leaves the database's folder"),
        ("image,score\nC:\\a.png,1\n", "leaves the database's folder"),
        ("image,score\nbläuling.png,1\n".encode("latin-1"), r"not UTF-8 text \(byte 14\)"),
        (GOOD.encode("utf-16"), "not UTF-8 text"),
        (f'image,score\n"{"x" * 200_000}",1\n', "not a table of text: field larger"),
    ],
)
def test_bad_tables(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        datasets.load("mine", own(tmp_path, content))


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_the_separator_is_found_out(tmp_path, mark):
    root = own(tmp_path, GOOD.replace(",", mark))
    assert len(datasets.load("mine", root)) == 2


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    assert len(datasets.load("mine", own(tmp_path, GOOD.encode("utf-8-sig")))) == 2


def test_a_line_break_in_quotes_is_part_of_the_cell(tmp_path):
    content = 'image,note,score\na.png,"two\nlines, one cell",1\n'
    assert datasets.load("mine", own(tmp_path, content)).table["score"].tolist() == [1]


def test_names_keep_their_zeros(tmp_path):
    root = own(tmp_path, "image,score\n00012,1\n")
    assert datasets.load("mine", root).table["image"].tolist() == ["00012"]


def test_a_missing_table_is_named(tmp_path):
    own(tmp_path)
    (tmp_path / "mine" / "scores.csv").rename(tmp_path / "mine" / "scors.csv")
    with pytest.raises(DataError, match=r"none of scores\.csv is there .*holds scors\.csv"):
        datasets.load("mine", tmp_path)


# -- the authors' formats -------------------------------------------------------------------------


def test_a_truncated_mat_file(tmp_path):
    layouts.livec(tmp_path / "livec")
    file = tmp_path / "livec" / "Data" / "AllMOS_release.mat"
    file.write_bytes(file.read_bytes()[:150])
    with pytest.raises(DataError, match=r"AllMOS_release\.mat: not a readable MATLAB file"):
        datasets.load("livec", tmp_path)


def test_a_mat_file_without_the_variable(tmp_path):
    layouts.mat(tmp_path / "a.mat", other=np.zeros(3))
    with pytest.raises(DataError, match=r"no variable 'dmos' \(it has other\)"):
        read_mat(tmp_path / "a.mat", "dmos")


def test_mat_files_of_different_length(tmp_path):
    layouts.livec(tmp_path / "livec")
    file = tmp_path / "livec" / "Data" / "AllMOS_release.mat"
    layouts.mat(file, AllMOS_release=np.ones((1, 9)))
    with pytest.raises(DataError, match="do not belong together: 10 image, 9 score"):
        datasets.load("livec", tmp_path)


def test_a_workbook_that_is_none(tmp_path):
    for name in ("a.xlsx", "a.xls"):
        (tmp_path / name).write_text("not a workbook")
        with pytest.raises(DataError, match=f"not a readable {name[1:]} workbook"):
            read_sheet(tmp_path / name)


def test_a_workbook_without_the_sheet(tmp_path):
    layouts.sheet(tmp_path / "csiq" / "csiq.DMOS.xlsx", [["image", "dmos"]], "Sheet1")
    with pytest.raises(DataError, match="no sheet 'all_by_image'; it has Sheet1"):
        datasets.load("csiq", tmp_path)


def test_a_workbook_without_the_column(tmp_path):
    layouts.sheet(
        tmp_path / "spaq" / "Annotations" / "MOS and Image attribute scores.xlsx", [["a"]]
    )
    with pytest.raises(DataError, match="no column 'Image name'"):
        datasets.load("spaq", tmp_path)


def test_koniq_tables_of_different_images(tmp_path):
    layouts.koniq10k(tmp_path / "koniq10k")
    file = tmp_path / "koniq10k" / "koniq10k_distributions_sets.csv"
    file.write_text(file.read_text().replace("10004473376", "99"))
    with pytest.raises(DataError, match="list different images"):
        datasets.load("koniq10k", tmp_path)


def test_a_label_file_of_another_database(tmp_path):
    layouts.text(tmp_path / "tid2013" / "mos_with_names.txt", "5.1 I01_01_01.png")
    with pytest.raises(DataError, match=r"'I01_01_01\.png' is not a name of this database"):
        datasets.load("tid2013", tmp_path)


def test_scores_on_the_wrong_scale_are_noticed(tmp_path):
    layouts.kadid10k(tmp_path / "kadid10k")
    file = tmp_path / "kadid10k" / "dmos.csv"
    file.write_text(file.read_text().replace("4.3", "86"))
    with pytest.raises(DataError, match="2 scores outside 1 to 5, first 86"):
        datasets.load("kadid10k", tmp_path)


def test_unlabelled_sets_need_no_scores():
    info = DatasetInfo("x", "x", "unlabelled", "none", 0, 1, 1, "", "", "", ("x",))
    assert complete(pd.DataFrame({"image": ["a.png"]}), info)["score"].isna().all()


# -- the configuration ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["range: [5, 1]"], r"5: 'databases\.mine\.range': .*first number must be below"),
        (["range: [1, 5]", "colour: red"], r"6: unknown key 'databases\.mine\.colour'"),
        (["score: mos"], r"2: 'databases\.mine': needs 'range', or 'label: none'"),
        (
            ["range: [1, 5]", "separator: xy"],
            r"6: 'databases\.mine\.separator': .*one chara",
        ),
        (["range: [1, 5]", "label: higher"], r"6: 'databases\.mine\.label': expected 'mos'"),
    ],
)
def test_bad_configuration(tmp_path, settings, message):
    with pytest.raises(UsageError, match=rf"iqa-data\.yaml:{message}"):
        datasets.load("mine", own(tmp_path, GOOD, *settings))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("databases: {livec: {root: x, table: y, range: [0, 1]}}", "cannot be called 'livec'"),
        ("folders: {livecc: /x}", "folders: unknown dataset 'livecc'. Did you mean 'livec'"),
        ("- a\n- b\n", "expected 'key: value' lines"),
        ("databases:\n  mine: {range: [1, 5\n", r"iqa-data\.yaml:3: not valid YAML"),
        ("folders: !!python/object/apply:os.getcwd []", "not valid YAML: could not determine"),
        ("folders: {a: &x {root: y}, b: *x}", "aliases"),
    ],
)
def test_bad_configuration_files(tmp_path, text, message):
    (tmp_path / "iqa-data.yaml").write_text(text)
    with pytest.raises(BenchError, match=message):
        datasets.names(tmp_path)
