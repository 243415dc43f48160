"""A misspelt name, wherever one can be written, is an error that names the one that was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Bench, run_cli
from tests.fake_results import FakeSweep

PAIR = ("--set", "promptiqa.checkpoint_sets=[toi#official]")
HEAD = "datasets: [toy]\nmethods: [toy_linear]\nrepeats: 1\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("labels: {toi: [10]}", "unknown training dataset of this protocol 'toi'. Did you mean"),
        ("ratios: {toi: [0.2]}", "unknown training dataset of this protocol 'toi'. Did you mean"),
        ("settings: {epoch: 5}", "no method has a setting 'epoch'. Did you mean 'epochs'?"),
        ("settings: {toy_linear.epoch: 5}", "no method has a setting 'toy_linear.epoch'"),
        ("settings: {toy_liner.epochs: 5}", "unknown method 'toy_liner'. Did you mean"),
        ("parts: {Real: [toi]}", "unknown dataset 'toi'. Did you mean 'toy'?"),
        ("published: grmp_tabel1", "Did you mean 'grmp_table1'?"),
        ("metrics: [srcc, srcc]", "metrics: 'srcc' is given twice"),
        ("labels: [10, 10]", "labels: '10' is given twice"),
        ("set_for: {toi: {epochs: 1}}", "unknown dataset 'toi'. Did you mean 'toy'?"),
    ],
)
def test_in_a_protocol_with_its_line(bench: Bench, line: str, expected: str) -> None:
    result = bench("plan", bench.protocol(HEAD + line + "\n"))
    assert result.returncode == 2, result.text
    assert expected in result.stderr
    assert "toy_protocol.yaml:4: " in result.stderr


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--set", "metrics=[srcc,srcc]"], "metrics: 'srcc' is given twice"),
        (["--set", "published=grmp_tabel1"], "Did you mean 'grmp_table1'?"),
        (
            ["--methods", "scores:mine", "--set", "scores.trained_on=[Toy]"],
            "scores:mine.trained_on: unknown dataset 'Toy'. Did you mean 'toy'?",
        ),
        (
            ["--methods", "grmp", "--set", "backbone=tiny", "--set", "grmp.corpora=[toi]"],
            "grmp.corpora: unknown dataset 'toi'. Did you mean 'toy'?",
        ),
        (
            ["--methods", "promptiqa", "--set", "backbone=tiny", *PAIR],
            "promptiqa.checkpoint_sets: unknown dataset 'toi'. Did you mean 'toy'?",
        ),
        (["--methods", "oracle:toi"], "oracle:toi.dataset: unknown dataset 'toi'."),
    ],
)
def test_on_the_command_line(bench: Bench, options: list[str], expected: str) -> None:
    (bench.folder / "scores").mkdir()
    (bench.folder / "scores" / "mine.csv").write_text("image,score\n000.png,1\n")
    result = bench("plan", bench.protocol(HEAD), *options)
    assert result.returncode == 2, result.text
    assert expected in result.stderr


def test_right_names_pass(bench: Bench) -> None:
    lines = "labels: {toy: [10], demo_authentic: [50]}\nparts: {Real: [toy]}\n"
    assert bench("plan", bench.protocol(HEAD + lines)).returncode == 0


@pytest.mark.parametrize("key", ["labels", "ratios"])
def test_budgets_of_an_option_name_datasets_that_exist(bench: Bench, key: str) -> None:
    """A misspelt name would mean all labels of the dataset that was meant."""
    path = bench.protocol("datasets: [toy]\nmethods: [toy_linear]\n", "budgets")
    budgets = "10" if key == "labels" else "0.5"
    ended = bench("plan", path, "--datasets", "toy", "--set", f"{key}={{toyy: [{budgets}]}}")
    assert (ended.returncode, "unknown dataset 'toyy'" in ended.stderr) == (2, True), ended.text


@pytest.mark.parametrize("command", ["compare", "latex", "check", "validate", "report"])
def test_a_data_root_that_is_not_there_is_named(command: str, tmp_path: Path) -> None:
    results = tmp_path / "r"
    FakeSweep(results, repeats=1).write()
    more = ("--against", results) if command == "check" else ()
    done = run_cli(command, results, *more, "--data-root", tmp_path / "typo")
    assert done.returncode == 2
    assert f"--data-root: there is no folder '{tmp_path / 'typo'}'" in done.stderr
