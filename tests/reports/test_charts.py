"""Charts inside pages: small, alike whenever drawn, and true to their numbers."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.compare import AcrossDatasets
from bench.analysis.curves import Cloud, Line
from bench.reports.drawing import MANY_IMAGES, Axis
from bench.reports.html.charts import WIDE, line_chart, rank_diagram, scatter
from bench.reports.html.inline_svg import path
from bench.stats import critical_difference

LINE = Line("a", [1.0, 2.0, 3.0], [0.5, 0.7, 0.6], [0.4, 0.6, 0.5], [0.6, 0.8, 0.7])
CURVE = (np.linspace(0, 1, 60), np.linspace(1, 5, 60))


def cloud(count: int) -> Cloud:
    x = np.linspace(0, 1, count)
    return Cloud(x, 1 + 4 * x, CURVE, "")


def places(data: str) -> list[tuple[float, float]]:
    """Corners of path data in steps."""
    x = y = 0.0
    found = []
    for command, text in re.findall("([Ml])([^Mlzh]*)", data):
        numbers = [float(number) for number in re.findall(r"-?[0-9.]+", text)]
        for dx, dy in zip(numbers[::2], numbers[1::2], strict=True):
            x, y = (dx, dy) if command == "M" else (x + dx, y + dy)
            found.append((x, y))
    return found


def shapes(chart: str) -> dict[str, str]:
    """Style -> path data."""
    return {item.get("style", ""): item.get("d", "") for item in ElementTree.fromstring(chart)}


def labels(chart: str) -> dict[str, float]:
    """Number beside the y axis -> its height in pixels, a few below the middle of the text."""
    texts = [item for item in ElementTree.fromstring(chart) if item.get("class") == "y"]
    return {str(item.text): float(item.get("y", 0)) for item in texts}


def test_a_line_passes_through_its_medians_and_its_band_through_the_interval() -> None:
    chart = line_chart([(0, LINE)], "name", Axis("epoch"), "SRCC")
    found = shapes(chart)
    corners = places(found["stroke:var(--c0);stroke-width:2"])
    heights = labels(chart)
    scale = (heights["0.4"] - heights["0.8"]) / 0.4
    assert len(corners) == 3
    assert corners[1][0] - corners[0][0] == pytest.approx(corners[2][0] - corners[1][0], abs=0.11)
    for (_, y), value in zip(corners, LINE.y, strict=True):
        assert y + 4 == pytest.approx(heights["0.4"] - (value - 0.4) * scale, abs=2)
    band = places(found["fill:var(--c0);fill-opacity:0.15"])
    assert max(y for _, y in band) - min(y for _, y in band) == pytest.approx(0.4 * scale, abs=2)


def test_charts_do_not_depend_on_those_drawn_before() -> None:
    several = [(0, LINE), (9, Line("b", [1, 200], [-50, 7], [-60, 6], [-40, 8]))]
    labels = Axis("labels", "log", ticks=True)
    charts = [
        lambda: line_chart([(0, LINE)], "one", Axis("epoch"), "SRCC", WIDE),
        lambda: line_chart(several, "two", labels, "loss", WIDE),
        lambda: scatter(cloud(80), "three"),
        lambda: scatter(Cloud(np.full(5, 1e6), np.arange(5.0), None, "constant"), "four"),
    ]
    forth = [chart() for chart in charts]
    back = [chart() for chart in reversed(charts)]
    assert back == forth[::-1]


@pytest.mark.parametrize("count", [80, 3 * MANY_IMAGES + 1])
def test_a_scatter_shows_every_image_or_every_kth(count: int) -> None:
    chart = scatter(cloud(count), "name")
    (dots,) = (data for style, data in shapes(chart).items() if "linecap:round" in style)
    step = -(-count // MANY_IMAGES)
    found = [(float(x), float(y)) for x, y in re.findall(r"M(\S+) (\S+)h0", dots)]
    assert len(found) == -(-count // step)
    # Both run along the diagonal: equal steps, to the right and upwards.
    x, y = np.array(found).T
    assert np.allclose(x, np.linspace(x[0], x[-1], len(x)), atol=1)
    assert np.allclose(y, np.linspace(y[0], y[-1], len(y)), atol=1)
    assert y[0] > y[-1]
    assert len(chart) < 1600 + 12 * len(found)


def test_what_comes_from_data_is_text() -> None:
    evil = "<script>&"
    chart = line_chart([(0, LINE)], evil, Axis(evil), evil)
    root = ElementTree.fromstring(chart)
    assert (root.get("role"), root[0].tag, root[0].text) == ("img", "title", evil)
    assert [item.text for item in root if item.text == evil] == [evil] * 3
    assert not any("id" in item.attrib for item in root.iter())


def test_a_diagram_of_ranks_cuts_long_names() -> None:
    names = ["short", "a name of more than twenty-two letters", "third"]
    result = critical_difference([[0.9, 0.5 + i / 30, 0.1] for i in range(8)], names)
    datasets = tuple(f"set{i}" for i in range(8))
    chart = rank_diagram(AcrossDatasets("p", "50", "last", datasets, result, {}), "name")
    texts = {item.text for item in ElementTree.fromstring(chart)}
    assert {"short (1.00)", "a name of more than t… (2.00)", "third (3.00)"} <= texts


@given(st.lists(st.tuples(st.floats(-999, 999), st.floats(-999, 999)), min_size=1, max_size=40))
def test_steps_lead_to_every_corner(corners: list[tuple[float, float]]) -> None:
    for found, wanted in zip(places(path(corners)), corners, strict=True):
        assert found == pytest.approx(wanted, abs=0.051)
