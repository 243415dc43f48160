"""Is anything worse? Verdicts, exit codes and the files a check leaves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.check import PairedRuns, check, judge, pair, write
from bench.analysis.check.verdict import CheckReport
from bench.stats import SplitSizes, corrected_t
from bench.store import baseline
from bench.store.table import load
from bench.util.errors import UsageError
from tests.conftest import run_cli
from tests.fake_results import FakeSweep

KEY = ("few_shot", "good", "livec", "livec", "50", "last")


def pairs(old: list[float], new: list[float], **values: object) -> PairedRuns:
    base = {"missing": (), "undefined": 0, "expected": len(old), "sizes": SplitSizes(928, 232)}
    return PairedRuns(KEY, "good", tuple(old), tuple(new), **{**base, **values})


def verdicts(report: CheckReport) -> dict[str, str]:
    return {f"{cell.label} {cell.test}": cell.verdict for cell in report.cells}


def test_the_same_results_are_no_regression(tmp_path: Path) -> None:
    FakeSweep(tmp_path / "a").write()
    FakeSweep(tmp_path / "b").write()
    report = check(tmp_path / "b", tmp_path / "a")
    assert set(verdicts(report).values()) == {"ok"}
    assert report.exit_code == 0
    assert {cell.change for cell in report.cells} == {0.0}
    assert {(cell.n, cell.expected) for cell in report.cells} == {(10, 10)}


@pytest.mark.parametrize("as_file", [False, True])
def test_a_method_that_got_worse_is_found(tmp_path: Path, as_file: bool) -> None:
    store = FakeSweep(tmp_path / "a").write()
    FakeSweep(tmp_path / "b", noise={"good": 1.5, "fair": 0.4}).write()
    against = baseline.save(store, "x", tmp_path)[0] if as_file else tmp_path / "a"
    report = check(tmp_path / "b", against)
    assert verdicts(report) == {
        "good livec": "regression",
        "good koniq10k": "regression",
        "fair livec": "improved",
        "fair koniq10k": "improved",
    }
    assert report.exit_code == 1
    assert report.summary == "regression (4 cells: 2 worse, 2 better)"
    assert check(tmp_path / "b", against, tolerance=0.9).exit_code == 0


def test_a_lower_error_is_better(tmp_path: Path) -> None:
    FakeSweep(tmp_path / "a").write()
    FakeSweep(tmp_path / "b", noise={"good": 1.5, "fair": 0.4}).write()
    report = check(tmp_path / "b", tmp_path / "a", metric="rmse")
    assert verdicts(report)["good livec"] == "regression"
    assert verdicts(report)["fair livec"] == "improved"


def test_the_interval_is_the_corrected_one() -> None:
    old, new = [0.8, 0.82, 0.81, 0.79], [0.77, 0.80, 0.80, 0.75]
    (cell,) = judge([pairs(old, new)], "srcc")
    test = corrected_t(np.subtract(new, old), SplitSizes(928, 232))
    assert (cell.low, cell.high) == pytest.approx((test.low, test.high))
    assert cell.change == pytest.approx(-0.025)


def test_a_drop_counts_only_beyond_chance_and_tolerance() -> None:
    clear = pairs([0.80, 0.81, 0.82], [0.790, 0.8, 0.811])
    noisy = pairs([0.80, 0.81, 0.82], [0.60, 0.85, 0.85])
    small = pairs([0.80, 0.81, 0.82], [0.7969, 0.8070, 0.8171])
    found = judge([clear, noisy, small], "srcc", tolerance=0.005)
    assert [cell.verdict for cell in found] == ["regression", "ok", "ok"]
    assert judge([small], "srcc", tolerance=0.002)[0].verdict == "regression"


def test_the_same_drop_in_every_run_is_no_chance() -> None:
    (cell,) = judge([pairs([0.8] * 5, [0.75] * 5)], "srcc")
    assert cell.verdict == "regression"
    assert cell.low == cell.high == pytest.approx(-0.05)


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=12),
    st.floats(0, 0.2),
    st.floats(0, 0.2),
)
def test_a_larger_drop_is_never_a_better_verdict(
    old: list[float], drop: float, more: float
) -> None:
    rank = {"improved": 0, "ok": 1, "regression": 2}
    one, two = (
        judge([pairs(old, [value - by for value in old])], "srcc")[0] for by in (drop, drop + more)
    )
    assert rank[two.verdict] >= rank[one.verdict]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"absent": frozenset({("good", 3)})}, "repeat 3: not there"),
        ({"failed": frozenset({("good", 3)})}, "repeat 3: failed"),
        ({"constant": frozenset({"good"})}, "repeat 0: srcc is undefined"),
        ({"noise": {"fair": 1.0}}, "no run of this cell"),
        ({"seed": 1}, "measured with split=random, seed=1"),
    ],
)
def test_what_is_missing_makes_it_incomplete(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    FakeSweep(tmp_path / "a", datasets=("livec",)).write()
    FakeSweep(tmp_path / "b", datasets=("livec",), **change).write()
    report = check(tmp_path / "b", tmp_path / "a")
    assert report.exit_code == 3
    cell = next(cell for cell in report.cells if cell.label == "good")
    assert cell.verdict == "incomplete"
    assert reason in cell.reason


def test_a_regression_outweighs_what_is_missing(tmp_path: Path) -> None:
    FakeSweep(tmp_path / "a").write()
    worse = {"good": 1.5, "fair": 1.0}
    FakeSweep(tmp_path / "b", noise=worse, absent=frozenset({("good", 3)})).write()
    report = check(tmp_path / "b", tmp_path / "a")
    assert report.exit_code == 1
    assert "repeat 3: not there" in report.cells[0].reason


def test_more_than_the_baseline_has_is_fine(tmp_path: Path) -> None:
    FakeSweep(tmp_path / "a", repeats=5, datasets=("livec",)).write()
    FakeSweep(tmp_path / "b", noise={"good": 0.5, "fair": 1.0, "new": 9.0}).write()
    report = check(tmp_path / "b", tmp_path / "a")
    assert report.exit_code == 0
    assert [(cell.label, cell.n) for cell in report.cells] == [("good", 5), ("fair", 5)]


def test_nothing_compared_never_passes(tmp_path: Path) -> None:
    (tmp_path / "empty" / "records").mkdir(parents=True)
    FakeSweep(tmp_path / "a").write()
    assert check(tmp_path / "a", tmp_path / "empty").exit_code == 3
    assert check(tmp_path / "empty", tmp_path / "a").exit_code == 3
    for name in ("one", "other"):
        FakeSweep(tmp_path / name, repeats=1).write()
    report = check(tmp_path / "one", tmp_path / "other")
    assert report.exit_code == 3
    assert "at least two repeats" in report.cells[0].reason


def test_a_cell_that_the_baseline_never_had_a_value_for_is_skipped(tmp_path: Path) -> None:
    for name in ("a", "b"):
        FakeSweep(tmp_path / name, constant=frozenset({"fair"})).write()
    report = check(tmp_path / "a", tmp_path / "b")
    assert verdicts(report)["fair livec"] == "skipped"
    assert report.exit_code == 0
    only = [cell for cell in report.cells if cell.verdict == "skipped"]
    nothing = CheckReport("a", "b", "srcc", 0.005, 0.95, None, tuple(only))
    assert nothing.exit_code == 3


def test_every_method_against_one_of_the_baseline(tmp_path: Path) -> None:
    FakeSweep(tmp_path / "a").write()
    FakeSweep(tmp_path / "b", noise={"good": 0.5, "fair": 1.0, "new": 0.3}).write()
    report = check(tmp_path / "b", tmp_path / "a", reference="good")
    assert verdicts(report) == {
        "good livec": "ok",
        "fair livec": "regression",
        "new livec": "improved",
        "good koniq10k": "ok",
        "fair koniq10k": "regression",
        "new koniq10k": "improved",
    }
    with pytest.raises(UsageError, match="Did you mean 'good'"):
        check(tmp_path / "b", tmp_path / "a", reference="god")


def test_a_new_metric_needs_predictions_only(tmp_path: Path) -> None:
    store = FakeSweep(tmp_path / "a").write()
    FakeSweep(tmp_path / "b", noise={"good": 1.5, "fair": 1.0}).write()
    report = check(tmp_path / "b", tmp_path / "a", metric="krcc")
    assert verdicts(report)["good livec"] == "regression"
    path, _ = baseline.save(store, "x", tmp_path)
    report = check(tmp_path / "b", path, metric="krcc")
    assert report.exit_code == 3
    assert "no value of this metric" in report.cells[0].reason


def test_a_renamed_protocol_is_still_paired(tmp_path: Path) -> None:
    FakeSweep(tmp_path / "a").write()
    FakeSweep(tmp_path / "b", protocol="renamed").write()
    assert check(tmp_path / "b", tmp_path / "a").exit_code == 0
    assert check(tmp_path / "b", tmp_path / "a", protocol="few_shot").exit_code == 3
    with pytest.raises(UsageError, match=r"unknown protocol of .* 'few_shots'\. Did you mean"):
        check(tmp_path / "b", tmp_path / "a", protocol="few_shots")


def test_repeats_on_one_fixed_split_are_kept_apart(tmp_path: Path) -> None:
    runs = load(FakeSweep(tmp_path / "a", datasets=("livec",)).write())
    fixed = runs.assign(split_digest="the official one")
    found = pair(fixed, fixed, "srcc")
    assert [len(item.old) for item in found] == [10, 10]


def test_files_escape_what_they_quote(tmp_path: Path) -> None:
    bad = "<script>|`*_[x](y)\x00\n&"
    key = (bad, bad, bad, bad, "50", "last")
    item = PairedRuns(key, bad, (0.8, 0.81), (0.7, 0.7), SplitSizes(100, 20), (bad,), 0, 3)
    cells = judge([item, pairs([0.5], [0.5])], "srcc")
    report = CheckReport("new", bad, "srcc", 0.005, 0.95, None, cells)
    json_path, xml_path, md_path = write(report, tmp_path)
    value = json.loads(json_path.read_text())
    assert value["exit_code"] == report.exit_code
    assert value["cells"][1]["low"] is None
    root = ElementTree.parse(xml_path).getroot()
    assert root.attrib["tests"] == "2"
    names = [case.attrib["classname"] for case in root.iter("testcase")]
    assert names[0].startswith("<script>|`")
    lines = md_path.read_text().splitlines()
    row = next(line for line in lines if "script" in line and line.startswith("|"))
    assert "\\<script\\>\\|\\`\\*\\_\\[x\\](y)" in row
    assert "<script>" not in row
    bars = [line.replace("\\|", "").count("|") for line in lines if line.startswith("|")]
    assert len(set(bars)) == 1


def test_junit_counts_failures_and_errors(tmp_path: Path) -> None:
    FakeSweep(tmp_path / "a", noise={"good": 0.5, "fair": 1.0, "third": 1.0}).write()
    FakeSweep(tmp_path / "b", noise={"good": 1.5, "fair": 1.0}).write()
    write(check(tmp_path / "b", tmp_path / "a"), tmp_path / "out")
    suite = ElementTree.parse(tmp_path / "out" / "check.xml").getroot().find("testsuite")
    assert suite is not None
    counts = {key: suite.attrib[key] for key in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "6", "failures": "2", "errors": "2", "skipped": "0"}


def test_the_command_and_its_exit_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    FakeSweep(tmp_path / "results").write()
    FakeSweep(tmp_path / "worse", noise={"good": 1.5, "fair": 1.0}).write()
    FakeSweep(tmp_path / "less", repeats=9).write()
    assert run_cli("baseline", "save", "main").returncode == 0
    ended = run_cli("check", "results", "--against", "main")
    assert ended.returncode == 0
    assert "no regression (4 cells)" in ended.text
    assert Path("results/check/check.md").exists()
    ended = run_cli("check", "worse", "--against", "main", "--out", "out")
    assert ended.returncode == 1
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "check.json",
        "check.md",
        "check.xml",
    ]
    assert run_cli("check", "less", "--against", "main").returncode == 3
    assert run_cli("check", "less", "--against", "less", "--metric", "x").returncode == 2
    assert run_cli("check", "none", "--against", "main").returncode == 2
    assert run_cli("check", "less", "--against", "none").returncode == 2
    assert run_cli("check", "less", "--against", "main", "--tolerance", -1).returncode == 2
    assert run_cli("check", "less").returncode == 2
    (tmp_path / "worse" / "protocols" / "few_shot.json").write_text("broken")
    assert run_cli("check", "worse", "--against", "main").returncode == 3


def test_a_broken_record_is_named(tmp_path: Path) -> None:
    FakeSweep(tmp_path / "a").write()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    path = next((tmp_path / "b").glob("records/*/*/*.json"))
    path.write_text("{")
    ended = run_cli("check", tmp_path / "b", "--against", tmp_path / "a")
    assert ended.returncode == 3
    assert path.name in ended.text.replace("\n", "")
