"""Odd tables as a database, as prompts, as scores and as a split: one rule for all."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest

from bench.data import datasets
from bench.util.tables import read_table
from tests.conftest import Bench, Ended
from tests.data.datasets import layouts

COUNT = 12
ROWS = [("image", "score"), *((f"{n:03}.png", f"{n / 4:.2f}") for n in range(COUNT))]


def lines(mark: str = ",", comma: bool = False) -> str:
    rows = [[cell.replace(".", ",") if comma and cell[0].isdigit() and "png" not in cell else cell
             for cell in row] for row in ROWS]  # fmt: skip
    return "".join(mark.join(row) + "\n" for row in rows)


GOOD = {
    "mark": "\ufeff" + lines(),
    "semicolons": lines(";", comma=True),
    "tabs": lines("\t"),
    "padding": lines(" , "),
    "case": lines().replace("image,score", "Image,SCORE").replace(".png", ".PNG"),
    "blank rows": lines().replace("\n", "\n , \n\n"),
    "Excel's hint": "sep=;\n" + lines(";", comma=True),
}
BAD = {
    "doubled header": (
        lines().replace("image,score", "image,Image"),
        "2 columns are called 'image'",
    ),
    "doubled column": (
        "".join(f"{line.split(',')[0]},{line}\n" for line in lines().splitlines()),
        "2 columns are called 'image'",
    ),
    "no image": (lines() + ",1\n", ":14: no image in this row"),
    "half a row": (lines() + "1\n", ":14: 1 columns, the first row has 2"),
    "no number": (lines() + "999.png,good\n", ":14: score 'good' is not a number"),
}
USES = ("database", "prompt", "scores")


def sample(root: Path) -> None:
    layouts.pictures(root / "mine", [name for name, _ in ROWS[1:]])


def use(bench: Bench, kind: str, content: str) -> Ended:
    """The table in one of its uses, through the command line."""
    root = bench.folder / "root"
    sample(root)
    good = root / "mine" / "good.csv"
    good.write_text(lines())
    table = root / "mine" / "table.csv"
    table.write_text(content, encoding="utf-8")
    named = table if kind == "database" else good
    (root / "iqa-data.yaml").write_text(
        f"databases:\n  mine: {{root: mine, table: {named.name}, range: [0, 5]}}\n"
    )
    if kind == "database":
        return bench("data", "verify", "mine", "--data-root", root)
    if kind == "prompt":
        return bench("predict", root / "mine" / "000.png", "--method", "toy_prompted",
                     "--prompt", table, "--out", "out.csv", "--device", "cpu")  # fmt: skip
    # Here images are called by their paths.
    whole = re.sub(r"\d{3}\.(png|PNG)", lambda found: f"{root}/mine/{found[0]}", content)
    table.write_text(whole, encoding="utf-8")
    return bench("predict", root / "mine", "--method", "scores:x", "--set", f"file={table}",
                 "--out", "out.csv")  # fmt: skip


@pytest.mark.parametrize("kind", USES)
@pytest.mark.parametrize("content", GOOD.values(), ids=GOOD)
def test_tables_of_other_programs_are_read_everywhere(
    bench: Bench, kind: str, content: str
) -> None:
    ended = use(bench, kind, content)
    assert ended.returncode == 0, ended.text


@pytest.mark.parametrize("kind", USES)
@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_wrong_tables_are_named_everywhere(
    bench: Bench, kind: str, content: tuple[str, str]
) -> None:
    ended = use(bench, kind, content[0])
    assert ended.returncode == 3
    assert content[1] in ended.text
    assert "Traceback" not in ended.text


@pytest.mark.parametrize("word", ["comma", r"\t", '"\\t"', "tab", "semicolon"])
def test_separators_by_their_names(tmp_path: Path, word: str) -> None:
    sample(tmp_path)
    mark = {"comma": ",", "semicolon": ";"}.get(word, "\t")
    (tmp_path / "mine" / "t.csv").write_text(lines(mark))
    (tmp_path / "iqa-data.yaml").write_text(
        f"databases:\n  mine:\n    root: mine\n    table: t.csv\n    range: [0, 5]\n"
        f"    separator: {word}\n"
    )
    assert len(datasets.load("mine", tmp_path)) == COUNT


def test_a_workbook_with_padding_and_blank_rows(bench: Bench) -> None:
    sample(bench.folder)
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    for row in ROWS:
        page.append([f" {cell} " for cell in row])
        page.append([" ", None])
    book.save(bench.folder / "mine" / "t.xlsx")
    (bench.folder / "iqa-data.yaml").write_text(
        "databases:\n  mine: {root: mine, table: t.xlsx, range: [0, 5]}\n"
    )
    ended = bench("data", "verify", "mine", "--data-root", bench.folder)
    assert ended.returncode == 0, ended.text


def test_a_sidecar_among_scores_fails_no_run(bench: Bench) -> None:
    root = bench.folder / "root"
    sample(root)
    (root / "mine" / "good.csv").write_text(lines())
    (root / "iqa-data.yaml").write_text(
        "databases:\n  mine: {root: mine, table: good.csv, range: [0, 5]}\n"
    )
    folder = bench.folder / "scores" / "m"
    folder.mkdir(parents=True)
    (folder / "mine.CSV").write_text(lines())
    (folder / "._mine.csv").write_bytes(b"\x00\x05\x16\x07\xff")
    protocol = bench.protocol("datasets: [mine]\nratios: [0.5]\ntest_fraction: 0.4\nrepeats: 1\n")
    ended = bench.run(protocol, "--methods", "scores:m", "--data-root", root)
    assert ended.returncode == 0, ended.text


SPLITS: dict[str, Callable[[str], str]] = {
    "as written": lambda text: text,
    "semicolons": lambda text: text.replace(",", ";"),
    "mark and case": lambda text: "\ufeff" + text.replace("image,part", " Image , PART "),
    "other words": lambda text: text.replace(",train", ",Training"),
}


def run_split(bench: Bench, change: Callable[[str], str]) -> Ended:
    """A plan under an exported split file that somebody has changed."""
    assert bench("splits", "export", "toy", "--out", "more/file", "--repeats", 1).returncode == 0
    path = bench.folder / "more" / "file" / "toy-00.csv"
    assert len(read_table(path, comments=True)) == 60
    path.write_text(change(path.read_text()))
    protocol = bench.protocol("datasets: [toy]\nratios: [0.8]\nrepeats: 1\nsplit: file\n")
    roots = ("--data-root", bench.data, "--data-root", bench.folder / "more")
    return bench("plan", protocol, "--methods", "constant", *roots)


@pytest.mark.parametrize("change", SPLITS.values(), ids=SPLITS)
def test_split_files_in_other_hands(bench: Bench, change: Callable[[str], str]) -> None:
    ended = run_split(bench, change)
    assert ended.returncode == 0, ended.text


def test_a_part_that_is_none_is_named(bench: Bench) -> None:
    ended = run_split(bench, lambda text: text.replace(",test", ",tset", 1))
    assert ended.returncode == 3
    assert "'tset' is not a part of a split; expected train, val or test" in ended.text
