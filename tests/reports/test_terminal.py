"""The leaderboard in a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from bench.analysis import load
from bench.reports.render import Rendered
from bench.reports.terminal import leaderboard
from tests.fake_results import maker, task


def printed(rendered: Rendered, width: int, styled: bool = False) -> str:
    console = Console(width=width, record=True, force_terminal=True, file=_Nowhere())
    leaderboard(rendered.summary, console)
    return console.export_text(styles=styled)


class _Nowhere:
    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None: ...


def test_wide_and_narrow_say_the_same(report: Rendered) -> None:
    wide, narrow = printed(report, 200), printed(report, 70)
    assert wide.count("few_shot · SRCC") == 1
    assert narrow.count("few_shot · SRCC") == 2  # one table a dataset
    assert max(len(line.rstrip()) for line in narrow.splitlines()) <= 70
    for text in ("GRMP-IQA", "200 labels", "demo_synthetic", "5/6", "rendered"):
        assert text in wide
        assert text in narrow


def test_best_is_bold_and_incomplete_is_dim(report: Rendered) -> None:
    lines = printed(report, 200, styled=True).splitlines()
    assert any("\x1b[1m0." in line for line in lines if "GRMP-IQA" in line)
    assert any("\x1b[2m0." in line and "5/6" in line for line in lines if "PromptIQA" in line)
    assert not any("\x1b[1m0." in line for line in lines if "PIQE" in line)


@pytest.mark.parametrize("width", [30, 80])
def test_markup_in_names_is_text(tmp_path: Path, width: int) -> None:
    made = maker(tmp_path)
    made.cell("[bold]x[/bold]", task(), [0.5])
    console = Console(width=width, record=True, file=_Nowhere())
    leaderboard(load(made.save()).summary, console)
    assert "[bold]x" in console.export_text()
