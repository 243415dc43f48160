"""Matplotlib's SVG made small enough to stand in a page by the dozen, in the page's own colours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree

from markupsafe import escape

NEUTRAL = {
    ("fill", "none"),
    ("stroke-dashoffset", "0"),
    ("stroke-linejoin", "miter"),
    ("stroke-linecap", "square"),
}
"""What `style.css` says of every shape, or what makes no visible difference."""
ANCHORS = {"middle": "x", "end": "y"}
"""Alignment of a text -> its class in `style.css`."""
HREF = "{http://www.w3.org/1999/xlink}href"


def slim(drawing: str, colours: Mapping[str, str]) -> str:
    """The shapes and texts of matplotlib's SVG, without groups, identifiers, clips and fonts.

    `colours` maps colours of the drawing to what stands in the page instead, e.g. `var(--ink)`.
    Neighbouring shapes that look alike become one; texts come last, above all shapes.
    """
    shapes: list[tuple[str, list[str]]] = []
    texts: list[str] = []
    markers: dict[str, str] = {}
    for element in ElementTree.fromstring(drawing).iter():
        tag = element.tag.rpartition("}")[2]
        look = dict(part.split(": ", 1) for part in element.get("style", "").split("; ") if part)
        data = element.get("d", "")
        if tag == "text":
            texts.append(_text(element, look, colours))
            continue
        if tag == "path" and "id" in element.attrib:  # a marker's shape, used below
            markers[f"#{element.attrib['id']}"] = data
            continue
        if tag == "use":
            x, y = float(element.get("x", 0)), float(element.get("y", 0))
            look, data = _marker(markers[element.attrib[HREF]], look, x, y)
        elif tag == "path":
            data = path(data)
        if not data or (look.get("fill") == "none" and "stroke" not in look):
            continue
        style = ";".join(
            f"{key}:{colours.get(value, value)}"
            for key, value in look.items()
            if (key, value) not in NEUTRAL
        )
        if not shapes or shapes[-1][0] != style:
            shapes.append((style, []))
        shapes[-1][1].append(data)
    paths = (f'<path style="{style}" d="{"".join(data)}"/>' for style, data in shapes)
    return "".join([*paths, *texts])


def path(data: str, x: float = 0.0, y: float = 0.0) -> str:
    """Path data of straight lines, moved by (x, y), to a tenth of a pixel.

    Steps instead of places, which are half as long; taken between rounded places, so that rounding
    does not add up.

    >>> path("M 0 0 L 10.04 5 L 10.04 2.5 z"), path("M -1 0 L 1 0", 20, 3)
    ('M0 0l10 5 0-2.5z', 'M19 3l2 0')
    """
    parts: list[str] = []
    here, last = (0, 0), ""
    for command, text in re.findall(r"([A-Za-z])([^A-Za-z]*)", data):
        if command not in "ML":
            parts.append(command)
        else:
            to_x, to_y = (float(number) for number in text.split())
            place = (round(10 * (to_x + x)), round(10 * (to_y + y)))
            step = place if command == "M" else (place[0] - here[0], place[1] - here[1])
            lead = {"M": "M", "L": "l"}[command] if command != last else " "
            parts.append(f"{lead}{step[0] / 10:g} {step[1] / 10:g}")
            here = place
        last = command
    return "".join(parts).replace(" -", "-")


def _marker(data: str, look: dict[str, str], x: float, y: float) -> tuple[dict[str, str], str]:
    """A marker at its place; a round one as a dot: a stroke of no length with round caps."""
    if "C" not in data:
        return look, path(data, x, y)
    size = 2 * max(float(number) for number in re.findall(r"[\d.]+", data))
    dot = {"stroke": look["fill"], "stroke-width": f"{size:.1f}", "stroke-linecap": "round"}
    if "fill-opacity" in look:
        dot["stroke-opacity"] = look["fill-opacity"]
    return dot, f"M{x:.0f} {y:.0f}h0"


def _text(element: ElementTree.Element, look: dict[str, str], colours: Mapping[str, str]) -> str:
    place = "".join(
        f' {name}="{float(element.attrib[name]):.0f}"' for name in "xy" if name in element.attrib
    )
    turn = element.get("transform", "")
    if turn and not turn.startswith("rotate(-0 "):
        rounded = re.sub(r"-?\d+\.\d+", lambda found: f"{float(found.group()):.0f}", turn)
        place = f'{place} transform="{rounded}"'
    name = ANCHORS.get(look.get("text-anchor", ""), "")
    kind = f' class="{name}"' if name else ""
    fill = colours.get(look.get("fill", ""), "")
    style = f' style="fill:{fill}"' if fill else ""
    return f"<text{kind}{place}{style}>{escape(element.text or '')}</text>"
