"""A disk that fills up: one clear error, nothing lost, and the same command goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bench.store import Store
from bench.util.atomic import replacing
from bench.util.errors import StoreError
from tests.conftest import Bench
from tests.fake_results import FakeSweep

PROTOCOL = """
datasets: [toy]
labels: [10, 20]
repeats: 4
methods: [toy_linear, toy_luminance]
"""
RUNS = 16


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A file system of a given size (again: of another size). Needs root; skipped without."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = False

    def mount(size: str) -> Path:
        nonlocal mounted
        options = f"remount,size={size}" if mounted else f"size={size}"
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("needs to mount a tmpfs, which this user may not")
        mounted = True
        return folder

    yield mount
    if mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def written(results: Path) -> dict[Path, int]:
    """Record files and when they were written."""
    return {path: path.stat().st_mtime_ns for path in results.glob("records/*/*/*.json")}


def test_a_full_disk_is_one_error_and_the_same_command_goes_on(
    bench: Bench, small_disk: Callable[[str], Path]
) -> None:
    results = small_disk("84k") / "results"
    path = bench.protocol(PROTOCOL)
    arguments = ("run", path, "--device", "cpu", "--jobs", 2, "--results", results)
    result = bench(*arguments)
    assert result.returncode == 4
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith(f"error: cannot write '{results}")
    assert "No space left on device" in result.stderr
    assert "FAILED" not in result.stdout
    before = written(results)
    assert 0 < len(before) < RUNS
    store = Store(results)
    assert {record.status for record in store.records()} == {"done"}
    assert all(len(store.predictions(record.spec)) == 12 for record in store.records())
    assert store.problems == []
    assert not list(results.rglob("*.tmp"))

    small_disk("32m")
    result = bench(*arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    after = written(results)
    assert len(after) == RUNS
    assert before.items() <= after.items()


def test_a_report_on_a_full_disk_is_one_error(
    bench: Bench, small_disk: Callable[[str], Path]
) -> None:
    FakeSweep(bench.results, datasets=["livec"], repeats=2).write()
    out = small_disk("16k") / "report"
    result = bench("report", bench.results, "--out", out)
    assert result.returncode == 4
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith(f"error: cannot write '{out.parent}")


def run_limited(bench: Bench, path: Path, size: int) -> subprocess.CompletedProcess[str]:
    """`bench run` where the system refuses bytes of a file beyond `size`: any user may try it."""
    import resource

    command = [sys.executable, "-m", "bench", "run", str(path), "--device", "cpu",
               "--results", str(bench.results)]  # fmt: skip
    return subprocess.run(
        command, cwd=bench.folder, env=bench.environment(PYTHONDONTWRITEBYTECODE="1"), text=True,
        capture_output=True, check=False, timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX limits")
def test_a_file_that_may_not_grow_is_one_error(bench: Bench) -> None:
    path = bench.protocol("datasets: [toy]\nmethods: [toy_luminance]\nrepeats: 1\n")
    result = run_limited(bench, path, 2_000)
    assert result.returncode == 4, result.stdout + result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "cannot be written" in result.stderr or "cannot write" in result.stderr
    store = Store(bench.results)
    assert list(store.records()) == []
    assert store.problems == []
    assert not list(bench.results.rglob("*.tmp"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX limits")
def test_a_checkpoint_that_does_not_fit_is_no_failure(bench: Bench) -> None:
    """Pre-trainings write through libraries whose errors are not the system's."""
    path = bench.protocol("datasets: [toy2]\nmethods: [toy_heavy]\nlabels: [10]\nrepeats: 1\n")
    result = run_limited(bench, path, 500_000)
    assert result.returncode == 4, result.stdout + result.stderr
    expected = f"error: cannot write '{bench.results / 'pretrained'}': File too large"
    assert result.stderr.splitlines() == [expected]
    assert list(Store(bench.results).records()) == []
    result = bench.run(path)
    assert result.returncode == 0, result.stdout + result.stderr


def by_torch(path: Path) -> None:
    with path.open("wb") as stream:
        torch.save({"a": torch.zeros(5000)}, stream)


def by_safetensors(path: Path) -> None:
    save_file({"a": torch.zeros(5000)}, path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX limits")
@pytest.mark.parametrize("write", [by_torch, by_safetensors])
def test_libraries_errors_of_a_full_disk_are_known(
    write: Callable[[Path], None], tmp_path: Path
) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, before[1]))
    try:
        with (
            pytest.raises(StoreError, match=r"cannot write '.*state': File too large"),
            replacing(tmp_path / "state") as temporary,
        ):
            write(temporary)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
