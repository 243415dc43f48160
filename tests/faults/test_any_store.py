"""Stores of every kind, whole or not: commands on results end as documented, never in a traceback.

What is drawn: which records are there, failed or done, values up to the largest finite ones, test
sides of one image, labels of every length and script, protocols that were asked for and never run,
and files that are cut off.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.model.records import Task
from bench.protocol import Protocol
from bench.reports.figures.gallery import Gallery
from bench.store import Store
from bench.store.manifest import path_of
from tests.conftest import Ended, run_cli
from tests.fake_results import FakeResults, FakeSweep, task

DOCUMENTED = {
    "report": {0, 1, 4},
    "export": {0, 4},
    "compare": {0, 2, 3, 4},
    "check": {0, 1, 2, 3},
    "merge": {0, 1, 2, 4},
    "validate": {0, 1, 3},
}
LABELS = st.one_of(
    st.sampled_from(
        ["a", "a/b", "a-b", "实验一", "实验二", "x" * 300, "<b>", "[red]", "100%", "_"]
    ),
    st.text(min_size=1, max_size=8),
)
VALUES = st.one_of(
    st.none(),
    st.sampled_from([0.5, 0.5, 0.8, -1.0, 1e308, -1e308, 5e-324]),
    st.floats(-1, 1),
    st.just("RuntimeError: it failed"),
)
TASKS = st.sampled_from(
    [
        task("livec", 50),
        task("livec", 100),
        task("koniq10k", None, ratio=0.2),
        Task(train="livec", test="koniq10k", learn="all", side="whole"),
        Task(train="", test="livec", zero_shot=True, side="whole"),
    ]
)
CELL = st.tuples(LABELS, TASKS, st.lists(VALUES, max_size=7), st.integers(1, 7), st.integers(1, 80))


@dataclass(frozen=True)
class Drawn:
    """One protocol of a store."""

    name: str
    cells: Sequence[tuple[str, Task, list[float | str | None], int, int]]
    metrics: tuple[str, ...]
    cut: bool

    def write(self, root: Path) -> None:
        """Its records and its manifest."""
        protocol = Protocol(name=self.name, metrics=self.metrics)
        made = FakeResults(root, protocol)
        seen: set[tuple[str, Task]] = set()
        for label, where, values, expected, images in self.cells:
            if (label, where) in seen:
                continue
            seen.add((label, where))
            sizes = {"train": 5, "val": 0, "test": images}
            made.cell(label, where, values[:expected], expected=expected, sizes=sizes)
        made.save()
        if self.cut:
            path = path_of(Store(root), self.name)
            path.write_bytes(path.read_bytes()[:-20])


PROTOCOLS = st.lists(
    st.builds(
        Drawn,
        name=LABELS,
        cells=st.lists(CELL, max_size=4),
        metrics=st.sampled_from([("srcc",), ("srcc", "plcc"), ("rmse", "srcc"), ("srcc", "srcc")]),
        cut=st.sampled_from([False, False, False, True]),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda one: one.name,
)


def ended_as_documented(command: str, *arguments: object) -> Ended:
    ended = run_cli(command, *arguments)
    assert ended.returncode in DOCUMENTED[command], (command, ended.text)
    assert "Traceback" not in ended.text
    return ended


def every_command(drawn: Sequence[Drawn]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for one in drawn:
            one.write(root / "r")
        ended_as_documented("export", root / "r", root / "runs.csv")
        ended_as_documented("validate", root / "r")
        ended_as_documented("compare", root / "r")
        ended_as_documented("check", root / "r", "--against", root / "r", "--out", root / "c")
        ended_as_documented("merge", root / "r", "--into", root / "m")
        ended_as_documented("report", root / "r")


QUIET = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)


@settings(max_examples=4, deadline=None, suppress_health_check=QUIET)
@given(PROTOCOLS)
def test_commands_end_as_documented(monkeypatch: pytest.MonkeyPatch, drawn: list[Drawn]) -> None:
    monkeypatch.setattr(Gallery, "draw", lambda gallery: None)  # the slow suite draws
    every_command(drawn)


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=QUIET)
@given(PROTOCOLS)
def test_many_stores_end_as_documented(drawn: list[Drawn]) -> None:
    every_command(drawn)


def test_a_protocol_without_a_record_takes_nothing_down(tmp_path: Path) -> None:
    FakeSweep(tmp_path / "r", repeats=3).write()
    Drawn(
        "never_run", [("a", task(), [], 3, 10), ("b", task(), [], 3, 10)], ("srcc",), False
    ).write(tmp_path / "r")
    reported = ended_as_documented("report", tmp_path / "r")
    assert reported.returncode == 0
    assert "0/3" in reported.stdout
    assert (tmp_path / "r" / "report" / "comparisons.html").exists()


def test_values_that_have_no_axis_leave_one_chart_out(tmp_path: Path) -> None:
    """Between -1e308 and 1e308 there is no finite distance, and so there are no ticks."""
    extreme: list[float | str | None] = [1e308, 0.1, -1e308, 0.8]
    Drawn("a", [("one", task(), extreme, 4, 79)], ("srcc",), False).write(tmp_path / "r")
    FakeSweep(tmp_path / "r", repeats=3).write()
    assert ended_as_documented("report", tmp_path / "r").returncode == 0
    pages = [path.read_text() for path in (tmp_path / "r" / "report").rglob("*.html")]
    assert any("no chart (" in page for page in pages)
    assert any('<svg class="chart"' in page for page in pages)


def test_protocols_that_were_never_run_are_not_comparable(tmp_path: Path) -> None:
    Drawn("a", [("a", task(), [], 1, 1), ("b", task(), [], 1, 1)], ("srcc",), False).write(
        tmp_path / "r"
    )
    assert ended_as_documented("compare", tmp_path / "r").returncode == 3


def test_a_protocol_that_cannot_be_read_is_named_and_the_rest_is_whole(tmp_path: Path) -> None:
    FakeSweep(tmp_path / "r", repeats=3).write()
    Drawn("cut", [("a", task(), [0.5], 1, 10)], ("srcc",), True).write(tmp_path / "r")
    reported = ended_as_documented("report", tmp_path / "r")
    assert reported.returncode == 0
    assert "cut.json' cannot be read" in reported.stdout
    assert "tab:few-shot" in (tmp_path / "r" / "report" / "table.tex").read_text()
    assert ended_as_documented("validate", tmp_path / "r").returncode == 1
    # As a baseline it would hide what it holds.
    assert ended_as_documented("check", tmp_path / "r", "--against", tmp_path / "r").returncode == 3


def test_an_error_leaves_the_last_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gallery, "draw", lambda gallery: None)
    FakeSweep(tmp_path / "r", repeats=3).write()
    ended_as_documented("report", tmp_path / "r")
    files = {path: path.read_bytes() for path in (tmp_path / "r").rglob("*") if path.is_file()}
    FakeSweep(tmp_path / "r", repeats=3, protocol="another").write()
    monkeypatch.setattr("bench.reports.html.write", _out_of_memory)
    assert run_cli("report", tmp_path / "r").returncode == 70
    report = tmp_path / "r" / "report"
    assert all(path.read_bytes() == files[path] for path in report.rglob("*") if path.is_file())
    assert not list((tmp_path / "r").glob(".report*"))


def _out_of_memory(site: object) -> None:
    raise MemoryError
