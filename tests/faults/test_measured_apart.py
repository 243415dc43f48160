"""One protocol measured in two ways: nothing of the two is compared, and everything says so."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from bench.store import Store
from bench.store.manifest import read_all
from tests.conftest import Bench, run_cli
from tests.fake_results import FakeSweep

PROTOCOL = """
title: Toy protocol
datasets: [toy]
labels: [10]
repeats: 2
methods: [toy_linear, toy_luminance]
"""


def summary(bench: Bench) -> list[dict[str, str]]:
    with (bench.results / "report" / "summary.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        (["--set", "test_fraction=0.5", "--seed", "7"], "seed=7, test_fraction=0.5"),
        pytest.param(["--set", "normalise=none"], "normalise=none", marks=pytest.mark.slow),
    ],
)
def test_a_second_rule_has_tables_of_its_own(
    bench: Bench, options: list[str], difference: str
) -> None:
    path = bench.protocol(PROTOCOL)
    assert bench.run_and_report(path, "--methods", "toy_linear").returncode == 0
    second = bench.run_and_report(path, "--methods", "toy_luminance", *options)
    assert second.returncode == 0, second.text
    warned = second.stdout.index("cannot be compared with those")
    assert warned < second.stdout.index("results in ")
    found = {row["label"]: row["protocol"] for row in summary(bench) if row["metric"] == "srcc"}
    assert found == {
        "toy_linear": "toy_protocol",
        "toy_luminance": f"toy_protocol [{difference}]",
    }
    tex = (bench.results / "report" / "table.tex").read_text()
    assert tex.count(r"\begin{table") == 2
    assert r"\textbf" not in tex  # a method alone in its table is not the best of anything
    validated = bench("validate", bench.results)
    assert validated.returncode == 1
    assert f"toy_protocol is measured in 2 ways: as first asked for, and with [{difference}]" in (
        validated.stdout
    )
    compared = bench("compare", bench.results)
    assert (compared.returncode, difference in compared.stderr) == (2, True), compared.text


def test_the_same_rule_again_joins_the_table(bench: Bench) -> None:
    path = bench.protocol(PROTOCOL)
    bench.run_and_report(path, "--methods", "toy_linear", "--seed", "7")
    second = bench.run_and_report(path, "--methods", "toy_luminance", "--seed", "7")
    assert "warning" not in second.stdout
    assert {row["protocol"] for row in summary(bench)} == {"toy_protocol"}
    assert bench("validate", bench.results).returncode == 0
    assert bench("compare", bench.results).returncode == 0


def test_validation_images_are_no_other_rule(bench: Bench) -> None:
    """`val` holds some labels out; it stands beside `last` as a selection of its own."""
    path = bench.protocol(PROTOCOL)
    bench.run_and_report(path, "--methods", "toy_linear")
    second = bench.run_and_report(path, "--methods", "toy_linear", "--set", "selection=val")
    assert "warning" not in second.stdout
    assert {row["protocol"] for row in summary(bench)} == {"toy_protocol"}


def test_folders_of_before_are_told_apart_by_their_records(tmp_path: Path) -> None:
    FakeSweep(tmp_path / "a", noise={"good": 0.5}, datasets=("livec",)).write()
    FakeSweep(tmp_path / "b", noise={"fair": 1.0}, datasets=("livec",), seed=7).write()
    assert (
        run_cli("merge", tmp_path / "a", tmp_path / "b", "--into", tmp_path / "c").returncode == 0
    )
    (path,) = (tmp_path / "c" / "protocols").glob("*.json")
    manifest = json.loads(path.read_text())
    for cell in manifest["cells"]:
        del cell["measure"]  # as versions before this field wrote it
    path.write_text(json.dumps(manifest))
    assert run_cli("validate", tmp_path / "c").returncode == 1
    (found,) = read_all(Store(tmp_path / "c"))
    names = {protocol.name: [cell.label for cell in cells] for protocol, cells in found.tables()}
    assert names == {"few_shot": ["good"], "few_shot [seed=7]": ["fair"]}


def test_check_names_the_difference(tmp_path: Path) -> None:
    FakeSweep(tmp_path / "a").write()
    FakeSweep(tmp_path / "b", seed=7).write()
    run_cli("baseline", "save", "kept", "--results", tmp_path / "a", folder=tmp_path)
    for against in (tmp_path / "a", "kept"):
        found = run_cli("check", tmp_path / "b", "--against", against, folder=tmp_path)
        assert found.returncode == 3
        report = (tmp_path / "b" / "check" / "check.md").read_text()
        assert "seed=7, test\\_fraction=0.2, normalise=minmax\\_train here" in report
    # Beside cells of the other rule, those of the baseline's rule are found.
    run_cli("merge", tmp_path / "b", tmp_path / "a", "--into", tmp_path / "c")
    assert run_cli("check", tmp_path / "c", "--against", tmp_path / "a").returncode == 0


def test_training_on_the_images_that_are_tested_is_refused(bench: Bench) -> None:
    result = bench.run_and_report(
        bench.protocol("pairs: [[toy, toy]]\nmethods: [toy_linear]\nrepeats: 1\n")
    )
    assert result.returncode == 2, result.text
