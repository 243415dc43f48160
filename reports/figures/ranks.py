"""Critical-difference diagrams: methods ranked across datasets."""

from __future__ import annotations

from functools import partial

from bench.analysis.compare import of_protocol
from bench.model.titles import budget_title
from bench.reports import rank_diagram as diagrams
from bench.reports.figures.sheet import FigureData, LeftOut, Panel, Sheet


def across(data: FigureData) -> Sheet:
    """A diagram for every label budget (and rule of selection) with two datasets or more."""
    found = of_protocol(data.results, data.protocol)
    if found is None or not found.ranks:
        raise LeftOut("ranks take two methods that are complete on two datasets")
    several = len({item.selection for item in found.ranks}) > 1
    panels = [
        Panel(
            f"{budget_title(item.budget)}, {item.selection}"
            if several
            else budget_title(item.budget),
            partial(diagrams.draw, found=item),
        )
        for item in found.ranks
    ]
    captions = list(dict.fromkeys(diagrams.caption(item) for item in found.ranks))
    caption = captions[0] if len(captions) == 1 else diagrams.WHAT
    tallest = max(diagrams.diagram(item).name_rows for item in found.ranks)
    size = (5.6, 0.85 + 0.2 * tallest)
    return Sheet(data.cut(panels, "ranks"), caption=caption, across=1, panel_size=size)
