"""The page on published predictions: its protocol runs, and its numbers are those that come out."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from bench.data import datasets
from bench.data.images.files import find_files
from bench.store import Store
from tests.conftest import Bench
from tests.docs.test_docs import ROOT, blocks

PAGE = "docs/published_predictions.md"
TABLES = ("livec_scores.csv", "koniq10k_scores.csv")
LIVEC = {"BRISQUE": -0.3129, "NIQE": -0.4493, "PIQE": -0.1025, "MANIQA": 0.8323, "HyperIQA": 0.7495}
"""Of the scores as they stand in the file, before turning upwards (known from elsewhere)."""


def predictions() -> Path:
    """The folder of the public tables. Skips the test where IQA_DATA is unset or has none."""
    roots = datasets.data_roots()
    found = [root / "predictions" for root in roots if (root / "predictions" / TABLES[0]).is_file()]
    if not found or any(datasets.locate(name) is None for name in ("livec", "koniq10k")):
        pytest.skip("needs LIVEC, KonIQ-10k (tables alone) and predictions/ under IQA_DATA")
    return found[0]


def printed() -> dict[str, tuple[float, float]]:
    """The page's table: row -> SRCC on LIVEC and KonIQ-10k."""
    text = (ROOT / PAGE).read_text(encoding="utf-8").replace("−", "-")
    rows = re.findall(r"^\| (\w+) \| (-?0\.\d+)†? \| (-?0\.\d+)†? \|$", text, re.MULTILINE)
    return {name: (float(livec), float(koniq)) for name, livec, koniq in rows}


def test_the_page_as_it_stands(tmp_path: Path, toy_data: Path) -> None:
    place = predictions()
    (tmp_path / "scores" / "diqa").mkdir(parents=True)
    for name in TABLES:
        shutil.copy(place / name, tmp_path / "scores" / "diqa")
    bench = Bench(tmp_path, toy_data)
    (text,) = blocks(PAGE, "yaml")
    path = bench.protocol(text, "published_scores")
    done = bench.run(path, IQA_DATA=os.environ["IQA_DATA"])
    assert done.returncode == 0, done.text
    labels = {"brisque": "BRISQUE", "hyperiqa": "HyperIQA"}
    found: dict[str, dict[str, float]] = {}
    for record in Store(bench.results).records():
        column = str(record.spec.fit.settings["score_column"])
        row = found.setdefault(labels.get(column, column.upper()), {})
        turned = record.spec.fit.settings["lower_better"]
        srcc = record.metrics["last"]["srcc"]
        assert srcc is not None
        row[record.spec.test] = srcc
        row[f"{record.spec.test} as shipped"] = -srcc if turned else srcc
    for name, (livec, koniq) in printed().items():
        assert found[name]["livec"] == pytest.approx(livec, abs=5e-5)
        assert found[name]["koniq10k"] == pytest.approx(koniq, abs=5e-5)
    assert {name: row["livec as shipped"] for name, row in found.items()} == pytest.approx(
        LIVEC, abs=5e-5
    )
    assert printed().keys() == LIVEC.keys()


def test_koniqs_images_are_not_needed() -> None:
    """What the page claims is tested on a table without images, where that is what there is."""
    predictions()
    data = datasets.load("koniq10k")
    there = sum(file is not None for file in find_files(data.root, list(data.table["image"])))
    if there == len(data):
        pytest.skip("KonIQ-10k is here with its images")
    assert there == 0
