"""The training data of pretrained metrics, read from `contamination.yaml`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

FILE = Path(__file__).with_name("contamination.yaml")


@cache
def table() -> dict[str, dict[str, object]]:
    """The file: metric -> `labels` (the project's dataset names), `split` (the published split of
    which those are training sides, where known), `other` (databases that the project does not
    read), `source`, and `known: false` if it is not published."""
    found: dict[str, dict[str, object]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return found


def pyiqa_trained_on(metric: str) -> tuple[str, ...]:
    """The databases whose labels a pyiqa metric has seen, as `Method.trained_on` names them; ()
    if none is known."""
    entry = table().get(metric, {})
    labels, split = entry.get("labels", []), entry.get("split")
    mark = f"#{split}" if split else ""
    return tuple(f"{name}{mark}" for name in labels) if isinstance(labels, list) else ()


def pyiqa_known(metric: str) -> bool:
    """Whether the training data of a pyiqa metric are known."""
    return metric in table() and bool(table()[metric].get("known", True))
