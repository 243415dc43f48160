"""Random command lines end as documented (`tools/fuzz_cli.py`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.fuzz_cli import commands, fuzz


def test_every_command_is_drawn_from() -> None:
    found = commands()
    assert {("run",), ("predict",), ("fit",), ("check",), ("data", "verify")} <= found.keys()


@pytest.mark.slow
def test_random_command_lines_end_without_a_traceback(tmp_path: Path) -> None:
    assert sum(fuzz(200, 0, tmp_path).codes.values()) >= 200
