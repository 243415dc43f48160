"""Golden cases: what the authors' released code computes on weights and images of `recipe.py`.

`python -m tests.golden KIND CASE.json` checks any case file of the format of `KIND.json`.
`resize.json` holds OpenCV's own values.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Comparison:
    """One number of a case against ours."""

    entry: str
    """Which number, e.g. 'per_tensor/prompt_learner2.ctx/qua'."""
    expected: float
    actual: float
    tolerance: float
    relative: bool = False

    @property
    def error(self) -> float:
        """Absolute or relative difference, as `relative` says; NaN counts as infinite."""
        difference = abs(self.actual - self.expected)
        if self.relative:
            difference /= max(abs(self.expected), 1e-12)
        return difference if difference == difference else float("inf")

    @property
    def excess(self) -> float:
        """The error in units of the tolerance; infinite where that says nothing."""
        if not self.error:
            return 0.0
        return self.error / self.tolerance if self.tolerance > 0 else float("inf")

    @property
    def ok(self) -> bool:
        return self.excess <= 1


def state_dict_shapes(method: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the authors' state dict, in file order."""
    with (FOLDER / f"{method}_state_dict.tsv").open(newline="") as file:
        rows = [row for row in csv.reader(file, delimiter="\t") if row]
    return {row[0]: _shape(row[1]) for row in rows}


def _shape(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.strip("()").split(",") if number.strip())
