"""The table of what each row costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from bench.protocol import Protocol
from reports.html.site import Site


def counted(value: float) -> str:
    """A count with its unit of a thousand, a million or a billion.

    >>> counted(86_192_640), counted(769), counted(1500)
    ('86.2 M', '769', '1.5 k')
    """
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def plain(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


COLUMNS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("parameters", "Parameters", counted),
    ("trained_parameters", "Trained", counted),
    ("gmacs", "10⁹ multiply–adds", plain),
    ("ms", "ms/image", plain),
    ("images_per_second", "Images/s", plain),
    ("memory", "Memory, MiB", plain),
    ("fit_seconds", "Fit, s", plain),
    ("tokens", "Tokens/image", plain),
)


def table(site: Site, protocol: Protocol) -> dict[str, Any] | None:
    """A protocol's cost table, without columns that nobody knows; None where it is empty."""
    known = site.costs[site.costs["protocol"] == protocol.name]
    columns = [column for column in COLUMNS if known[column[0]].notna().any()]
    if known.empty or not columns:
        return None
    return {
        "heads": [title for _, title, _ in columns],
        "rows": [
            {
                "label": row["label"],
                "href": site.methods[row["label"]],
                "where": _where(row),
                "cells": [_cell(row[name], text) for name, _, text in columns],
            }
            for row in known.to_dict("records")
        ],
    }


def _cell(value: float, text: Callable[[float], str]) -> tuple[str, str]:
    """What a column is sorted by, and what it shows."""
    return ("", "–") if math.isnan(value) else (f"{value:.6g}", text(value))


def _where(row: Mapping[Any, Any]) -> str:
    """The device, and the image and batch that were measured."""
    batch = "" if math.isnan(row["batch"]) else f"batches of {row['batch']:.0f}"
    return ", ".join(filter(None, (row["image"], batch, row["device"])))
