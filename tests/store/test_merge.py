"""Results folders brought together."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from bench.store import Store
from bench.store.manifest import read_all
from bench.store.merge import merge
from bench.store.table import load
from bench.util.errors import UsageError
from tests.conftest import run_cli
from tests.fake_results import FakeSweep


def files(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def change_record(root: Path, change: Callable[[dict[str, object]], None]) -> Path:
    path = min(root.glob("records/livec/good/*.json"))
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
    return path


def test_two_halves_make_a_whole(tmp_path: Path) -> None:
    FakeSweep(tmp_path / "a", datasets=("livec",)).write()
    FakeSweep(tmp_path / "b", datasets=("koniq10k",)).write()
    for name, folder in (("a", "pretrained"), ("b", "scores/livec")):
        path = tmp_path / name / folder / "state-1.bin"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"weights")
    merged = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    assert (merged.conflicts, merged.problems) == ([], [])
    assert merged.copied == 82
    runs = load(tmp_path / "c")
    assert len(runs) == 40
    assert (runs["status"] == "done").all()
    assert len(read_all(Store(tmp_path / "c"))) == 1
    whole = files(tmp_path / "c")
    for name in ("a", "b"):
        own = files(tmp_path / name)
        assert all(whole[key] == own[key] for key in own if not key.startswith("protocols"))


def test_merging_again_changes_nothing(tmp_path: Path) -> None:
    FakeSweep(tmp_path / "a").write()
    assert merge([tmp_path / "a"], tmp_path / "c").copied == 80
    before = files(tmp_path / "c")
    again = merge([tmp_path / "a", tmp_path / "c"], tmp_path / "c")
    assert (again.copied, again.same) == (0, 40)
    assert files(tmp_path / "c") == before


def test_when_and_where_a_run_was_computed_is_no_conflict(tmp_path: Path) -> None:
    FakeSweep(tmp_path / "a").write()
    FakeSweep(tmp_path / "b", commit="another").write()

    def slower(value: dict[str, object]) -> None:
        value.update(seconds={"fit": 9.0}, created="2020-01-01T00:00:00+00:00", peak_memory_mb=1.5)

    change_record(tmp_path / "b", slower)
    path = min((tmp_path / "b").glob("records/*/*/*.parquet"))
    pd.read_parquet(path).to_parquet(path, index=False, compression="gzip")
    merged = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    assert merged.conflicts == []
    assert files(tmp_path / "c") == files(tmp_path / "a")


def other_value(root: Path) -> Path:
    def change(value: dict[str, object]) -> None:
        value["metrics"] = {"last": {"srcc": 0.123}}

    return change_record(root, change)


def other_predictions(root: Path) -> Path:
    path = min(root.glob("records/livec/good/*.parquet"))
    pd.read_parquet(path).assign(prediction=0.0).to_parquet(path, index=False)
    return path


def other_state(root: Path) -> Path:
    (root / "pretrained").mkdir()
    (root / "pretrained" / "state-1.safetensors").write_bytes(b"other")
    return root / "pretrained" / "state-1.safetensors"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (other_value, "metrics differ"),
        (other_predictions, "their predictions differ"),
        (other_state, "their contents differ"),
    ],
)
def test_a_conflict_is_named_and_nothing_is_written(
    tmp_path: Path, change: Callable[[Path], Path], reason: str
) -> None:
    for name in ("a", "b", "c"):
        FakeSweep(tmp_path / name, datasets=("livec",)).write()
    for name in ("a", "c"):
        (tmp_path / name / "pretrained").mkdir()
        (tmp_path / name / "pretrained" / "state-1.safetensors").write_bytes(b"one")
    FakeSweep(tmp_path / "b", datasets=("koniq10k",), protocol="more").write()
    changed = change(tmp_path / "b")
    before = files(tmp_path / "c")
    merged = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    assert len(merged.conflicts) == 1
    assert changed.stem in merged.conflicts[0]
    assert str(tmp_path / "c") in merged.conflicts[0]
    assert reason in merged.conflicts[0]
    assert files(tmp_path / "c") == before
    kept = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c", keep_first=True)
    assert kept.conflicts == merged.conflicts
    after = files(tmp_path / "c")
    changed_files = [name for name, content in before.items() if after[name] != content]
    assert changed_files == []
    assert len(load(tmp_path / "c")) == 40


def test_a_failed_run_gives_way_to_a_finished_one(tmp_path: Path) -> None:
    failed = frozenset({("good", 1), ("good", 2)})
    FakeSweep(tmp_path / "a", failed=failed).write()
    FakeSweep(tmp_path / "b", failed=frozenset({("good", 2)})).write()
    FakeSweep(tmp_path / "c", failed=failed).write()
    assert merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c").conflicts == []
    runs = load(tmp_path / "c")
    assert set(runs[runs["status"] == "failed"]["repeat"]) == {2}
    done = next(runs.query("label == 'good' and repeat == 1")["run_id"].items())[1]
    assert list((tmp_path / "c").glob(f"records/*/*/{done}.parquet"))
    assert merge([tmp_path / "a"], tmp_path / "c").copied == 0


def test_of_one_cell_the_one_with_more_repeats_counts(tmp_path: Path) -> None:
    FakeSweep(tmp_path / "a", repeats=3).write()
    FakeSweep(tmp_path / "b", repeats=5).write()
    for order in (("a", "b"), ("b", "a")):
        into = tmp_path / "".join(order)
        assert merge([tmp_path / name for name in order], into).conflicts == []
        assert len(load(into)) == 20


def test_other_settings_under_one_label_are_a_conflict(tmp_path: Path) -> None:
    FakeSweep(tmp_path / "a", datasets=("livec",)).write()
    FakeSweep(tmp_path / "b", datasets=("livec",), settings={"rate": 2}).write()
    merged = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    assert merged.conflicts == [
        f"protocol few_shot: '{name}' on livec (10) has other settings or splits in {tmp_path}/b"
        for name in ("good", "fair")
    ]
    assert not (tmp_path / "c").exists()


def test_what_cannot_be_read_is_left_behind_and_named(tmp_path: Path) -> None:
    FakeSweep(tmp_path / "a").write()
    good = FakeSweep(tmp_path / "b").write()
    broken = min((tmp_path / "a").glob("records/*/*/*.json"))
    broken.write_text("{")
    moved = max((tmp_path / "a").glob("records/livec/good/*.json"))
    moved.rename(moved.parents[1] / "fair" / moved.name)
    merged = merge([tmp_path / "a"], tmp_path / "c")
    misplaced = moved.parents[1] / "fair" / moved.name
    assert f"{misplaced}: does not lie where its content says" in merged.problems
    assert any(str(broken) in problem for problem in merged.problems)
    assert load(tmp_path / "c")["status"].value_counts()["missing"] == 2
    assert merge([good.root], tmp_path / "c").copied == 4
    assert (load(tmp_path / "c")["status"] == "done").all()


def test_predictions_and_features_that_one_side_lacks_are_added(tmp_path: Path) -> None:
    for name in ("a", "c"):
        FakeSweep(tmp_path / name).write()
    path = min((tmp_path / "c").glob("records/*/*/*.parquet"))
    path.unlink()
    features = (tmp_path / "a" / path.relative_to(tmp_path / "c")).with_suffix(".npy")
    features.write_bytes(b"features")
    assert merge([tmp_path / "a"], tmp_path / "c").copied == 2
    assert path.with_suffix(".npy").read_bytes() == b"features"
    features.write_bytes(b"others")
    assert "their features differ" in merge([tmp_path / "a"], tmp_path / "c").conflicts[0]


def test_the_command(tmp_path: Path) -> None:
    FakeSweep(tmp_path / "a").write()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    other_value(tmp_path / "b")
    a, b, c = (tmp_path / name for name in "abc")
    assert run_cli("merge", a, "--into", c).returncode == 0
    ended = run_cli("merge", a, b, "--into", c)
    assert (ended.returncode, "nothing was copied" in ended.text) == (1, True)
    assert run_cli("merge", a, b, "--into", c, "--keep-first").returncode == 1
    assert run_cli("merge", tmp_path / "none", "--into", c).returncode == 2
    with pytest.raises(UsageError, match="is not a results folder"):
        merge([tmp_path / "none"], c)


def test_one_pretraining_on_two_machines_is_no_conflict(tmp_path: Path) -> None:
    note = {"spec": {"method": "grmp"}, "seconds": 56.2, "peak_memory_mb": 9.0}
    note |= {"environment": {"commit": "a"}, "curve": [{"epoch": 1, "loss": 0.5, "seconds": 3.0}]}
    again = {**note, "seconds": 138.5, "environment": {"commit": "b"}}
    again["curve"] = [{"epoch": 1, "loss": 0.5, "seconds": 8.0}]
    for name, content in (("a", note), ("b", again)):
        FakeSweep(tmp_path / name).write()
        (tmp_path / name / "pretrained").mkdir()
        (tmp_path / name / "pretrained" / "grmp-1.json").write_text(json.dumps(content))
    assert merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c").conflicts == []
    assert json.loads((tmp_path / "c" / "pretrained" / "grmp-1.json").read_text()) == note
    again["curve"] = [{"epoch": 1, "loss": 0.4, "seconds": 8.0}]
    (tmp_path / "b" / "pretrained" / "grmp-1.json").write_text(json.dumps(again))
    (conflict,) = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "d").conflicts
    assert conflict.endswith("their contents differ")
