"""Finds the protocols that cannot be reported, so that the others still can."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bench.analysis.compare import of_protocol
from bench.analysis.grid import grid
from bench.analysis.results import CellResult, Results
from bench.analysis.summary import summarise
from bench.reports import latex

if TYPE_CHECKING:
    import pandas as pd

    from bench.protocol import Protocol


def reportable(results: Results) -> tuple[Results, list[str]]:
    """The results without protocols that cannot be reported, and why those cannot.

    Everything that a report computes of a protocol is computed here once; what other parts of the
    report need again is kept.
    """
    reasons: dict[str, str] = {}
    tables: list[pd.DataFrame] = []
    for protocol in results.protocols:
        try:
            tables.append(_tried(results, protocol))
        except Exception as error:  # whatever is wrong with it: the others are reported
            first = (str(error).splitlines() or [""])[0]
            reasons[protocol.name] = f"{protocol.name}: {type(error).__name__}: {first}"
    if reasons:
        kept: list[CellResult] = [
            cell for cell in results.cells if cell.protocol.name not in reasons
        ]
        results = replace(results, cells=kept)
    if tables:
        import pandas as pd

        results.__dict__["summary"] = pd.concat(tables, ignore_index=True)
    return results, list(reasons.values())


def _tried(results: Results, protocol: Protocol) -> pd.DataFrame:
    """The protocol's summary, after everything that is made of it alone."""
    runs = results.runs[results.runs["protocol"] == protocol.name]
    summary = summarise(runs, [protocol])
    of_protocol(results, protocol)
    grid(summary, columns=("train", "test", "labels", "metric"))
    latex.document(summary, [protocol])
    return summary
