"""GRMP-IQA's training against the authors' own loops: whole optimiser steps and outer updates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.golden import FOLDER, Comparison, __main__, grmp_meta, grmp_steps


def case(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{kind}.json").read_text())
    return found


def wrong(comparisons: list[Comparison]) -> list[str]:
    return [f"{item.entry}: {item.error:.2g}" for item in comparisons if not item.ok]


@pytest.mark.parametrize("steps", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_steps_of_the_authors_train(steps: int) -> None:
    whole = case("grmp_steps")
    comparisons = grmp_steps.check(whole, steps if steps < len(whole["steps"]) else None)
    assert not wrong(comparisons)
    assert sum(item.entry.endswith("/norm") for item in comparisons) == steps * 101
    assert any(item.entry.startswith("p_high/") for item in comparisons) == (steps == 3)


@pytest.mark.parametrize("updates", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_updates_of_the_authors_pretraining_and_of_eq_4_to_6(updates: int) -> None:
    shortened = case("grmp_meta")
    shortened["updates"] = shortened["updates"][:updates]
    comparisons = grmp_meta.check(shortened)
    assert not wrong(comparisons)
    assert sum(item.entry.endswith("/norm") for item in comparisons) == 2 * updates * 7


def test_the_command_says_no_to_the_other_way_of_updating(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The two ways differ by much more than the tolerance, so that the case can tell them apart."""
    changed = case("grmp_meta")
    changed["variants"] = {"as_shipped": changed["variants"]["reset"]}
    changed["updates"] = changed["updates"][:2]
    path = tmp_path / "case.json"
    path.write_text(json.dumps(changed))
    assert __main__.main(["grmp_meta", str(path)]) == 1
    assert "worst as_shipped/" in capsys.readouterr().out
