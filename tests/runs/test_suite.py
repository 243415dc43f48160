"""One fit serves all its tests: learnt once, kept until every test has its record."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
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
    assert [logs.count(f"toy_linear learns from toy, repeat {k}: fit") for k in (0, 1)] == [1, 1]
    assert not list(bench.results.glob("fits/*"))


def test_means_are_of_each_split_and_keep_seen_and_unseen_apart(bench: Bench) -> None:
    path = bench.protocol(SUITE)
    assert bench.run_and_report(path).returncode == 0
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


def test_a_suite_that_is_killed_goes_on_without_learning_again(bench: Bench) -> None:
    text = "train: [toy]\ntest: [toy, toy2]\nrepeats: 1\nmethods: [toy_saved]\n"
    path, calls = bench.protocol(text), bench.folder / "calls"
    command = ["run", str(path), "--device", "cpu", "--results", str(bench.results)]
    environment = bench.environment(TOY_CALLS=str(calls), TOY_HANGS_AT="40")
    with subprocess.Popen(
        [sys.executable, "-m", "bench", *command],
        cwd=bench.folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        until = time.monotonic() + 120
        while not list(bench.results.glob("records/*/*/*.json")):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        process.kill()
    assert [r.spec.test for r in records(bench)] == ["toy"]
    assert list(bench.results.glob("fits/*.safetensors"))
    assert bench.run(path, TOY_CALLS=str(calls)).returncode == 0
    assert {r.spec.test for r in records(bench)} == {"toy", "toy2"}
    assert len(calls.read_text().splitlines()) == 1
    assert not list(bench.results.glob("fits/*"))
    logs = "".join(file.read_text() for file in (bench.results / "logs").glob("*.log"))
    assert logs.count("learns from toy") == logs.count("continues with fit") == 1


TRAININGS = """
trainings:
  first: [toy]
  second: [toy3]
test: [toy, toy2]
repeats: 1
methods: [toy_linear]
"""


def test_methods_of_a_suite_compete_in_gmad(bench: Bench) -> None:
    assert bench.run(bench.protocol(SUITE), "--methods", "toy_linear,toy_luminance").returncode == 0
    several = bench("gmad", bench.results)
    assert several.returncode == 2
    assert "--dataset toy --budget" in several.stderr
    assert "--dataset toy2 --train toy --budget" in several.stderr
    out = ("--levels", "2", "--out", bench.folder / "gmad")
    held = bench("gmad", bench.results, "--dataset", "toy2", *out)
    assert held.returncode == 0, held.stderr
    found = json.loads((bench.folder / "gmad" / "gmad.json").read_text())
    assert (found["train"], found["test"], found["images"]) == ("toy", "toy2", 40)
    lacking = bench("gmad", bench.results, "--dataset", "toy2", "--attacker", "ridge")
    assert "bench run toy_protocol --methods ridge" in lacking.stderr


def test_trainings_that_have_not_seen_a_database_share_its_pool(bench: Bench) -> None:
    config = bench.folder / "more.yaml"
    place = f"root: {bench.data / 'toy2'}, table: scores.csv, range: [1, 5]"
    config.write_text(f"databases:\n  toy3: {{{place}}}\n")
    where = {"IQA_DATA_CONFIG": str(config)}
    assert bench.run(bench.protocol(TRAININGS), **where).returncode == 0
    out = ("--levels", "2", "--out", bench.folder / "gmad")
    held = bench("gmad", bench.results, "--dataset", "toy2", *out, **where)
    assert held.returncode == 0, held.stderr
    found = json.loads((bench.folder / "gmad" / "gmad.json").read_text())
    assert [item["label"] for item in found["methods"]] == [
        "toy_linear (first)",
        "toy_linear (second)",
    ]
    assert (found["trainings"], found["images"]) == (["toy", "toy3"], 40)
    listed = bench("gmad", bench.results, "--dataset", "toy", **where)
    # The test side of what the first training learns from, and all of it for the second.
    assert "--dataset toy --budget all" in listed.stderr
    assert "--dataset toy --train toy3 --budget all" in listed.stderr


def test_databases_that_are_learnt_together_are_pooled(bench: Bench) -> None:
    text = "train: [toy, toy2]\ntest: [toy, toy2]\nmeans: [plain]\nrepeats: 2\n"
    path = bench.protocol(text + "sampling: balanced\nmethods: [toy_linear]\n")
    assert bench.run_and_report(path).returncode == 0
    assert {r.sizes["train"] for r in records(bench)} == {48 + 32}
    assert {row["test"] for row in summary(bench)} == {"toy", "toy2", "mean_own"}


def test_a_pooled_database_without_labels_is_refused_before_anything_runs(bench: Bench) -> None:
    config = bench.folder / "more.yaml"
    config.write_text(f"databases:\n  bare: {{root: {bench.data / 'toy2'}, label: none}}\n")
    text = "train: [toy, bare]\ntest: [toy]\nmethods: [toy_linear]\n"
    found = bench.run(bench.protocol(text), IQA_DATA_CONFIG=str(config))
    assert found.returncode == 2
    assert "bare has no labels to train on" in found.stderr
    assert not bench.results.exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("train: [toy]\ntest: [toy, toy2]\nmeans: [plain]\n", "at least two test sets"),
        ("train: [toy]\ntest: [toy, toy2]\nsplit_tests: [toy3]\n", "Did you mean 'toy'"),
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
