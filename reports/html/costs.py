"""The table of what each row costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from bench.protocol import Protocol
from bench.reports.cost_columns import known_columns
from bench.reports.html.site import Site


def table(site: Site, protocol: Protocol) -> dict[str, Any] | None:
    """A protocol's cost table, without columns that nobody knows; None where it is empty."""
    known = site.costs[site.costs["protocol"] == protocol.name]
    columns = known_columns(known)
    if not columns:
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
