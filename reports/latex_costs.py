"""What rows cost → booktabs tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.reports.cost_columns import Column, known_columns
from bench.reports.latex_text import escape, label

if TYPE_CHECKING:
    import pandas as pd

    from bench.protocol import Protocol

DASH = "--"


def tables(costs: pd.DataFrame, protocols: Sequence[Protocol]) -> str:
    """A table for each protocol of which any cost is known; '' without."""
    found = []
    for protocol in protocols:
        known = costs[costs["protocol"] == protocol.name]
        columns = known_columns(known)
        if columns:
            found.append(_table(known, columns, protocol))
    return "\n".join(found)


def _table(known: pd.DataFrame, columns: Sequence[Column], protocol: Protocol) -> str:
    import pandas as pd

    texts = {"Method": [escape(str(name)) for name in known["label"]]}
    for name, title, write in columns:
        numbers = known[name].tolist()
        texts[escape(title)] = [DASH if math.isnan(v) else escape(write(v)) for v in numbers]
    form = "l" + "r" * len(columns)
    body = pd.DataFrame(texts).style.hide(axis="index").to_latex(hrules=True, column_format=form)
    title = escape(protocol.title or protocol.name)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{What each row of {title} costs.}}",
        rf"\label{{tab:{label(protocol.name)}-costs}}",
        r"\adjustbox{max width=\linewidth}{%",
        f"{body.strip()}}}",
        r"\end{table}",
        "",
    ]
    return "\n".join(lines)
