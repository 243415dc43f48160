"""The tutorial's files and commands, one after the other, as a reader would type them."""

from __future__ import annotations

import csv
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.docs.test_docs import ROOT

PAGE = "docs/tutorial.md"
_BLOCK = re.compile(r'```(\w+)(?: title="([^"]+)")?\n(.*?)```', re.DOTALL)


def pictures(folder: Path, count: int) -> list[str]:
    """Gratings that are blurred more and more, the sharpest last; their names."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = []
    for index in range(count):
        waves = np.sin(np.arange(96) * rng.uniform(0.4, 1.2))[None, :, None]
        pixels = 128 + 100 * waves * (index + 1) / count + rng.normal(0, 4, (96, 96, 3))
        names.append(f"{index:03}.png")
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / names[-1])
    return names


@pytest.mark.slow
def test_every_file_and_command_of_the_tutorial(tmp_path: Path) -> None:
    pictures(tmp_path / "photos", 3)
    names = pictures(tmp_path / "data" / "mine", 60)
    with (tmp_path / "data" / "mine" / "scores.csv").open("w", newline="") as file:
        rows = [(name, round(1 + 4 * index / 60, 2)) for index, name in enumerate(names)]
        csv.writer(file).writerows([("image", "score"), *rows])
    command = tmp_path / "bin" / "bench"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bench "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    script = ["set -e"]
    for language, title, text in _BLOCK.findall((ROOT / PAGE).read_text(encoding="utf-8")):
        if title:
            (tmp_path / title).parent.mkdir(exist_ok=True)
            (tmp_path / title).write_text(text)
        elif language == "bash":
            script.append(text)
    assert len(script) == 7, "a block of the page is not run"
    kept = {key: value for key, value in os.environ.items() if not key.startswith("IQA_")}
    place = {"IQA_BENCH_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=tmp_path,
        env={**kept, **place, "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert (tmp_path / "scores.csv").read_text().count("\n") == 4
    assert "BROKEN" not in done.stdout
    table = (tmp_path / "table.tex").read_text()
    assert all(name in table for name in ("ridge", "clip\\_zeroshot", "edges"))
    with (tmp_path / "runs.csv").open() as file:
        mine = [row for row in csv.DictReader(file) if row["test"] == "mine"]
    assert {row["method"] for row in mine} == {"ridge", "edges"}
    assert len(mine) == 20
    assert {row["status"] for row in mine} == {"done"}
