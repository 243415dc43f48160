"""Published numbers and the protocols that they stand beside.

Counts and sums come from a second reading of the papers' text, apart from the files.
"""

from __future__ import annotations

import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from bench import protocol as protocols
from bench import registry
from bench.data import datasets
from bench.protocol import published
from bench.protocol.published import PublishedCell
from bench.protocol.variants import choose
from bench.util.errors import UsageError
from tools import protocol_page

SECOND_READING = {
    "pyiqa_benchmark": (82, "59.0998"),
    "grmp_table1": (153, "113.173"),
    "grmp_table2": (120, "104.309"),
    "grmp_table3": (37, "28.589"),
    "grmp_table4": (36, "20.148"),
    "grmp_table5": (12, "9.678"),
    "grmp_table6": (16, "13.717"),
    "grmp_table7": (24, "20.943"),
    "promptiqa_table2": (212, "180.6460"),
    "promptiqa_table3": (60, "17.1778"),
    "promptiqa_table4": (36, "22.0685"),
    "promptiqa_table5": (50, "5.1514"),
    "promptiqa_table6": (48, "35.8182"),
    "mpiqe_table1": (120, "104.305"),
    "mpiqe_table2": (12, "9.687"),
    "mpiqe_table3": (18, "14.216"),
    "mpiqe_table4": (20, "18.512"),
    "mpiqe_table5": (36, "31.095"),
    "mpiqe_table6": (32, "31.023"),
}

BY_HAND = [
    # table, method, train, test, budget, metric, text
    ("grmp_table1", "GRMP-IQA (Ours)", "livec", "livec", "50", "srcc", "0.836"),
    ("grmp_table1", "GRepQ", "koniq10k", "koniq10k", "200", "srcc", "0.855"),
    ("grmp_table1", "HyperIQA", "pipal", "pipal", "50", "srcc", "0.102"),
    ("grmp_table1", "Re-IQA", "csiq", "csiq", "50", "srcc", "0.893"),
    ("grmp_table2", "DEIQT", "koniq10k", "koniq10k", "30%", "srcc", "0.903"),
    ("grmp_table2", "GRMP-IQA (Ours)", "livefb", "livefb", "10%", "plcc", "0.686"),
    ("grmp_table2", "LoDa", "livec", "livec", "80%", "plcc", "0.899"),
    ("grmp_table3", "LoDa", "livefb", "livec", "all", "srcc", "0.805"),
    ("grmp_table3", "GRMP-IQA", "csiq", "live", "all", "srcc", "0.935"),
    ("grmp_table4", "Text + Visual", "koniq10k", "koniq10k", "zero-shot", "srcc", "0.592"),
    ("grmp_table5", "Pre-training", "livec", "livec", "50", "plcc", "0.823"),
    ("grmp_table6", "w/o QGR", "koniq10k", "koniq10k", "100", "srcc", "0.840"),
    ("grmp_table7", "λ = 3", "koniq10k", "koniq10k", "200", "plcc", "0.903"),
    ("promptiqa_table2", "Ours", "live", "live", "all", "srcc", "0.9359"),
    ("promptiqa_table2", "PSCR*", "aigciqa2023", "aigciqa2023", "all", "plcc", "0.8588"),
    ("promptiqa_table2", "FDUM", "uwiqa", "uwiqa", "all", "srcc", "0.6940"),
    (
        "promptiqa_table3",
        "MoNet MDT",
        "kadid10k@fsim",
        "kadid10k@fsim",
        "10",
        "plcc",
        "0.6870",
    ),
    ("promptiqa_table3", "PromptIQA MDT", "tid2013@lpips", "tid2013@lpips", "10", "plcc", "0.8064"),
    ("promptiqa_table4", "STD", "uwiqa", "uwiqa", "all", "plcc", "0.0179"),
    ("promptiqa_table5", "Inversion", "gfiqa20k", "gfiqa20k", "all", "plcc", "-0.9690"),
    ("promptiqa_table6", "w/o prompt", "tid2013@lpips", "tid2013@lpips", "10", "plcc", "-0.7712"),
    ("mpiqe_table1", "DACNN", "bid", "bid", "all", "srcc", "0.754"),
    ("mpiqe_table2", "CLIP-IQA", "koniq10k", "koniq10k", "all", "plcc", "0.727"),
    ("mpiqe_table3", "Ours", "koniq10k", "livec", "all", "srcc", "0.844"),
    ("mpiqe_table4", "w/o Deep visual prompts", "csiq", "csiq", "all", "srcc", "0.932"),
    ("mpiqe_table5", "ViT-BIQA", "live", "live", "40%", "plcc", "0.847"),
    ("mpiqe_table6", "text 16", "csiq", "csiq", "all", "srcc", "0.952"),
]


def find(table: str, **wanted: str) -> list[PublishedCell]:
    cells = published.load(table).cells()
    return [cell for cell in cells if all(getattr(cell, k) == v for k, v in wanted.items())]


def test_every_table_is_there_whole() -> None:
    assert sorted(published.available()) == sorted(SECOND_READING)


@pytest.mark.parametrize("name", SECOND_READING)
def test_counts_and_sums_agree_with_a_second_reading(name: str) -> None:
    cells = published.load(name).cells()
    total = sum((Decimal(cell.text) for cell in cells), Decimal(0))
    assert (len(cells), str(total)) == SECOND_READING[name]


@pytest.mark.parametrize(("table", "method", "train", "test", "budget", "metric", "text"), BY_HAND)
def test_cells_read_by_hand(
    table: str, method: str, train: str, test: str, budget: str, metric: str, text: str
) -> None:
    found = find(table, method=method, train=train, test=test, budget=budget, metric=metric)
    assert [cell.text for cell in found] == [text]


@pytest.mark.parametrize("name", SECOND_READING)
def test_a_cell_is_printed_once_and_its_datasets_exist(name: str) -> None:
    cells = published.load(name).cells()
    keys = [(cell.method, cell.train, cell.test, cell.budget, cell.metric) for cell in cells]
    averages = [key for key in keys if published.AVERAGE in key]
    others = [key for key in keys if published.AVERAGE not in key]
    assert len(set(others)) == len(others)
    assert name == "promptiqa_table2" or not averages
    specs = {spec for _, train, test, _, _ in others for spec in (train, test)}
    averaged = published.load(name).blocks
    specs |= {spec for block in averaged for column in block.columns for spec in column.average}
    assert {spec.partition("@")[0] for spec in specs} <= set(datasets.names())


def test_printed_averages_are_means_of_their_cells() -> None:
    for block in published.load("promptiqa_table2").blocks[:2]:
        for row in block.rows.values():
            for metric in (0, 1):
                values = [value for value in row.values[metric:-2:2] if value is not None]
                assert row.values[-2 + metric] == pytest.approx(sum(values) / len(values), abs=6e-5)


def test_tables_that_repeat_each_other_agree() -> None:
    ours = {"koniq10k": "GRMP-IQA (Ours)", "livec": "GRMP-IQA (Ours)"}
    for name, method in ours.items():
        for budget in ("50", "100"):
            first = find("grmp_table1", method=method, test=name, budget=budget)
            again = find("grmp_table6", method="w/ QGR", test=name, budget=budget, metric="srcc")
            assert [cell.value for cell in first] == [cell.value for cell in again]
    full = published.load("grmp_table7").blocks[0].rows["λ = 5"].values
    assert full[1::2] == tuple(
        cell.value for cell in find("grmp_table1", method=ours["koniq10k"], test="koniq10k")
    )
    rows = published.load("mpiqe_table6").blocks
    assert rows[0].rows["text 8"].values == rows[1].rows["visual 4"].values


@pytest.mark.parametrize("path", published.available().values(), ids=lambda path: path.stem)
def test_numbers_are_written_with_the_printed_decimals(path: Path) -> None:
    decimals = published.read(path).decimals
    node = yaml.compose(path.read_text(encoding="utf-8"))
    texts = _numbers(node) if node else []
    wrong = [text for text in texts if not re.fullmatch(rf"-?0\.\d{{{decimals}}}", text)]
    assert texts
    assert not wrong


def _numbers(node: yaml.Node) -> list[str]:
    if isinstance(node, yaml.MappingNode):
        return [text for pair in node.value for text in _numbers(pair[1])]
    if isinstance(node, yaml.SequenceNode):
        return [text for item in node.value for text in _numbers(item)]
    return [node.value] if node.tag.endswith(":float") else []


TABLE = """
paper: GRMP-IQA
table: 9
title: A table
statistic: median
metrics: [srcc]
decimals: 3
blocks:
- columns: [livec, {train: livec, dataset: koniq10k}]
  rows:
    One: [0.500, ~]
    Two: {ours: grmp, values: [0.600, 0.700]}
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "0.500, ~",
            "0.500",
            r":11: 'blocks.0.rows.One': row 'One' has 1 values, its columns are 2",
        ),
        ("0.700]", "7.00]", r":12: .*correlations lie between -1 and 1"),
        ("ours: grmp", "our: grmp", r":12: unknown key .*our'. Did you mean 'ours'\?"),
        ("paper: GRMP-IQA", "paper: GRMP", r":2: 'paper': expected 'GRMP-IQA', 'PromptIQA'"),
        ("columns: [", "budgets: [some]\n  columns: [", r":9: .*'some' is not a budget"),
        ("train: livec, dataset", "train: livec, data", r":9: .*data'. Did you mean 'dataset'"),
        ("table: 9", "table: 9\ntable: 8", r":4: key 'table' is given twice"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, old: str, new: str, expected: str) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(TABLE)
    assert [cell.text for cell in published.read(path).cells()] == ["0.500", "0.600", "0.700"]
    path.write_text(TABLE.replace(old, new))
    with pytest.raises(UsageError, match=rf"t\.yaml{expected}"):
        published.read(path)


def test_an_unknown_table_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'grmp_table1'"):
        published.load("grmp_tabel1")


def test_reading_tables_loads_nothing_heavy() -> None:
    code = (
        "import sys; from bench.protocol import published; "
        "[published.load(name).cells() for name in published.available()]; "
        "sys.exit(bool({'torch', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", protocols.available())
def test_protocols_name_what_exists(name: str) -> None:
    loaded = protocols.load(name)
    assert loaded.title
    assert loaded.description
    assert {spec.partition("@")[0] for spec in loaded.specs()} <= set(datasets.names())
    for spec in loaded.specs():
        datasets.info(spec)
    assert [row.title for row in choose(loaded, (), {})] == [row.title for row in loaded.methods]


PUBLISHING = [name for name in protocols.available() if protocols.load(name).published]


@pytest.mark.parametrize("name", PUBLISHING)
def test_printed_rows_find_their_protocol_rows(name: str) -> None:
    loaded = protocols.load(name)
    cells = [cell for table in loaded.published for cell in published.load(table).cells()]
    labels = {cell.ours for cell in cells if cell.ours}
    methods = {label for label in labels if registry.split_name(label)[0] in registry.entries()}
    titles = {entry.title for entry in loaded.methods}
    assert labels - methods <= titles
    # The three papers' own methods are rows of the protocol; baselines may join by --methods,
    # and are what `baselines` is about.
    assert name == "baselines" or labels & {"grmp", "promptiqa", "mpiqe"} <= titles
    # A suite that learns nothing has no training set; a table's cell names its database twice.
    measured = {(task.train or task.test, task.test, task.budget) for task in loaded.tasks()}
    if name.startswith("few_shot_official"):  # the sets whose code is released: a part of the table
        versions = [(cell.budget, one) for cell in cells for one in (cell.test, *cell.versions)]
        assert measured <= {(test, test, budget) for budget, test in versions}
        return
    printed = {(cell.train, cell.test, cell.budget) for cell in cells if "@" not in cell.test}
    assert {key for key in printed if published.AVERAGE not in key} <= measured


def test_the_page_on_protocols_is_current() -> None:
    assert protocol_page.page() == protocol_page.PAGE.read_text(encoding="utf-8"), (
        f"run `{protocol_page.COMMAND}`"
    )
