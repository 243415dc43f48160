"""A toy world for driving the harness: a small database of the user's own and quick methods."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import registry

TOY_METHODS = Path(__file__).parent / "toy"


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


@dataclass
class Bench:
    """The real command line in a folder of its own."""

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

    def __call__(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `bench` and wait; output is captured."""
        return subprocess.run(
            [sys.executable, "-m", "bench", *map(str, arguments)],
            cwd=self.folder,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a command: data, cache and toy methods in place."""
        return {
            **os.environ,
            "IQA_DATA": str(self.data),
            "IQA_BENCH_CACHE": str(self.folder / "cache"),
            "COLUMNS": "200",
            **more,
        }

    def run(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """`bench run` on the CPU into `results`."""
        return self("run", *arguments, "--device", "cpu", "--results", self.results, **environment)


@pytest.fixture
def bench(tmp_path: Path, toy_data: Path) -> Bench:
    """The command line with the toy databases."""
    return Bench(tmp_path, toy_data)
