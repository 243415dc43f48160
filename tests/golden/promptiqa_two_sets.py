"""PromptIQA's training steps with a dataset a device, against the authors' distributed training."""

from __future__ import annotations

from typing import Any

from tests.golden import Comparison, promptiqa_steps


def check(case: dict[str, Any]) -> list[Comparison]:
    """Every number of a `promptiqa_two_sets` case."""
    names = [f"rank{rank}" for rank in range(len(case["ranks"]))]
    statistics = [case["running_statistics"].get(name, {}) for name in names]
    return promptiqa_steps.check_ranks(case, case["ranks"], statistics, names)
