"""Exits, encodings and numbers: what the command line says where something is odd."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.store import Store
from tests.conftest import Bench, run_cli
from tests.fake_results import FakeSweep


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    FakeSweep(tmp_path / "r", repeats=4, protocol="实验").write()
    return tmp_path / "r"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_output_in_any_encoding(bench: Bench, sweep: Path, encoding: str) -> None:
    environment = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C"}
    for arguments in (
        ("compare", sweep),
        ("check", sweep, "--against", sweep, "--out", sweep / "c"),
    ):
        ended = bench.process(*arguments, **environment)
        assert (ended.returncode, "Traceback" in ended.text) == (0, False), ended.text


def test_a_fault_of_the_program_has_an_exit_code_of_its_own(
    sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.analysis.check.check", lambda *given, **named: 1 / 0)
    ended = run_cli("check", sweep, "--against", sweep)
    assert ended.returncode == 70  # 1 would mean a regression
    assert "ZeroDivisionError" in ended.stderr
    assert "fault of iqa-bench" in ended.stderr


def test_a_check_at_80_columns_prints_its_numbers(sweep: Path) -> None:
    FakeSweep(sweep.parent / "n", noise={"good": 0.6}, repeats=4, protocol="实验").write()
    ended = run_cli("check", sweep.parent / "n", "--against", sweep, environment={"COLUMNS": "80"})
    assert "…" not in ended.stdout
    report = json.loads((sweep.parent / "n" / "check" / "check.json").read_text())
    for cell in report["cells"]:
        if cell["old"] is not None:
            assert f"{cell['old']:.4f}" in ended.stdout
    assert "no run of this cell" in ended.stdout


@pytest.mark.parametrize("tolerance", ["nan", "inf", "-1"])
def test_a_tolerance_is_a_finite_number(sweep: Path, tolerance: str) -> None:
    ended = run_cli("check", sweep, "--against", sweep, "--tolerance", tolerance)
    assert (ended.returncode, "finite number" in ended.stderr) == (2, True), ended.text


@pytest.mark.parametrize("limit", [".nan", "-5", "0", ".inf"])
def test_a_time_limit_is_a_time(bench: Bench, limit: str) -> None:
    path = bench.protocol("datasets: [toy]\nmethods: [toy_linear]\n")
    ended = bench("plan", path, "--set", f"time_limit={limit}")
    assert (ended.returncode, "not a duration" in ended.stderr) == (2, True), ended.text


def test_settings_are_finite(bench: Bench) -> None:
    path = bench.protocol("datasets: [toy]\nmethods: [toy_linear]\n")
    for value in (".nan", ".inf"):
        assert bench("plan", path, "--set", f"rate={value}").returncode == 2


def test_exports_are_what_they_are_called(sweep: Path) -> None:
    import pandas as pd

    out = sweep / "o.parquet"
    assert run_cli("export", sweep, out).returncode == 0
    assert len(pd.read_parquet(out)) == 16
    for arguments, code, expected in [
        ((sweep, sweep / "o.json", "--format", "csv"), 2, "is named as json and asked for as csv"),
        ((sweep, out, "--selection", "foo"), 2, "unknown selection 'foo'"),
        ((sweep / "report-of-nothing", out), 2, "no results folder"),
        ((sweep / "records", out), 4, "holds no results to export"),
    ]:
        ended = run_cli("export", *arguments)
        assert (ended.returncode, expected in ended.stderr) == (code, True), ended.text


def test_data_roots_are_honoured(bench: Bench) -> None:
    path = bench.protocol("datasets: [toy]\nlabels: [10]\nrepeats: 1\nmethods: ['oracle:toy']\n")
    own = ("--data-root", bench.data)
    assert bench.run(path, *own, IQA_DATA="").returncode == 0
    record = next(Store(bench.results).records())
    assert record.value("srcc") == pytest.approx(1)
    for command in (("validate", bench.results), ("plan", path), ("report", bench.results)):
        ended = bench(*command, "--data-root", "/typo")
        assert (ended.returncode, "no folder '/typo'" in ended.stderr) == (2, True), ended.text
    elsewhere = bench.folder / "empty"
    elsewhere.mkdir()
    unchecked = bench("validate", bench.results, "--data-root", elsewhere)
    assert (unchecked.returncode, "not checked" in unchecked.stdout) == (3, True), unchecked.text
    assert bench("validate", bench.results, *own).returncode == 0


def database(bench: Bench, name: str, images: list[str], root: str = "mine") -> Path:
    folder = bench.folder / "data" / "mine"
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["image,score"]
    for index, image in enumerate(images):
        Image.fromarray(np.full((16, 16, 3), 20 + index, np.uint8)).save(folder / image)
        lines.append(f"{image},{1 + index % 5}")
    (folder / "scores.csv").write_text("\n".join(lines) + "\n")
    (folder.parent / "iqa-data.yaml").write_text(
        f"databases:\n  '{name}': {{root: {root}, table: scores.csv, range: [1, 5]}}\n"
    )
    return folder.parent


@pytest.mark.parametrize("name", ["demo", "a,b", "mi:ne", "a+b", "mean", "own", "a b"])
def test_names_that_mean_something_else_are_refused(bench: Bench, name: str) -> None:
    root = database(bench, name, ["a.png", "b.png"])
    ended = bench("data", "status", "--data-root", root)
    assert (ended.returncode, f"cannot be called '{name}'" in ended.stderr) == (2, True), ended.text


def test_a_colon_in_a_file_name_leaves_nothing(bench: Bench) -> None:
    names = [f"shot 12:{index:02}.png" for index in range(20)]
    root = database(bench, "mine", names)
    ended = bench("data", "verify", "mine", "--data-root", root)
    assert "leaves the database" not in ended.text
    assert ended.returncode == 0, ended.text


def test_the_home_folder_is_filled_in(bench: Bench) -> None:
    database(bench, "mine", [f"{index}.png" for index in range(20)], root="~/data/mine")
    home = {"HOME": str(bench.folder)}
    ended = bench("data", "verify", "mine", "--data-root", bench.folder / "data", **home)
    assert ended.returncode == 0, ended.text


def test_too_few_images_are_said_before_anything_runs(bench: Bench) -> None:
    root = database(bench, "mine", [f"{index}.png" for index in range(5)])
    path = bench.protocol("datasets: [mine]\nmethods: [toy_linear]\n")
    ended = bench.run(path, "--data-root", root)
    assert (ended.returncode, "1 images to test on" in ended.stderr) == (2, True), ended.text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["empty"], "has nothing to run"),
        (["full", "--methods", ""], "--methods: an empty value; leave the option out"),
        (["full", "--datasets", " , "], "an empty list of names"),
        (["full", "--repeats", "0"], "Invalid value for"),
        (["full", "--repeats", "99999999"], "Invalid value for"),
        (["full", "--jobs", "0"], "Invalid value for"),
        (["."], "unknown protocol '.'"),
    ],
)
def test_nothing_to_do_is_an_error(bench: Bench, arguments: list[str], expected: str) -> None:
    bench.protocol("datasets: []\nmethods: [toy_linear]\n", "empty")
    bench.protocol("datasets: [toy]\nmethods: [toy_linear]\n", "full")
    named = [f"{arguments[0]}.yaml" if arguments[0] != "." else ".", *arguments[1:]]
    ended = bench("plan", *named)
    assert (ended.returncode, expected in ended.stderr) == (2, True), ended.text


def test_plain_progress_names_budget_and_repeat(bench: Bench) -> None:
    path = bench.protocol("datasets: [toy]\nlabels: [10, 20]\nrepeats: 2\nmethods: [label_mean]\n")
    lines = [line for line in bench.run(path).stdout.splitlines() if line.startswith("[")]
    assert len({line.partition("] ")[2] for line in lines}) == 4
    assert any("10 #1" in line for line in lines)


def test_a_plan_does_not_import_torch(bench: Bench) -> None:
    """With stored timings it works out how long the rest takes, which asks for the slots."""
    path = bench.protocol("datasets: [toy]\nlabels: [10]\nrepeats: 2\nmethods: [label_mean]\n")
    bench.run(path, "--repeats", "1")
    code = (
        "import sys; from bench.cli import main\n"
        f"sys.argv = ['bench', 'plan', '{path}', '--results', '{bench.results}']\n"
        "try: main()\nfinally: print('torch' in sys.modules)"
    )
    import subprocess

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=bench.folder,
        env=bench.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "no stored timings" not in done.stdout
    assert done.stdout.split()[-1] == "False", done.stdout + done.stderr
