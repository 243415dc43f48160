"""The golden checks' command on other cases of the same formats, altered ones and broken ones.

The files in `tests/golden/variations` come from plain PyTorch loops and NumPy that were written
from the formats' descriptions alone and give the authors' own numbers on the authors' cases.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.golden import FOLDER, Comparison, __main__, grmp_steps

VARIATIONS = FOLDER / "variations"


def command(kind: str, path: Path) -> int:
    """Exit status of the check of one file."""
    return __main__.main([kind, str(path)])


@pytest.mark.parametrize("kind", ["grmp_meta", "promptiqa_labels", "promptiqa_two_sets", "resize"])
def test_cases_of_other_sizes_seeds_and_rates_agree(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A visual tower of one block, Adam with moments of its own, unequal groups, no decay; groups
    of one and of equal labels, gates on the rate; images one pixel wide, enlarged and shrunk by
    factors that are not whole."""
    assert command(kind, VARIATIONS / f"{kind}.json") == 0, capsys.readouterr().out


Alter = Callable[[dict[str, Any]], str]
"""Changes a case's number, and says which entry must be named."""


def _divisor(case: dict[str, Any]) -> str:
    seeded = next(i for i, item in enumerate(case["augmentations"]) if "python_seed" in item)
    case["augmentations"][seeded]["divisor"] *= 1.001
    return f"augmentations/{seeded}/divisor"


def _gate(case: dict[str, Any]) -> str:
    seeded = next(i for i, item in enumerate(case["augmentations"]) if "python_seed" in item)
    case["augmentations"][seeded]["flip_gate"] += 0.01
    return f"augmentations/{seeded}/flip_gate"


def _pick(case: dict[str, Any]) -> str:
    case["intervals"][1]["picks"][3] += 1
    return "intervals/1/3"


def _constant(case: dict[str, Any]) -> str:
    case["constants"]["kadid"][1][1] += 0.01
    return "constants/kadid/1"


@pytest.mark.parametrize("alter", [_divisor, _gate, _pick, _constant])
def test_an_altered_number_is_named(
    alter: Alter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = json.loads((FOLDER / "promptiqa_labels.json").read_text())
    entry = alter(case)
    path = tmp_path / "case.json"
    path.write_text(json.dumps(case))
    assert command("promptiqa_labels", path) == 1
    assert entry in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "Expecting property name"),
        ("[]", "holds no JSON object"),
        ("{}", "lacks 'cases'"),
        ('{"cases": []}', "no numbers to compare"),
        ('{"cases": [{"seed": "one"}]}', "lacks 'out_width'"),
        (None, "No such file"),
    ],
)
def test_a_broken_file_is_refused_with_its_reason(
    text: str | None, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "case.json"
    if text is not None:
        path.write_text(text)
    assert command("resize", path) == 2
    said = capsys.readouterr().err
    assert str(path) in said
    assert complaint in said


@pytest.mark.parametrize("rate", [1.0, 0.1, 0.01])
def test_small_steps_agree_up_to_the_rounding_of_weights(rate: float) -> None:
    rng = np.random.default_rng(0)
    start = 1 + 0.1 * torch.from_numpy(rng.standard_normal(768)).float()
    step, noise = (torch.from_numpy(rng.standard_normal(768)) * 1e-5 * rate for _ in range(2))
    probe = torch.from_numpy(rng.standard_normal(768)).float()

    def steps(by: torch.Tensor) -> torch.Tensor:
        now = start
        for _ in range(3):
            now = now - by.float()
        return now

    def agree(now: torch.Tensor) -> bool:
        return all(one.ok for one in grmp_steps._tensor("w", expected, start, now, probe))

    moved = steps(step).double() - start.double()
    expected = {
        "norm": float(moved.norm()),
        "probe": float((moved * probe.double()).sum()),
        "first4": moved[:4].tolist(),
    }
    assert agree(steps(step + 1e-5 * noise))
    assert not agree(steps(0.9 * step))
    assert not agree(start)


def test_what_is_no_number_never_agrees() -> None:
    nan = float("nan")
    assert not Comparison("ours", 1.0, nan, 1e-3).ok
    assert not Comparison("theirs", nan, 1.0, nan).ok
    assert not Comparison("no tolerance", 0.0, 1e-9, 0.0).ok
    assert Comparison("zero", 0.0, 0.0, 0.0).ok
