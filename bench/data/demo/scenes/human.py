"""People: portraits and groups."""

from __future__ import annotations

import numpy as np

from bench.data.demo.canvas import Canvas, Colour, shade
from bench.data.demo.scenes import backdrop

_SKIN: tuple[Colour, ...] = (
    (0.95, 0.8, 0.7),
    (0.87, 0.68, 0.53),
    (0.7, 0.49, 0.35),
    (0.48, 0.32, 0.23),
    (0.35, 0.23, 0.17),
)
_HAIR: tuple[Colour, ...] = (
    (0.1, 0.08, 0.07),
    (0.35, 0.22, 0.13),
    (0.8, 0.63, 0.35),
    (0.55, 0.25, 0.12),
    (0.7, 0.7, 0.7),
)
_CLOTHES: tuple[Colour, ...] = (
    (0.75, 0.15, 0.2),
    (0.15, 0.3, 0.6),
    (0.2, 0.45, 0.3),
    (0.9, 0.88, 0.85),
    (0.15, 0.15, 0.18),
    (0.85, 0.7, 0.2),
    (0.5, 0.25, 0.5),
)
_COUNT = ("nobody", "a person", "two people", "three people", "four people", "five people")


def _face(canvas: Canvas, x: float, y: float, s: float, skin: Colour, smile: float) -> None:
    """Eyes, nose and mouth on a head of radius `s` at (x, y)."""
    dark = (0.08, 0.06, 0.06)
    for side in (-1.0, 1.0):
        eye = (x + side * 0.38 * s, y - 0.08 * s)
        canvas.ellipse(eye, (0.17 * s, 0.1 * s), (0.96, 0.95, 0.93))
        canvas.ellipse(eye, (0.085 * s, 0.09 * s), dark)
        brow = y - 0.3 * s
        canvas.line(
            (eye[0] - 0.18 * s, brow),
            (eye[0] + 0.18 * s, brow - 0.03 * s),
            0.06 * s,
            shade(skin, 0.4),
        )
    canvas.line((x, y), (x + 0.05 * s, y + 0.28 * s), 0.1 * s, shade(skin, 0.8))
    corner = 0.55 - 0.1 * smile
    canvas.line((x - 0.3 * s, y + corner * s), (x, y + 0.6 * s), 0.09 * s, (0.68, 0.25, 0.25))
    canvas.line((x, y + 0.6 * s), (x + 0.3 * s, y + corner * s), 0.09 * s, (0.68, 0.25, 0.25))


def _head(
    canvas: Canvas, rng: np.random.Generator, x: float, y: float, s: float, skin: Colour
) -> str:
    """A head of half-width `s`, with hair or a hat; returns the headwear, or ''."""
    hair = backdrop.pick(rng, _HAIR)
    long = rng.random() < 0.45
    drop = 0.05 if long else -0.2
    canvas.ellipse((x, y + drop * s), ((1.3 if long else 1.15) * s, 1.3 * s), hair, 0, 0.3, 0.6)
    canvas.ellipse((x, y), (0.95 * s, 1.2 * s), skin, 0, 0.35, 0.1)
    canvas.ellipse(
        (x, y - 0.95 * s), (0.95 * s, 0.42 * s), hair, float(rng.uniform(-0.2, 0.2)), 0.3, 0.6
    )
    if s > 0.05:
        _face(canvas, x, y, s, skin, float(rng.uniform(0.0, 2.0)))
    if rng.random() < 0.25:
        hat = backdrop.pick(rng, _CLOTHES)
        canvas.ellipse((x, y - 1.05 * s), (1.0 * s, 0.65 * s), hat, 0, 0.4, 0.3)
        canvas.ellipse((x, y - 0.8 * s), (1.5 * s, 0.2 * s), shade(hat, 0.8), 0, 0.2, 0.3)
        return "a hat"
    if s > 0.09 and rng.random() < 0.25:
        for side in (-1.0, 1.0):
            canvas.ellipse(
                (x + side * 0.38 * s, y - 0.06 * s), (0.29 * s, 0.22 * s), (0.1, 0.1, 0.12)
            )
        return "sunglasses"
    return ""


def _portrait(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    place = _place(canvas, rng)
    x, y = float(rng.uniform(0.4, 0.6)), float(rng.uniform(0.34, 0.44))
    s = float(rng.uniform(0.13, 0.2))
    skin, cloth = backdrop.pick(rng, _SKIN, 0.03), backdrop.pick(rng, _CLOTHES)
    canvas.ellipse((x, y + 3.3 * s), (2.4 * s, 1.7 * s), cloth, 0, 0.5, 0.3)
    if rng.random() < 0.4:
        canvas.polygon(
            [(x - 0.5 * s, y + 1.6 * s), (x + 0.5 * s, y + 1.6 * s), (x, y + 2.8 * s)],
            shade(cloth, 1.6),
        )
    canvas.line((x, y + 0.8 * s), (x, y + 1.6 * s), 0.85 * s, shade(skin, 0.8), 0.1)
    worn = _head(canvas, rng, x, y, s, skin)
    return ["a portrait of a person" + (f" with {worn}" if worn else ""), place]


def _standing(canvas: Canvas, rng: np.random.Generator, x: float, feet: float, tall: float) -> str:
    """A whole person of height `tall`."""
    skin = backdrop.pick(rng, _SKIN, 0.03)
    top, trousers = backdrop.pick(rng, _CLOTHES), backdrop.pick(rng, _CLOTHES)
    hip, neck = feet - 0.47 * tall, feet - 0.82 * tall
    stride = float(rng.uniform(0.02, 0.12)) * tall
    canvas.ellipse((x, feet), (0.2 * tall, 0.025 * tall), (0.12, 0.11, 0.1))
    for side in (-1.0, 1.0):
        canvas.line(
            (x + side * 0.05 * tall, hip),
            (x + side * stride, feet),
            0.09 * tall,
            shade(trousers, 0.9),
            0.3,
        )
        reach = (
            x + side * float(rng.uniform(0.12, 0.26)) * tall,
            hip + float(rng.uniform(-0.3, 0.05)) * tall,
        )
        canvas.line(
            (x + side * 0.1 * tall, neck + 0.04 * tall), reach, 0.06 * tall, shade(top, 0.8), 0.3
        )
        canvas.ellipse(reach, (0.03 * tall, 0.03 * tall), skin)
    if rng.random() < 0.3:
        skirt = feet - 0.25 * tall
        corners = [
            (x - 0.08 * tall, neck),
            (x + 0.08 * tall, neck),
            (x + 0.18 * tall, skirt),
            (x - 0.18 * tall, skirt),
        ]
        canvas.polygon(corners, top, 0.3)
    canvas.polygon(
        [
            (x - 0.12 * tall, neck),
            (x + 0.12 * tall, neck),
            (x + 0.085 * tall, hip),
            (x - 0.085 * tall, hip),
        ],
        top,
        0.3,
    )
    return _head(canvas, rng, x, neck - 0.1 * tall, 0.065 * tall, skin)


def _place(canvas: Canvas, rng: np.random.Generator) -> str:
    draw = rng.random()
    if draw < 0.35:
        return backdrop.wall(canvas, rng)
    if draw < 0.65:
        backdrop.bokeh(canvas, rng, backdrop.GREENS)
        return "a park"
    backdrop.sky(canvas, rng)
    return backdrop.ground(canvas, rng, float(rng.uniform(0.4, 0.7)))


def _group(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    place = _place(canvas, rng)
    count = int(rng.choice([1, 1, 2, 2, 3, 4]))
    tall = float(rng.uniform(0.7, 0.95)) * (1.0 if count < 3 else 0.8)
    for k in range(count):
        x = (k + 0.5) / count + float(rng.uniform(-0.04, 0.04))
        _standing(
            canvas, rng, x, float(rng.uniform(0.92, 0.99)), tall * float(rng.uniform(0.85, 1.05))
        )
    return [_COUNT[count], place]


def paint(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    """Draw a scene of people; returns what was drawn."""
    return _portrait(canvas, rng) if rng.random() < 0.5 else _group(canvas, rng)
