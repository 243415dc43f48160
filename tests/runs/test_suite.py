"""One fit serves all its tests: learnt once, kept until every test has its record."""

from __future__ import annotations

import csv
from collections import Counter

import numpy as np
import pytest

from bench.model.records import Record
from bench.store import Store
from tests.conftest import Bench

SUITE = """
train: [toy]
test: [toy, toy2]
means: [plain, by_images, all]
repeats: 2
evaluate_every: 1
methods: [toy_linear]
"""


def records(bench: Bench) -> list[Record]:
    return list(Store(bench.results).records())


def summary(bench: Bench) -> list[dict[str, str]]:
    with (bench.results / "report" / "summary.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["metric"] == "srcc"]


def test_each_repeat_learns_once_for_all_tests(bench: Bench) -> None:
    path = bench.protocol(SUITE)
    planned = bench("plan", path, "--results", bench.results).stdout
    assert "2 fits" in planned
    assert bench.run(path).returncode == 0
    found = records(bench)
    assert Counter(record.spec.fit.fit_id for record in found).most_common() == [
        (found[0].spec.fit.fit_id, 2),
        *[(other, 2) for other in {r.spec.fit.fit_id for r in found} - {found[0].spec.fit.fit_id}],
    ]
    assert {(r.spec.test, r.spec.side, r.sizes["test"]) for r in found} == {
        ("toy", "own", 12),
        ("toy2", "whole", 40),
    }
    logs = "".join(path.read_text() for path in (bench.results / "logs").glob("*.log"))
    assert logs.count("toy_linear learns from") in (0, 2)  # the toy method may keep silent
    assert not list(bench.results.glob("fits/*"))


def test_means_are_of_each_split_and_keep_seen_and_unseen_apart(bench: Bench) -> None:
    path = bench.protocol(SUITE)
    assert bench.run(path).returncode == 0
    by_test = {row["test"]: row for row in summary(bench)}
    # One own and one unseen set: neither group has a mean, both together have one.
    assert set(by_test) == {"toy", "toy2", "mean_all", "mean_by_images_all"}
    values = {
        (r.spec.test, r.spec.repeat): float(r.value("srcc") or np.nan) for r in records(bench)
    }
    plain = [(values["toy", k] + values["toy2", k]) / 2 for k in range(2)]
    weighted = [(12 * values["toy", k] + 40 * values["toy2", k]) / 52 for k in range(2)]
    assert float(by_test["mean_all"]["median"]) == pytest.approx(np.median(plain), abs=1e-5)
    found = float(by_test["mean_by_images_all"]["median"])
    assert found == pytest.approx(np.median(weighted), abs=1e-5)
    assert by_test["mean_all"]["dataset"] == "mean of 2 sets, seen and unseen"


def test_what_was_interrupted_goes_on_without_learning_again(bench: Bench) -> None:
    path = bench.protocol(SUITE)
    assert bench.run(path).returncode == 0
    store = Store(bench.results)
    before = {r.run_id: store.predictions(r.spec)["prediction"].tolist() for r in records(bench)}
    lost = next(r for r in records(bench) if r.spec.test == "toy2")
    store.path(lost.spec).unlink()
    assert bench.run(path).returncode == 0
    after = {r.run_id: store.predictions(r.spec)["prediction"].tolist() for r in records(bench)}
    assert after == before


def test_databases_that_are_learnt_together_are_pooled(bench: Bench) -> None:
    text = "train: [toy, toy2]\ntest: [toy, toy2]\nmeans: [plain]\nrepeats: 2\n"
    path = bench.protocol(text + "sampling: balanced\nmethods: [toy_linear]\n")
    assert bench.run(path).returncode == 0
    assert {r.sizes["train"] for r in records(bench)} == {48 + 32}
    assert {row["test"] for row in summary(bench)} == {"toy", "toy2", "mean_own"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("train: [toy]\ntest: [toy]\ntest_side: whole\n", "all of it cannot be a test"),
        ("train: [toy, toy]\ntest: [toy2]\n", "names a database twice"),
        ("train: [toy]\n", "need each other"),
        ("train: [toy]\ntest: [toy2]\nmeans: [plain]\n", "at least two test sets"),
        ("train: [toy]\ntrainings: {a: [toy2]}\ntest: [toy]\n", "either 'train' or 'trainings'"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(bench: Bench, text: str, reason: str) -> None:
    found = bench("plan", bench.protocol(f"{text}methods: [toy_linear]\n"))
    assert found.returncode == 2
    assert reason in found.stderr
