"""Metrics within groups of images: in records, tables and reports, also of runs done before."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from bench.metrics import srcc
from bench.store import Store
from bench.store import table as runs_table
from tests.conftest import Bench

SCENES = ("indoor", "night", "indoor|night", "")
PROTOCOL = """
datasets: [scened]
repeats: 2
test_fraction: 0.5
metrics: {metrics}
methods: [toy_linear]
"""


@pytest.fixture
def scened(bench: Bench) -> dict[str, str]:
    """An environment in which `scened` is `toy` with a scene for each image."""
    root = bench.data / "toy"
    with (root / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    table = bench.folder / "scenes.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "score", "scene"])
        writer.writerows(
            [row["image"], row["score"], SCENES[index % 4]] for index, row in enumerate(rows)
        )
    config = bench.folder / "more.yaml"
    config.write_text(
        "databases:\n  scened:\n    root: /\n    scene: scene\n    range: [1, 5]\n"
        f"    table: {table.relative_to('/')}\n    images: {root.relative_to('/')}\n"
    )
    return {"IQA_DATA_CONFIG": str(config)}


def by_hand(store: Store, repeat: int) -> float:
    """The median over the two scenes, of which every fourth image has both."""
    record = next(r for r in store.records() if r.spec.repeat == repeat)
    table = store.predictions(record.spec)
    scene = table["image"].str[:3].astype(int).map(lambda index: SCENES[index % 4])
    values = [
        srcc(table["prediction"][inside], table["quality"][inside])
        for name in ("indoor", "night")
        for inside in [scene.str.contains(name)]
    ]
    return float(np.median(values))


def summary(bench: Bench) -> dict[str, float]:
    with (bench.results / "report" / "summary.csv").open() as file:
        return {row["metric"]: float(row["median"]) for row in csv.DictReader(file)}


def test_records_and_all_tables_have_them(bench: Bench, scened: dict[str, str]) -> None:
    path = bench.protocol(PROTOCOL.format(metrics='["srcc@scene", plcc]'))
    done = bench.run_and_report(path, **scened)
    assert done.returncode == 0, done.stderr
    store = Store(bench.results)
    values = [record.value("srcc@scene") for record in store.records()]
    hands = [by_hand(store, record.spec.repeat) for record in store.records()]
    assert values == pytest.approx(hands)
    assert summary(bench)["srcc@scene"] == pytest.approx(np.median(hands), abs=1e-5)
    assert "SRCC per scene" in done.stdout
    report = bench.results / "report"
    for name in ("table.tex", "index.html"):
        assert "SRCC per scene" in (report / name).read_text()
    checked = bench("validate", bench.results, **scened)
    assert checked.returncode == 0, checked.text
    compared = bench("check", bench.results, "--against", bench.results, "--metric", "srcc@scene")
    assert compared.returncode == 0, compared.text


def test_runs_done_before_are_judged_from_their_predictions(
    bench: Bench, scened: dict[str, str]
) -> None:
    assert bench.run(bench.protocol(PROTOCOL.format(metrics="[srcc]")), **scened).returncode == 0
    store = Store(bench.results)
    assert "srcc@scene" not in next(store.records()).metrics["last"]
    again = bench.run_and_report(
        bench.protocol(PROTOCOL.format(metrics='["srcc@scene"]')), **scened
    )
    assert "2 runs (2 done)" in again.stdout
    values = list(runs_table.load(Path(bench.results))["srcc@scene"])
    assert values == pytest.approx([by_hand(store, repeat) for repeat in (0, 1)])
    assert summary(bench)["srcc@scene"] == pytest.approx(np.median(values), abs=1e-5)


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ("srcc@scen", "Did you mean 'srcc@scene'?"),
        ("srrc", "Did you mean 'srcc'?"),
        ("srcc@reference", "no test set names a reference of several images (scened)"),
    ],
)
def test_a_wrong_one_is_refused_before_anything_runs(
    bench: Bench, scened: dict[str, str], metric: str, reason: str
) -> None:
    found = bench.run(bench.protocol(PROTOCOL.format(metrics=f'["{metric}"]')), **scened)
    assert found.returncode == 2
    assert reason in found.stderr
    assert not (bench.results / "records").exists()
