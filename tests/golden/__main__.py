"""Check one golden case file: exit 0 where all agrees, 1 where something does not, 2 for misuse."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from tests.golden import FOLDER, Comparison

CASES = tuple(
    sorted(path.stem for path in FOLDER.glob("*.json") if path.with_suffix(".py").exists())
)
"""Kinds of case, each with a module `tests.golden.KIND` whose `check` computes our numbers."""

MALFORMED = (
    OSError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    AssertionError,
    RuntimeError,
)
"""What a check raises on a file that is missing, no JSON, or of another form."""


def main(arguments: list[str]) -> int:
    """`KIND CASE.json`: print the worst entry and the verdict."""
    if len(arguments) != 2 or arguments[0] not in CASES:
        print(f"usage: python -m tests.golden {{{','.join(CASES)}}} CASE.json", file=sys.stderr)
        return 2
    kind, path = arguments
    module = importlib.import_module(f"tests.golden.{kind}")
    try:
        comparisons: list[Comparison] = module.check(_case(Path(path)))
        if not comparisons:
            raise ValueError("it has no numbers to compare")
    except MALFORMED as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else error
        print(f"{path}: this is no {kind} case that can be checked: {what}", file=sys.stderr)
        return 2
    worst = max(comparisons, key=lambda item: item.excess)
    wrong = [item for item in comparisons if not item.ok]
    print(
        f"{kind}: {len(comparisons) - len(wrong)} of {len(comparisons)} entries agree; worst "
        f"{worst.entry}: expected {worst.expected:.8g}, got {worst.actual:.8g} "
        f"({'relative' if worst.relative else 'absolute'} error {worst.error:.2g}, "
        f"tolerance {worst.tolerance:g})"
    )
    return 1 if wrong else 0


def _case(path: Path) -> dict[str, Any]:
    """The file's JSON object."""
    found = json.loads(path.read_text())
    if not isinstance(found, dict):
        raise ValueError("it holds no JSON object")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
