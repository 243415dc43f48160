"""Ctrl-C ends every command with 130 and leaves nothing half-written."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import registry
from bench.util import atomic
from tests.conftest import Bench
from tests.fake_results import FakeSweep

STOPPING = """
import sys, time
from {module} import {function} as original
import {module} as module

def waiting(*given, **named):
    original(*given, **named)
    print("here", flush=True)
    time.sleep(60)

module.{function} = waiting
from bench.cli import main
sys.argv = ["bench", *sys.argv[1:]]
main()
"""
"""A command that waits after one of its steps."""


SLOW_METHOD = """
import time
from bench.api import Epoch, Method

class Slow(Method):
    name = "slow"

    def fit(self, train):
        yield Epoch(0.0, total=2)
        print("here", flush=True)
        time.sleep(60)

    def predict(self, images):
        return [0.0] * len(images)

    def save(self, path):
        path.write_bytes(b"")

    def load(self, path):
        pass
"""
"""A method that trains for long, in a process of its own."""


def interrupted(bench: Bench, command: list[object]) -> tuple[int, str]:
    """Exit code and standard error of a process that gets Ctrl-C once it has printed 'here'.

    As from a terminal: every process of its group gets the signal.
    """
    process = subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=bench.folder,
        env=bench.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("here"):
                break
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    return process.returncode, said


def files(folder: Path) -> dict[str, bytes]:
    """All files of a folder but locks and caches."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "cache" not in path.parts and path.suffix != ".lock"
    }


def stopping_in(module: str, function: str) -> list[object]:
    return ["-c", STOPPING.format(module=module, function=function)]


def test_a_fit_in_its_training(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (bench.folder / "own").mkdir()
    (bench.folder / "own" / "slow.py").write_text(SLOW_METHOD)
    monkeypatch.setenv(registry.OWN_FOLDERS, str(bench.folder / "own"))
    out = bench.folder / "w.safetensors"
    out.write_bytes(b"weights of an earlier command")
    before = files(bench.folder)
    command = ["-m", "bench", "fit", "toy", "--method", "slow", "--out", out, "--device", "cpu"]
    assert interrupted(bench, command) == (130, "interrupted\n")
    assert {name: before[name] for name in files(bench.folder) if ".pyc" not in name} == before


def test_a_prediction_goes_on_later(bench: Bench) -> None:
    folder = bench.folder / "photos"
    folder.mkdir()
    for index in range(3):
        Image.fromarray(np.full((8, 8, 3), 90 * index, np.uint8)).save(folder / f"{index}.png")
    command = ["predict", "photos", "--method", "toy_luminance", "--out", "s.csv"]
    stopping = stopping_in("bench.runs.execute.scoring", "predict")
    code, said = interrupted(bench, [*stopping, *command])
    assert (code, said) == (130, "")  # it says on standard output how far it came
    assert not (bench.folder / "s.csv").exists()
    assert bench(*command).returncode == 0
    assert len((bench.folder / "s.csv").read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("command", "step"),
    [
        (["data", "verify", "toy"], ("bench.data.housekeeping", "_range")),
        (["report", "r"], ("bench.reports.latex", "document")),
    ],
)
def test_processes_that_get_a_signal(
    bench: Bench, command: list[str], step: tuple[str, str]
) -> None:
    FakeSweep(bench.folder / "r", repeats=3).write()
    (bench.folder / "r" / "report").mkdir()
    (bench.folder / "r" / "report" / "index.html").write_text("the last report")
    before = files(bench.folder)
    assert interrupted(bench, [*stopping_in(*step), *command]) == (130, "interrupted\n")
    assert files(bench.folder) == before


WRITERS = [
    ("check", "r", "--against", "r", "--out", "checked"),
    ("compare", "r", "--csv", "c.csv"),
    ("latex", "r", "--out", "t.tex"),
    ("export", "r", "e.csv"),
    ("merge", "r", "--into", "m"),
    ("baseline", "save", "b", "--results", "r"),
    ("splits", "export", "toy", "--out", "splits"),
    ("report", "r"),
    ("gmad", "r", "--protocol", "few_shot", "--dataset", "livec", "--out", "pairs"),
    ("predict", "photo.png", "--method", "toy_luminance", "--out", "s.csv"),
    ("fit", "toy", "--method", "label_mean", "--out", "w.safetensors", "--device", "cpu"),
]


@pytest.mark.parametrize("command", WRITERS, ids=lambda command: command[0])
def test_every_command_that_is_about_to_write(
    bench: Bench, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal comes when the first file is whole and has not its name yet."""
    FakeSweep(bench.folder / "r", repeats=3).write()
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(bench.folder / "photo.png")
    before = files(bench.folder)
    monkeypatch.setattr(atomic.os, "fsync", lambda number: signal.raise_signal(signal.SIGINT))
    ended = bench(*command)
    assert (ended.returncode, "interrupted" in ended.text) == (130, True), ended.text
    assert files(bench.folder) == before


class Terminal(io.StringIO):
    """Somebody who answers, or types Ctrl-C."""

    def isatty(self) -> bool:
        return True

    def readline(self, size: int | None = -1, /) -> str:
        answer = super().readline()
        if answer == "^C":
            raise KeyboardInterrupt
        return answer


@pytest.mark.parametrize(("answer", "code"), [("^C", 130), ("", 130), ("n\n", 1)])
def test_a_question(bench: Bench, answer: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    ended = bench("data", "get", "csiq", "--to", bench.folder / "root")
    assert ended.returncode == code, ended.text
    assert ("nothing was downloaded" if code == 1 else "interrupted") in ended.stderr
    assert not (bench.folder / "root" / "csiq").exists()
