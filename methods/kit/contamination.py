"""What the weights of pretrained metrics were trained on, read from `contamination.yaml`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

FILE = Path(__file__).with_name("contamination.yaml")


@cache
def table() -> dict[str, dict[str, object]]:
    """The file: metric -> `labels` (the project's dataset names), `other` (databases that the
    project does not read), `source`, and `known: false` where nobody says."""
    found: dict[str, dict[str, object]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return found


def pyiqa_trained_on(metric: str) -> tuple[str, ...]:
    """Our names of the databases whose labels a pyiqa metric has seen; () where none is known."""
    labels = table().get(metric, {}).get("labels", [])
    return tuple(str(name) for name in labels) if isinstance(labels, list) else ()


def pyiqa_known(metric: str) -> bool:
    """Whether it is known what a pyiqa metric was trained on."""
    return metric in table() and bool(table()[metric].get("known", True))
