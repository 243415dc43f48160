"""Checks the contract of `bench.api.Method`, for `bench conform` and the test suite.

`rules.py` has the rules, `subject.py` the method that is checked, `sample_images.py` its images.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.api import BenchError

Verdict = Literal["holds", "broken", "inapplicable"]


@dataclass(frozen=True)
class RuleResult:
    """The outcome of one rule."""

    rule: str
    verdict: Verdict
    why: str = ""


def conform(name: str, settings: Mapping[str, Any]) -> Iterator[RuleResult]:
    """Check a method (NAME or NAME:ARGUMENT), with small settings, against every rule.

    Raises `UsageError` for an unknown method or setting, and `BenchError` for weights that are not
    on this machine, since nothing can be checked without them.
    """
    from bench.runs.conformance.rules import RULES
    from bench.runs.conformance.sample_images import draw
    from bench.runs.conformance.subject import Subject

    with tempfile.TemporaryDirectory(prefix="iqa-conform-") as folder:
        subject = Subject(name, draw(Path(folder)), settings)
        for rule in RULES:
            yield _asked(rule, subject)


def _asked(rule: Any, subject: Any) -> RuleResult:
    from bench.runs.conformance.subject import Broken, Inapplicable, refused

    title = rule.__doc__
    try:
        rule(subject)
    except Inapplicable as reason:
        return RuleResult(title, "inapplicable", str(reason))
    except Broken as reason:
        return RuleResult(title, "broken", str(reason))
    except Exception as error:  # whatever a method raises breaks the rule
        if isinstance(error, BenchError) and refused(error):
            raise
        return RuleResult(title, "broken", f"{type(error).__name__}: {error}")
    return RuleResult(title, "holds")
