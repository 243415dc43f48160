"""The GPU check as far as a CPU goes: its sections, its limits of time, and its report."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.runs.dispatch.executors.processes import alive
from tools import gpu_check
from tools.gpu_check import SECTIONS, _watched, main, markdown


def test_limits_together_are_under_eight_minutes() -> None:
    assert sum(section.seconds for section in SECTIONS.values()) < 8 * 60


def test_every_section_is_found() -> None:
    assert all(callable(section.measure) for section in SECTIONS.values())


def test_a_late_section_is_killed_with_its_children_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "child"
    # A shell is there at once, however busy the machine: its limit is no race.
    late = f"echo so far; sleep 600 & echo $! > {shlex.quote(str(child))}; wait"
    given = {
        "tests": (["sh", "-c", late], 1.0),
        "drift": ([sys.executable, "-c", "1 / 0"], 60.0),
    }

    def watched(command: list[str], limit: float) -> tuple[str, str]:
        return _watched(*given[command[command.index("--section") + 1]])

    monkeypatch.setattr(gpu_check, "_watched", watched)
    monkeypatch.setattr(gpu_check, "machine", lambda device: MACHINE)
    report = tmp_path / "report.md"
    assert main(["--device", "cpu", "--only", "tests", "drift", "--report", str(report)]) == 1
    text = report.read_text()
    assert "**Failed: killed at its limit of 1 s.**" in text
    assert "so far" in text
    assert "ZeroDivisionError" in text
    pid, deadline = int(child.read_text()), time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:  # its pipe is closed before it is gone
        time.sleep(0.01)
    assert not alive(pid)


MACHINE = {
    "device": "GPU | one", "processor": "CPU", "cores": 2, "python": "3.11", "commit": "",
    "packages": {"torch": "2"}, "time": "2030-01-01",
}  # fmt: skip


def test_the_report_names_the_device_and_escapes_its_cells() -> None:
    section = {"rows": [["a|b", "1", ""]], "text": "", "failed": "", "seconds": 3.0}
    text = markdown({"machine": MACHINE, "sections": {"drift": section}})
    assert text.startswith("# GPU check: GPU | one\n")
    assert "| a\\|b | 1 |  |" in text
    assert "Failed" not in text


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    said = capsys.readouterr().err
    assert "Run `make gpu-check` on a machine with one" in said
    assert "--device cpu --small" in said


@pytest.mark.slow
def test_all_of_it_on_a_cpu(tmp_path: Path) -> None:
    report = tmp_path / "check.md"
    assert main(["--device", "cpu", "--small", "--report", str(report)]) == 0, report.read_text()
    found = json.loads(report.with_suffix(".json").read_text())["sections"]
    assert list(found) == list(SECTIONS)
    assert all(section["rows"] for section in found.values())
