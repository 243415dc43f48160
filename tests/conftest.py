"""A toy world for driving the harness: a small database of the user's own and quick methods."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from bench import registry
from bench.cli import main
from tests.warm.stand_in import Warm

TOY_METHODS = Path(__file__).parent / "toy"
# No property is about time: a machine that others use too may be slow at any moment.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(scope="session")
def toy_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with two databases, `toy` (60 images) and `toy2` (40), brighter = better."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    lines = ["databases:"]
    for name, count in (("toy", 60), ("toy2", 40)):
        folder = root / name
        folder.mkdir()
        with (folder / "scores.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["image", "score"])
            for index in range(count):
                level = rng.integers(20, 236)
                pixels = np.clip(rng.normal(level, 12, (16, 16, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{index:03}.png")
                score = np.clip(1 + 4 * level / 255 + rng.normal(0, 0.3), 1, 5)
                writer.writerow([f"{index:03}.png", f"{score:.4f}"])
        lines += [f"  {name}:", f"    root: {name}", "    table: scores.csv", "    range: [1, 5]"]
    (root / "iqa-data.yaml").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(autouse=True)
def _toy_methods(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every test sees the toy methods, here and in worker processes."""
    monkeypatch.setenv(registry.OWN_FOLDERS, str(TOY_METHODS))
    registry.entries.cache_clear()


@pytest.fixture(scope="session")
def _warm() -> Iterator[Warm]:
    with tempfile.TemporaryDirectory(prefix="iqa-warm-") as folder:
        warm = Warm(Path(folder))
        yield warm
        warm.close()


@pytest.fixture(autouse=True)
def _processes_start_warm(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, _warm: Warm
) -> None:
    """Workers and methods are forked from a server, unless a test is marked `cold`."""
    if request.node.get_closest_marker("cold") is None:
        _warm.put_in_place(monkeypatch)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        """Everything that it printed."""
        return self.stdout + self.stderr


WIDTH = "200"
"""Columns of the terminal that commands print for, so that no sentence is broken."""


def run_cli(
    *arguments: object, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> Ended:
    """`bench` in this process, as its entry point runs it: same output, same exit code.

    `folder` is the working folder, `environment` what is added to this process's. Both are as
    before afterwards, and nothing of one command is left to the next. A fault of the program ends
    with 70, its traceback on standard error.
    """
    stdout, stderr = _Captured(), _Captured()
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ, {"COLUMNS": WIDTH, **(environment or {})}))
        stack.enter_context(mock.patch.object(sys, "argv", ["bench", *map(str, arguments)]))
        stack.enter_context(contextlib.redirect_stdout(stdout))
        stack.enter_context(contextlib.redirect_stderr(stderr))
        if folder is not None:
            stack.enter_context(contextlib.chdir(folder))
        stack.enter_context(_own_methods_of_the_environment())
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return Ended(code, stdout.text, stderr.text)


class _Captured(io.TextIOWrapper):
    """A stream as a pipe is: text over bytes, and no terminal."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    @property
    def text(self) -> str:
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode("utf-8")


@contextlib.contextmanager
def _own_methods_of_the_environment() -> Iterator[None]:
    """A process finds its methods once; here each command finds those of its environment."""
    registry.entries.cache_clear()
    try:
        yield
    finally:
        registry.entries.cache_clear()
        for name in [name for name in sys.modules if name.startswith("iqa_bench_own_")]:
            if not Path(str(sys.modules[name].__file__)).is_relative_to(TOY_METHODS):
                del sys.modules[name]


@dataclass
class Bench:
    """The command line in a folder of its own."""

    folder: Path
    data: Path

    @property
    def results(self) -> Path:
        """The results folder that `run` uses."""
        return self.folder / "results"

    def protocol(self, text: str, name: str = "toy_protocol") -> Path:
        """Write a protocol file."""
        path = self.folder / f"{name}.yaml"
        path.write_text(text)
        return path

    def __call__(self, *arguments: object, **environment: str) -> Ended:
        """Run `bench` in this process (`run_cli`); workers are processes of their own."""
        own = {**self.places, **environment}
        return run_cli(*arguments, folder=self.folder, environment=own)

    def run(self, *arguments: object, **environment: str) -> Ended:
        """`bench run` on the CPU into `results`, without a report."""
        return self.run_and_report(*arguments, "--no-report", **environment)

    def run_and_report(self, *arguments: object, **environment: str) -> Ended:
        """`bench run` on the CPU into `results`."""
        return self("run", *arguments, "--device", "cpu", "--results", self.results, **environment)

    def process(self, *arguments: object, **environment: str) -> Ended:
        """Run `bench` in a process of its own, where that is what is tested."""
        done = subprocess.run(
            [sys.executable, "-m", "bench", *map(str, arguments)],
            cwd=self.folder,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    @property
    def places(self) -> dict[str, str]:
        """Where a command finds data and keeps its cache."""
        return {"IQA_DATA": str(self.data), "IQA_BENCH_CACHE": str(self.folder / "cache")}

    def environment(self, **more: str) -> dict[str, str]:
        """The whole environment of a process: data, cache and toy methods in place."""
        return {**os.environ, **self.places, "COLUMNS": WIDTH, **more}


@pytest.fixture
def bench(tmp_path: Path, toy_data: Path) -> Bench:
    """The command line with the toy databases."""
    return Bench(tmp_path, toy_data)
