"""Metrics that a protocol's tasks cannot have are told before anything runs, with the way out."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from bench.metrics import METRICS, Known
from bench.store import Store
from tests.conftest import Bench

PROTOCOL = """
datasets: [{datasets}]
repeats: 1
test_fraction: 0.5
metrics: {metrics}
methods: [toy_linear]
"""


@pytest.fixture
def rated(bench: Bench) -> dict[str, str]:
    """An environment in which `rated` is `toy` with spread, number of ratings and two scenes."""
    return _rated(bench, raters=9)


def _rated(bench: Bench, raters: int) -> dict[str, str]:
    root = bench.data / "toy"
    with (root / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    table = bench.folder / "rated.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "score", "std", "votes", "scene"])
        writer.writerows(
            [row["image"], row["score"], 0.5 + 0.01 * i, raters, "ab"[i % 2]]
            for i, row in enumerate(rows)
        )
    config = bench.folder / "more.yaml"
    config.write_text(
        "databases:\n  rated:\n    root: /\n    range: [1, 5]\n    scene: scene\n"
        "    spread: std\n    raters: votes\n"
        f"    table: {table.relative_to('/')}\n    images: {root.relative_to('/')}\n"
    )
    return {"IQA_DATA_CONFIG": str(config)}


def _summary(bench: Bench) -> list[dict[str, str]]:
    with (bench.results / "report" / "summary.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("metric", "more", "reasons"),
    [
        ("plcc_logistic4_val", "", ("validation images", "set `selection: val`")),
        ("or_val", "zero_shot: true\n", ("needs the spread and number", "`spread` and `raters`")),
        ("auc_bw", "", ("number (at least two) of the ratings", "`spread` and `raters`", "(toy)")),
        ("or@scene", "", ("no test set names a scene",)),
    ],
)
def test_what_no_task_can_have_is_refused(
    bench: Bench, metric: str, more: str, reasons: tuple[str, ...]
) -> None:
    text = PROTOCOL.format(datasets="toy", metrics=f'[srcc, "{metric}"]') + more
    found = bench.run(bench.protocol(text))
    assert found.returncode == 2, found.text
    for reason in reasons:
        assert reason in found.stderr
    assert not (bench.results / "records").exists()


def test_other_scales_than_five_levels_have_no_false_ranking_rate(bench: Bench) -> None:
    config = bench.folder / "more.yaml"
    config.write_text(
        f"databases:\n  hundred:\n    root: {bench.data / 'toy'}\n    table: scores.csv\n"
        "    range: [0, 100]\n"
    )
    path = bench.protocol(PROTOCOL.format(datasets="hundred", metrics="[srcc, frr]"))
    found = bench("plan", path, "--results", bench.results, IQA_DATA_CONFIG=str(config))
    assert found.returncode == 2
    assert "frr needs scores that are plain means on a scale of five levels" in found.stderr


def test_what_some_tasks_cannot_have_is_said(bench: Bench, rated: dict[str, str]) -> None:
    text = PROTOCOL.format(datasets="rated, toy", metrics='[srcc, or, "rmse_eps@scene"]')
    done = bench.run_and_report(bench.protocol(text), **rated)
    assert done.returncode == 0, done.text
    assert "no or on toy: it needs the spread and number" in done.stdout
    rows = {(row["test"], row["metric"]): row for row in _summary(bench)}
    assert rows["toy", "or"]["n"] == "0"
    assert rows["toy", "or"]["undefined"] == "1"
    page = (bench.results / "report" / "index.html").read_text()
    assert "no or on toy: it needs the spread and number" in page
    record = next(r for r in Store(bench.results).records() if r.spec.test == "rated")
    table = Store(bench.results).predictions(record.spec)
    index = table["image"].str[:3].astype(int).to_numpy()
    known = Known(0.5 + 0.01 * index, np.full(len(index), 9.0))
    by_scene = [
        METRICS["rmse_eps"](table["prediction"][mask], table["quality"][mask], known.of(mask))
        for mask in (index % 2 == 0, index % 2 == 1)
    ]
    assert record.value("rmse_eps@scene") == pytest.approx(np.median(by_scene))
    assert record.value("or") == METRICS["or"](table["prediction"], table["quality"], known)
    checked = bench("validate", bench.results, **rated)
    assert checked.returncode == 0, checked.text


def test_runs_done_before_get_them_from_stored_predictions(
    bench: Bench, rated: dict[str, str]
) -> None:
    first = bench.protocol(PROTOCOL.format(datasets="rated", metrics="[srcc]"))
    assert bench.run(first, **rated).returncode == 0
    path = bench.protocol(PROTOCOL.format(datasets="rated", metrics="[srcc, or]"))
    done = bench.run_and_report(path, **rated)
    assert "1 runs (1 done)" in done.stdout
    row = next(row for row in _summary(bench) if row["metric"] == "or")
    assert 0 <= float(row["median"]) <= 1
    without = bench("report", bench.results)
    assert "or not computed for rated:" in without.text
    row = next(row for row in _summary(bench) if row["metric"] == "or")
    assert row["median"] == ""


def test_one_rating_an_image_is_no_spread(bench: Bench) -> None:
    path = bench.protocol(PROTOCOL.format(datasets="rated", metrics="[srcc, rmse_eps]"))
    found = bench.run(path, **_rated(bench, raters=1))
    assert found.returncode == 2
    assert "number (at least two) of the ratings" in found.stderr


def test_a_database_without_spread_and_constant_predictions_have_stated_answers(
    bench: Bench,
) -> None:
    """Correlations, intervals and ceilings of what has no order are undefined, and it is said."""
    table = bench.folder / "flat.csv"
    rows = "".join(f"{index:03}.png,3.0,0.5,9\n" for index in range(60))
    table.write_text(f"image,score,std,votes\n{rows}")
    config = bench.folder / "more.yaml"
    images = (bench.data / "toy").relative_to("/")
    config.write_text(
        f"databases:\n  flat:\n    root: /\n    table: {table.relative_to('/')}\n"
        f"    images: {images}\n    range: [1, 5]\n    spread: std\n    raters: votes\n"
    )
    own = {"IQA_DATA_CONFIG": str(config)}
    text = PROTOCOL.format(datasets="flat, toy", metrics="[srcc, plcc, rmse]")
    methods = "[toy_linear, toy_luminance, toy_constant]"
    path = bench.protocol(text.replace("[toy_linear]", methods))
    done = bench.run_and_report(path, **own)
    assert "1 runs failed" in done.text
    failed = [r.error for r in Store(bench.results).records() if r.status == "failed"]
    assert failed == ["flat: all 30 training labels are equal (3)"]
    found = {(row["label"], row["test"], row["metric"]): row for row in _summary(bench)}
    for label, test in (("toy_luminance", "flat"), ("toy_constant", "toy")):
        row = found[label, test, "srcc"]
        assert (row["n"], row["undefined"], row["median"], row["image_low"]) == ("0", "1", "", "")
        assert "undefined" in row["image_note"]
    assert "scores have no spread" in found["toy_luminance", "flat", "srcc"]["ceiling_note"]
    compared = bench("compare", bench.results, **own)
    assert compared.returncode == 0, compared.text
    assert "0 of 1 runs have a value" in compared.text
