"""Check one golden case file: exit 0 where all agrees, 1 where something does not, 2 for misuse."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from tests.golden import FOLDER, Comparison

CASES = tuple(
    sorted(path.stem for path in FOLDER.glob("*.json") if path.with_suffix(".py").exists())
)
"""Kinds of case, each with a module `tests.golden.KIND` whose `check` computes our numbers."""


def main(arguments: list[str]) -> int:
    """`KIND CASE.json`: print the worst entry and the verdict."""
    if len(arguments) != 2 or arguments[0] not in CASES:
        print(f"usage: python -m tests.golden {{{','.join(CASES)}}} CASE.json", file=sys.stderr)
        return 2
    kind, path = arguments
    module = importlib.import_module(f"tests.golden.{kind}")
    case = json.loads(Path(path).read_text())
    comparisons: list[Comparison] = module.check(case)
    worst = max(comparisons, key=lambda item: item.error / item.tolerance)
    wrong = [item for item in comparisons if not item.ok]
    print(
        f"{kind}: {len(comparisons) - len(wrong)} of {len(comparisons)} entries agree; worst "
        f"{worst.entry}: expected {worst.expected:.8g}, got {worst.actual:.8g} "
        f"({'relative' if worst.relative else 'absolute'} error {worst.error:.2g}, "
        f"tolerance {worst.tolerance:g})"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
