"""One protocol's cells cut into the tables that its file asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from bench.protocol import Protocol


def sections(summary: pd.DataFrame, protocol: Protocol) -> list[tuple[str, pd.DataFrame]]:
    """Heading and rows of each table, empty ones left out; datasets of no part come last.

    Without `Protocol.parts` all is one table without a heading. A dataset belongs to the part that
    names it, whatever the label version; a pair to that of the dataset it is tested on.
    """
    named = {name: heading for heading, names in protocol.parts.items() for name in names}
    heads = summary["test"].map(lambda spec: named.get(spec, named.get(spec.partition("@")[0], "")))
    order = [*protocol.parts, ""]
    return [(head, summary[heads == head]) for head in order if (heads == head).any()]
