"""Critical-difference diagrams: methods ranked across datasets."""

from __future__ import annotations

from functools import partial

from bench.analysis.compare import of_protocol
from reports import ranks
from reports.figures.sheet import LeftOut, Panel, Sheet, View


def across(view: View) -> Sheet:
    """A diagram for every label budget (and rule of selection) with two datasets or more."""
    found = of_protocol(view.results, view.protocol)
    if found is None or not found.ranks:
        raise LeftOut("ranks take two methods that are complete on two datasets")
    several = len({item.selection for item in found.ranks}) > 1
    panels = [
        Panel(
            f"{ranks.budget(item)}, {item.selection}" if several else ranks.budget(item),
            partial(ranks.draw, found=item),
        )
        for item in found.ranks
    ]
    captions = list(dict.fromkeys(ranks.caption(item) for item in found.ranks))
    caption = captions[0] if len(captions) == 1 else ranks.WHAT
    tallest = max(ranks.diagram(item).name_rows for item in found.ranks)
    size = (5.6, 0.85 + 0.2 * tallest)
    return Sheet(view.cut(panels, "ranks"), caption=caption, across=1, panel_size=size)
