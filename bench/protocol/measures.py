"""The measure of a protocol (its rules for splits and labels), and the protocol with another
one."""

from __future__ import annotations

from typing import Any

from bench.model.measure import Measure
from bench.protocol import Protocol, override


def measure_of(protocol: Protocol) -> Measure:
    """The rules for splits and labels that all cells of the protocol share."""
    return Measure(
        split=protocol.split_rule(), normalise=protocol.normalise, sampling=protocol.sampling
    )


def measured(protocol: Protocol, measure: Measure, title: str = "") -> Protocol:
    """The same protocol under another measure; `title` is added to its name."""
    split = measure.split
    changes: dict[str, Any] = {
        "split": split.scheme,
        "seed": split.seed,
        "test_fraction": split.test_fraction,
        "normalise": measure.normalise,
        "sampling": measure.sampling,
    }
    if split.validation:
        changes["validation"] = split.validation
    if title:
        changes["name"] = f"{protocol.name} [{title}]"
        changes["title"] = f"{protocol.title or protocol.name} [{title}]"
    return override(protocol, changes)
