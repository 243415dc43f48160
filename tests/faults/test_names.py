"""Labels of every script, length and likeness: each has files of its own, and finds them again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench.store import Store
from bench.store.manifest import path_of, read_all
from bench.util.filenames import readable
from tests.conftest import run_cli
from tests.fake_results import FakeSweep

ALIKE = [("实验一", "实验二"), ("a/b", "a-b"), ("x" * 300, "x" * 301)]


def sweep(root: Path, name: str, **more: object) -> Store:
    return FakeSweep(root, datasets=("livec",), repeats=2, protocol=name, **more).write()


@pytest.mark.parametrize("names", ALIKE)
def test_protocols_that_look_alike_stay_apart(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        sweep(tmp_path / "r", name)
    found = {item.protocol.name: len(item.cells) for item in read_all(Store(tmp_path / "r"))}
    assert found == dict.fromkeys(names, 2)
    reported = run_cli("report", tmp_path / "r")
    assert reported.returncode == 0, reported.text
    merged = run_cli("merge", tmp_path / "r", "--into", tmp_path / "m")
    assert merged.returncode == 0, merged.text
    assert {item.protocol.name for item in read_all(Store(tmp_path / "m"))} == set(names)


@pytest.mark.parametrize("names", ALIKE)
def test_baselines_that_look_alike_stay_apart(tmp_path: Path, names: tuple[str, str]) -> None:
    for name, noise in zip(names, (0.5, 1.0), strict=True):
        results = tmp_path / f"r{noise}"
        FakeSweep(results, noise={"good": noise}, datasets=("livec",)).write()
        saved = run_cli("baseline", "save", name, "--results", results, folder=tmp_path)
        assert saved.returncode == 0, saved.text
    assert len(list((tmp_path / "baselines").iterdir())) == 2
    same = run_cli("check", tmp_path / "r0.5", "--against", names[0], folder=tmp_path)
    assert (same.returncode, "no regression" in same.stdout) == (0, True), same.text
    other = run_cli("check", tmp_path / "r0.5", "--against", names[1], folder=tmp_path)
    assert "better" in other.stdout


def test_files_of_older_versions_are_found_again(tmp_path: Path) -> None:
    name = "few shot"
    store = sweep(tmp_path / "r", name)
    written = path_of(store, name)
    older = written.with_name(f"{readable(name)}.json")
    written.rename(older)
    assert path_of(store, name) == older
    assert path_of(store, "few/shot") != older  # it belongs to another protocol
    saved = run_cli("baseline", "save", name, "--results", tmp_path / "r", folder=tmp_path)
    path = Path(tmp_path / saved.stdout.partition(": ")[0])
    path.rename(path.with_name("few-shot.json"))
    checked = run_cli("check", tmp_path / "r", "--against", name, folder=tmp_path)
    assert checked.returncode == 0, checked.text


def test_a_copied_manifest_doubles_nothing(tmp_path: Path) -> None:
    store = sweep(tmp_path / "r", "few_shot")
    path = path_of(store, "few_shot")
    shutil.copy(path, path.with_name("copy.json"))
    assert run_cli("report", tmp_path / "r").returncode == 0
    assert len(read_all(store)) == 1
