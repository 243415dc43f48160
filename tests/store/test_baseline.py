"""A result set as one small file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.store import baseline
from bench.store import table as runs_table
from bench.util.errors import StoreError, UsageError
from tests.conftest import run_cli
from tests.fake_results import FakeSweep


def test_a_file_holds_what_a_check_needs(tmp_path: Path) -> None:
    store = FakeSweep(
        tmp_path / "r", failed=frozenset({("good", 1)}), absent=frozenset({("fair", 2)})
    ).write()
    path, kept = baseline.save(store, "main", tmp_path)
    assert path == tmp_path / "main.json"
    assert [cell.missing for cell in kept.cells] == [1, 1, 1, 1]
    read, runs = baseline.read(path), runs_table.load(store)
    keys = ["label", "test", "repeat"]
    read, runs = (frame[frame["status"] == "done"].sort_values(keys) for frame in (read, runs))
    for column in [*runs_table.CELL, *runs_table.SPLIT, "protocol", "n_pool", "n_test"]:
        assert read[column].tolist() == runs[column].tolist(), column
    for metric in ("srcc", "plcc", "rmse"):
        np.testing.assert_allclose(read[metric], runs[metric].astype(float), atol=5e-7)


def test_equal_results_give_equal_bytes(tmp_path: Path) -> None:
    paths = []
    for name in ("one", "two"):
        store = FakeSweep(tmp_path / name).write()
        for record in list(store.records()):
            store.write(record.model_copy(update={"created": "2026-01-01T00:00:00+00:00"}))
        paths.append(baseline.save(store, "same", tmp_path / f"kept_{name}")[0])
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_file_is_small_and_has_a_line_a_cell(tmp_path: Path) -> None:
    methods = {f"method_{index}": 0.5 for index in range(5)}
    names = tuple(f"set_{index}" for index in range(4))
    store = FakeSweep(tmp_path / "r", noise=methods, datasets=names).write()
    path, _ = baseline.save(store, "main", tmp_path)
    assert path.stat().st_size < 60 * 200 + 5_000  # 200 runs
    lines = path.read_text().splitlines()
    assert sum('"label":' in line for line in lines) == 20
    assert json.loads(path.read_text())["commits"] == ["c0ffee"]


def test_undefined_values_stay_undefined(tmp_path: Path) -> None:
    store = FakeSweep(tmp_path / "r", constant=frozenset({"fair"})).write()
    path, _ = baseline.save(store, "main", tmp_path)
    read = baseline.read(path)
    assert read[read["label"] == "fair"]["srcc"].isna().all()
    assert read[read["label"] == "good"]["srcc"].notna().all()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema_version": 9}, "schema 9 is newer"),
        ({"surprise": 1}, "unknown key .surprise."),
        ({"metrics": ["srcc"]}, "fits neither metrics nor splits"),
        ({"splits": []}, "fits neither metrics nor splits"),
    ],
)
def test_a_file_that_is_no_baseline_is_refused(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    path, _ = baseline.save(FakeSweep(tmp_path / "r").write(), "main", tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UsageError, match=reason):
        baseline.read(path)
    for text in ("", "[]", "null", "{"):
        path.write_text(text)
        with pytest.raises(UsageError, match="is not a baseline"):
            baseline.read(path)


def test_nothing_finished_is_no_baseline(tmp_path: Path) -> None:
    every = frozenset({(method, k) for method in ("good", "fair") for k in range(10)})
    store = FakeSweep(tmp_path / "r", failed=every).write()
    with pytest.raises(StoreError, match="no finished run"):
        baseline.save(store, "main", tmp_path)
    ended = run_cli("baseline", "save", "main", "--results", tmp_path / "r")
    assert ended.returncode == 3


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    FakeSweep(tmp_path / "results", failed=frozenset({("good", 1)})).write()
    ended = run_cli("baseline", "save", "v1/../x")
    assert ended.returncode == 0
    assert "38 runs of 4 cells" in ended.text
    assert "2 runs were missing or failed" in ended.text
    (path,) = (tmp_path / "baselines").iterdir()
    assert path.name.startswith("v1-..-x~")
    assert baseline.find("v1/../x") == path.relative_to(tmp_path)
    with pytest.raises(UsageError, match=r"no results folder.*Did you mean 'v1/../x'"):
        baseline.find("v1-.-x")
