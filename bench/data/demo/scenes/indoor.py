"""Rooms: walls, floor, window and furniture."""

from __future__ import annotations

import numpy as np

from bench.data.demo.canvas import Canvas, Colour, jitter, shade
from bench.data.demo.noise import fractal_noise
from bench.data.demo.scenes import backdrop

_FABRICS: tuple[Colour, ...] = (
    (0.6, 0.2, 0.2),
    (0.25, 0.35, 0.5),
    (0.5, 0.5, 0.48),
    (0.35, 0.5, 0.4),
    (0.8, 0.7, 0.55),
)
_WOOD: tuple[Colour, ...] = ((0.5, 0.33, 0.2), (0.7, 0.52, 0.34), (0.35, 0.22, 0.14))


def _shell(canvas: Canvas, rng: np.random.Generator) -> tuple[float, float, float]:
    """Walls, ceiling and floor in perspective; returns back wall left, right, and its foot."""
    backdrop.wall(canvas, rng)
    left, right = float(rng.uniform(-0.1, 0.2)), float(rng.uniform(0.8, 1.1))
    top, foot = float(rng.uniform(0.0, 0.12)), float(rng.uniform(0.6, 0.74))
    tone = canvas.pixels.mean(axis=(0, 1)).tolist()
    side: Colour = (tone[0] * 0.75, tone[1] * 0.75, tone[2] * 0.75)
    canvas.polygon([(-0.6, -0.4), (left, top), (left, foot), (-0.6, 1.6)], side, 0.08)
    canvas.polygon([(1.6, -0.4), (right, top), (right, foot), (1.6, 1.6)], shade(side, 1.12), 0.08)
    canvas.polygon([(-0.6, -0.4), (1.6, -0.4), (right, top), (left, top)], (0.93, 0.92, 0.9), 0.05)
    wood = backdrop.pick(rng, (*_WOOD, (0.75, 0.72, 0.68)))
    depth = 1.0 / np.maximum(canvas.y - foot + 0.12, 0.03)
    across = (canvas.x - 0.5) * depth
    boards = (
        np.floor(across * 1.6) if rng.random() < 0.6 else np.floor(across) + np.floor(depth * 0.9)
    )
    grain = fractal_noise(rng, canvas.size, 6, 3, stretch=0.4)
    floor = np.asarray(wood) * (0.85 + 0.25 * (boards % 2) * 0.7 + 0.3 * (grain - 0.5))[..., None]
    edge = foot + np.maximum(0.0, np.maximum(left - canvas.x[0], canvas.x[0] - right)) * 1.5
    canvas.below(edge, floor)
    return left, right, foot


def _window(canvas: Canvas, rng: np.random.Generator, x: float, foot: float) -> str:
    wide, tall = float(rng.uniform(0.1, 0.16)), float(rng.uniform(0.12, 0.18))
    y = foot * 0.48
    frame = (0.95, 0.94, 0.92)
    canvas.rectangle(x - wide - 0.02, y - tall - 0.02, x + wide + 0.02, y + tall + 0.02, frame)
    canvas.rectangle(
        x - wide,
        y - tall,
        x + wide,
        y + tall,
        backdrop.pick(rng, ((0.75, 0.88, 1.0), (0.98, 0.9, 0.75))),
    )
    canvas.ellipse((x, y + tall), (wide * 0.9, tall * 0.5), (0.45, 0.6, 0.4), 0, 0, 0.5)
    canvas.rectangle(x - wide, y + tall, x + wide, y + tall + 0.05, frame)
    canvas.line((x, y - tall), (x, y + tall), 0.015, frame)
    canvas.line((x - wide, y), (x + wide, y), 0.015, frame)
    if rng.random() < 0.6:
        cloth = backdrop.pick(rng, _FABRICS)
        for side in (-1.0, 1.0):
            edge = x + side * (wide + 0.02)
            canvas.rectangle(edge - 0.04, y - tall - 0.05, edge + 0.04, y + tall + 0.1, cloth, 0.4)
    canvas.glow((x, y), 0.25, (1.0, 0.95, 0.85), 0.2)
    return "a window"


def _picture(canvas: Canvas, rng: np.random.Generator, x: float, foot: float) -> str:
    wide, tall, y = float(rng.uniform(0.06, 0.11)), float(rng.uniform(0.06, 0.11)), foot * 0.42
    canvas.rectangle(
        x - wide - 0.015,
        y - tall - 0.015,
        x + wide + 0.015,
        y + tall + 0.015,
        backdrop.pick(rng, _WOOD),
    )
    canvas.rectangle(x - wide, y - tall, x + wide, y + tall, backdrop.pick(rng, _FABRICS), 0.3)
    canvas.ellipse((x, y), (0.6 * wide, 0.5 * tall), backdrop.pick(rng, _FABRICS, 0.15), 0.4, 0.3)
    return "a picture frame"


def _shelf(canvas: Canvas, rng: np.random.Generator, x: float, foot: float) -> str:
    wide, top = float(rng.uniform(0.11, 0.16)), foot * float(rng.uniform(0.15, 0.4))
    wood = backdrop.pick(rng, _WOOD)
    canvas.rectangle(x - wide, top, x + wide, foot + 0.02, shade(wood, 0.5), 0.2)
    levels = int(rng.integers(2, 5))
    for k in range(levels):
        board = top + (k + 1) * (foot + 0.02 - top) / levels
        at = x - wide + 0.02
        while at < x + wide - 0.02:
            thick = float(rng.uniform(0.012, 0.03))
            tall = (foot - top) / levels * float(rng.uniform(0.5, 0.85))
            canvas.rectangle(
                at,
                board - tall,
                min(at + thick, x + wide - 0.01),
                board,
                backdrop.pick(rng, _FABRICS, 0.12),
            )
            at += thick + 0.004
        canvas.line((x - wide, board), (x + wide, board), 0.015, wood)
    return "a bookshelf"


def _sofa(canvas: Canvas, rng: np.random.Generator, x: float, foot: float) -> str:
    cloth, s = backdrop.pick(rng, _FABRICS), float(rng.uniform(0.22, 0.32))
    base = foot + float(rng.uniform(0.08, 0.16))
    canvas.ellipse((x, base + 0.02), (1.15 * s, 0.04), (0.12, 0.1, 0.09))
    canvas.rectangle(x - s, base - 0.95 * s, x + s, base - 0.3 * s, shade(cloth, 0.85), 0.25)
    canvas.rectangle(x - s, base - 0.45 * s, x + s, base, cloth, 0.25)
    canvas.line((x, base - 0.9 * s), (x, base - 0.1 * s), 0.012, shade(cloth, 0.6))
    for side in (-1.0, 1.0):
        canvas.line(
            (x + side * s, base - 0.5 * s),
            (x + side * s, base - 0.05 * s),
            0.3 * s,
            shade(cloth, 1.1),
            0.25,
        )
    if rng.random() < 0.6:
        at = (x + float(rng.uniform(-0.5, 0.5)) * s, base - 0.55 * s)
        canvas.ellipse(at, (0.24 * s, 0.22 * s), backdrop.pick(rng, _FABRICS, 0.15), 0.3, 0.4, 0.4)
    return "a sofa"


def _bed(canvas: Canvas, rng: np.random.Generator, x: float, foot: float) -> str:
    cloth, s, base = backdrop.pick(rng, _FABRICS), float(rng.uniform(0.25, 0.34)), foot + 0.05
    canvas.rectangle(x - s, foot - 0.2, x + s, base + 0.1, backdrop.pick(rng, _WOOD), 0.4)
    canvas.polygon(
        [(x - s, base), (x + s, base), (x + 1.3 * s, 0.97), (x - 1.3 * s, 0.97)], cloth, 0.3
    )
    canvas.polygon(
        [(x - s, base), (x + s, base), (x + 1.08 * s, base + 0.08), (x - 1.08 * s, base + 0.08)],
        (0.94, 0.93, 0.9),
        0.1,
    )
    for side in (-0.5, 0.5):
        canvas.ellipse((x + side * s, base), (0.38 * s, 0.06), (0.97, 0.96, 0.94), 0, 0.4, 0.1)
    return "a bed"


def _table(canvas: Canvas, rng: np.random.Generator, x: float, foot: float) -> str:
    wood, s = backdrop.pick(rng, _WOOD), float(rng.uniform(0.18, 0.28))
    top = foot + float(rng.uniform(-0.02, 0.06))
    for side in (-0.85, 0.85):
        canvas.line((x + side * s, top), (x + side * s, top + 0.26), 0.03, shade(wood, 0.7), 0.3)
    canvas.polygon(
        [
            (x - 0.8 * s, top - 0.06),
            (x + 0.8 * s, top - 0.06),
            (x + s, top + 0.02),
            (x - s, top + 0.02),
        ],
        wood,
        0.4,
    )
    chair = x + float(rng.choice([-1.0, 1.0])) * (s + 0.08)
    canvas.rectangle(chair - 0.06, top - 0.14, chair + 0.06, top + 0.08, shade(wood, 0.8), 0.4)
    for side in (-0.05, 0.05):
        canvas.line((chair + side, top + 0.08), (chair + side, top + 0.26), 0.02, shade(wood, 0.6))
    return "a table and a chair"


def _lamp(canvas: Canvas, rng: np.random.Generator, x: float, foot: float) -> str:
    shadecolour = jitter(rng, (1.0, 0.88, 0.6))
    if rng.random() < 0.5:
        y = float(rng.uniform(0.15, 0.25))
        canvas.line((x, 0.0), (x, y), 0.01, (0.15, 0.15, 0.15))
    else:
        y = foot - 0.35
        canvas.line((x, foot + 0.08), (x, y), 0.016, (0.2, 0.18, 0.16))
    canvas.polygon(
        [(x - 0.04, y - 0.05), (x + 0.04, y - 0.05), (x + 0.08, y + 0.05), (x - 0.08, y + 0.05)],
        shadecolour,
    )
    canvas.glow((x, y + 0.04), 0.14, (1.0, 0.85, 0.55), 0.4)
    return "a lamp"


def _door(canvas: Canvas, rng: np.random.Generator, x: float, foot: float) -> str:
    wood = backdrop.pick(rng, (*_WOOD, (0.92, 0.91, 0.88)))
    canvas.rectangle(x - 0.12, foot * 0.25, x + 0.12, foot + 0.01, shade(wood, 1.2))
    canvas.rectangle(x - 0.1, foot * 0.28, x + 0.1, foot + 0.01, wood, 0.3)
    canvas.rectangle(x - 0.07, foot * 0.33, x + 0.07, foot * 0.58, shade(wood, 0.8), 0.3)
    canvas.ellipse((x + 0.075, foot * 0.68), (0.012, 0.012), (0.9, 0.8, 0.4))
    return "a door"


def paint(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    """Draw a room; returns what was drawn."""
    left, right, foot = _shell(canvas, rng)
    spans = np.linspace(max(left, 0.0), min(right, 1.0), 4)
    centres = ((spans[:-1] + spans[1:]) / 2).tolist()
    words = []
    for x in centres:
        item = (_window, _window, _picture, _shelf, _door)[rng.integers(5)]
        words.append(item(canvas, rng, x, foot))
    if rng.random() < 0.6:
        words.append(_lamp(canvas, rng, float(rng.uniform(0.15, 0.85)), foot))
    main = (_sofa, _bed, _table)[rng.integers(3)](canvas, rng, float(rng.uniform(0.32, 0.68)), foot)
    return ["a room", main, *dict.fromkeys(words)]
