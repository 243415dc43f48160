"""Plants close up: flowers, leaves, trees, cacti."""

from __future__ import annotations

import numpy as np

from bench.data.demo.canvas import Canvas, Colour, jitter, mix, shade
from bench.data.demo.noise import fractal_noise
from bench.data.demo.scenes import backdrop

_PETALS: dict[str, Colour] = {
    "red": (0.85, 0.12, 0.18),
    "pink": (0.95, 0.55, 0.7),
    "yellow": (0.97, 0.82, 0.15),
    "white": (0.95, 0.95, 0.93),
    "purple": (0.55, 0.3, 0.7),
    "blue": (0.3, 0.4, 0.85),
    "orange": (0.97, 0.5, 0.12),
}


def _flower(
    canvas: Canvas, rng: np.random.Generator, x: float, y: float, s: float, colour: Colour
) -> None:
    """A flower head of radius `s`, one or two rings of petals."""
    petals, turn = int(rng.integers(5, 14)), float(rng.uniform(0, 2 * np.pi))
    wide = float(rng.uniform(0.8, 1.4)) * np.pi / petals
    for ring in range(int(rng.integers(1, 3))):
        reach = s * (1.0 - 0.35 * ring)
        tone = shade(colour, 0.85 + 0.2 * ring)
        for k in range(petals):
            angle = turn + 2 * np.pi * (k + 0.5 * ring) / petals
            at = (x + 0.58 * reach * float(np.cos(angle)), y + 0.58 * reach * float(np.sin(angle)))
            petal = jitter(rng, tone, 0.03)
            canvas.ellipse(
                at, (0.45 * reach, max(0.12, 0.45 * wide) * reach), petal, angle, 0.4, 0.25
            )
    heart = jitter(rng, (0.85, 0.65, 0.15) if rng.random() < 0.6 else (0.3, 0.18, 0.08))
    canvas.ellipse((x, y), (0.24 * s, 0.24 * s), heart, 0, 0.4, 0.7)


def _leaf(
    canvas: Canvas, at: tuple[float, float], long: float, wide: float, angle: float, colour: Colour
) -> None:
    """One leaf with its midrib and side veins."""
    canvas.ellipse(at, (long, wide), colour, angle, 0.5, 0.25)
    dx, dy = long * float(np.cos(angle)), long * float(np.sin(angle))
    vein = shade(colour, 1.35)
    canvas.line((at[0] - dx, at[1] - dy), (at[0] + 0.9 * dx, at[1] + 0.9 * dy), 0.01, vein)
    if long < 0.12:
        return
    for step in (-0.5, -0.15, 0.2, 0.5):
        root = (at[0] + step * dx, at[1] + step * dy)
        span = wide / long * 0.75 * (1 - abs(step))
        for side in (-1.0, 1.0):
            tip = (root[0] + 0.2 * dx - side * span * dy, root[1] + 0.2 * dy + side * span * dx)
            canvas.line(root, tip, 0.006, vein)


def _flowers(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    backdrop.bokeh(canvas, rng, backdrop.GREENS)
    name = str(rng.choice(list(_PETALS)))
    count = int(rng.choice([1, 1, 1, 2, 3, 5, 8]))
    s = float(rng.uniform(0.26, 0.38)) if count == 1 else float(rng.uniform(0.32, 0.4)) / count**0.5
    stem = backdrop.pick(rng, backdrop.GREENS)
    for k in range(count):
        x, y = (k + float(rng.uniform(0.35, 0.65))) / count, float(rng.uniform(0.3, 0.55))
        foot = x + float(rng.uniform(-0.15, 0.15))
        canvas.line((x, y), (foot, 1.1), 0.02 + 0.03 * s, stem, 0.3)
        for side in (-1.0, 1.0):
            at = ((x + foot) / 2 + side * 0.4 * s, float(rng.uniform(0.7, 0.9)))
            _leaf(
                canvas,
                at,
                0.5 * s,
                0.17 * s,
                side * float(rng.uniform(-0.9, -0.2)),
                shade(stem, 1.1),
            )
        _flower(canvas, rng, x, y, s * float(rng.uniform(0.8, 1.1)), jitter(rng, _PETALS[name]))
    return [f"a {name} flower" if count == 1 else f"{name} flowers", "green leaves"]


def _foliage(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    tone = backdrop.pick(rng, (*backdrop.GREENS, (0.7, 0.35, 0.12)), 0.08)
    canvas.fill(mix(shade(tone, 0.25), shade(tone, 0.6), fractal_noise(rng, canvas.size, 4, 3)))
    long = float(rng.uniform(0.1, 0.32))
    count = int(np.clip(3.5 / long**1.5, 14, 55))
    main = float(rng.uniform(0, np.pi))
    spread, slim = float(rng.uniform(0.3, 1.5)), float(rng.uniform(0.25, 0.55))
    for k in range(count):
        at = (float(rng.random()), float(rng.random()))
        angle = main + float(rng.normal(0, spread))
        leaf = jitter(rng, shade(tone, 0.55 + 0.7 * k / count), 0.05)
        _leaf(canvas, at, long, long * slim, angle, leaf)
    autumn = tone[0] > tone[1]
    return ["autumn leaves" if autumn else "green leaves", "foliage"]


def _tree(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    backdrop.sky(canvas, rng)
    under = backdrop.ground(canvas, rng, float(rng.uniform(0.7, 0.85)))
    x, base = float(rng.uniform(0.35, 0.65)), float(rng.uniform(0.85, 0.95))
    bark = jitter(rng, (0.36, 0.25, 0.17))
    crown = float(rng.uniform(0.3, 0.42))
    canvas.ellipse((x, base), (0.3, 0.04), (0.15, 0.18, 0.1))
    canvas.line(
        (x, base),
        (x + float(rng.uniform(-0.05, 0.05)), crown),
        float(rng.uniform(0.07, 0.12)),
        bark,
        0.7,
    )
    for side in (-1.0, 1.0):
        canvas.line((x, 0.62), (x + side * 0.2, crown), 0.035, bark, 0.7)
    tone = backdrop.pick(rng, (*backdrop.GREENS[:3], (0.75, 0.4, 0.12), (0.9, 0.65, 0.75)), 0.06)
    for _ in range(int(rng.integers(40, 75))):
        angle, reach = float(rng.uniform(0, 2 * np.pi)), float(rng.random()) ** 0.5
        at = (x + 0.34 * reach * float(np.cos(angle)), crown + 0.24 * reach * float(np.sin(angle)))
        lit = 1.0 + 0.5 * (at[1] - crown) / 0.24 * canvas.light[1]
        size = float(rng.uniform(0.04, 0.09))
        canvas.ellipse(at, (size, size * 0.8), jitter(rng, shade(tone, lit), 0.05), 0, 0.5, 0.9)
    return ["a tree", under]


def _potted(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    backdrop.wall(canvas, rng)
    canvas.below(
        np.full(canvas.size, 0.88),
        np.asarray(jitter(rng, (0.5, 0.36, 0.25))) * (0.8 + 0.4 * canvas.grain)[..., None],
    )
    x, rim = float(rng.uniform(0.42, 0.58)), float(rng.uniform(0.62, 0.7))
    tone = backdrop.pick(rng, backdrop.GREENS[:3])
    if rng.random() < 0.45:
        top = float(rng.uniform(0.15, 0.3))
        canvas.line((x, rim), (x, top), 0.2, tone, 0.3)
        for side in (-1.0, 1.0):
            elbow = float(rng.uniform(0.4, 0.55))
            canvas.line((x, elbow), (x + side * 0.2, elbow), 0.09, tone, 0.3)
            canvas.line((x + side * 0.2, elbow), (x + side * 0.2, elbow - 0.15), 0.09, tone, 0.3)
        for _ in range(50):
            at = (x + float(rng.uniform(-0.09, 0.09)), float(rng.uniform(top, rim)))
            canvas.line(at, (at[0] + 0.012, at[1] - 0.012), 0.006, (0.95, 0.93, 0.8))
        plant = "a cactus"
    else:
        for _ in range(int(rng.integers(9, 20))):
            angle = float(rng.uniform(-2.8, -0.35))
            long = float(rng.uniform(0.2, 0.45))
            tip = (x + long * float(np.cos(angle)), rim + long * float(np.sin(angle)))
            canvas.line((x, rim), tip, 0.012, shade(tone, 0.7))
            _leaf(canvas, tip, 0.1, 0.045, angle, jitter(rng, tone, 0.07))
        plant = "a potted plant"
    pot = jitter(rng, (0.7, 0.38, 0.25) if rng.random() < 0.6 else (0.85, 0.85, 0.85))
    canvas.polygon([(x - 0.17, rim), (x + 0.17, rim), (x + 0.12, 0.93), (x - 0.12, 0.93)], pot, 0.2)
    canvas.rectangle(x - 0.19, rim - 0.02, x + 0.19, rim + 0.04, shade(pot, 1.1), 0.2)
    return [plant, "a pot"]


def paint(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    """Draw a plant scene; returns what was drawn."""
    draw = rng.random()
    if draw < 0.42:
        return _flowers(canvas, rng)
    if draw < 0.62:
        return _foliage(canvas, rng)
    return _tree(canvas, rng) if draw < 0.8 else _potted(canvas, rng)
