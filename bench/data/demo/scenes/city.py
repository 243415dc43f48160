"""Cities by day, and night scenes."""

from __future__ import annotations

import numpy as np

from bench.data.demo.canvas import Canvas, Colour, jitter, mix, shade
from bench.data.demo.noise import fractal_noise, ridge
from bench.data.demo.scenes import backdrop

_FACADES: tuple[Colour, ...] = (
    (0.6, 0.6, 0.62),
    (0.75, 0.68, 0.58),
    (0.5, 0.35, 0.3),
    (0.35, 0.45, 0.55),
    (0.8, 0.8, 0.78),
    (0.45, 0.42, 0.4),
)
_LIGHTS: tuple[Colour, ...] = (
    (1.0, 0.8, 0.4),
    (1.0, 0.95, 0.8),
    (0.5, 0.8, 1.0),
    (1.0, 0.4, 0.3),
    (0.5, 1.0, 0.6),
)
_CARS: tuple[Colour, ...] = (
    (0.75, 0.12, 0.12),
    (0.15, 0.25, 0.5),
    (0.9, 0.9, 0.9),
    (0.12, 0.12, 0.13),
    (0.9, 0.7, 0.1),
)
_COUNT = ("no", "a", "two", "three", "four", "five", "six")


def _building(
    canvas: Canvas,
    rng: np.random.Generator,
    left: float,
    width: float,
    top: float,
    base: float,
    lit: float,
) -> None:
    """A facade with a grid of windows; `lit` is the share of windows alight (0 by day)."""
    colour = backdrop.pick(rng, _FACADES)
    colour = shade(colour, 0.22) if lit else colour
    right = left + width
    canvas.rectangle(left, top, right, base, colour, 0.15)
    canvas.rectangle(right - 0.2 * width, top, right, base, shade(colour, 0.7), 0.15)
    area = canvas.window((left, top, right, base))
    if area is None:
        return
    x, y = canvas.x[area], canvas.y[area]
    pitch_x, pitch_y = width / float(rng.integers(2, 6)), float(rng.uniform(0.035, 0.07))
    u, v = (x - left) / pitch_x, (y - top) / pitch_y
    inside = (x > left) & (x < right) & (y > top) & (y < base - 0.02)
    pane = inside & (np.abs(u % 1.0 - 0.5) < 0.28) & (np.abs(v % 1.0 - 0.5) < 0.3)
    alight = rng.random((32, 8))[np.floor(v).astype(int) % 32, np.floor(u).astype(int) % 8]
    dark, bright = shade(colour, 0.5), jitter(rng, (1.0, 0.85, 0.5), 0.08)
    if not lit:
        bright = (0.7, 0.82, 0.92)
    glass = mix(dark, bright, (alight < (lit or 0.3)).astype(np.float64))
    canvas.blend(area, np.where(pane, 0.9, 0.0), glass)


def _skyline(
    canvas: Canvas, rng: np.random.Generator, base: float, tall: float, lit: float
) -> None:
    """A row of buildings from edge to edge."""
    left = float(rng.uniform(-0.1, 0.0))
    while left < 1.0:
        width = float(rng.uniform(0.1, 0.24))
        _building(canvas, rng, left, width, base - tall * float(rng.uniform(0.4, 1.0)), base, lit)
        left += width * float(rng.uniform(0.85, 1.1))


def _tower(canvas: Canvas, rng: np.random.Generator, x: float, base: float, lit: float) -> None:
    """A tall tower with a spire, over the skyline."""
    width, top = float(rng.uniform(0.08, 0.13)), float(rng.uniform(0.1, 0.28))
    _building(canvas, rng, x, width, top, base, lit)
    middle = x + width / 2
    tone = (0.16, 0.16, 0.2) if lit else (0.4, 0.4, 0.43)
    canvas.polygon([(x, top), (x + width, top), (middle, top - 0.1)], tone)
    canvas.line((middle, top - 0.08), (middle, top - 0.16), 0.012, tone)


def _car(canvas: Canvas, rng: np.random.Generator, x: float, y: float, s: float) -> None:
    colour = backdrop.pick(rng, _CARS)
    canvas.ellipse((x, y), (0.55 * s, 0.06 * s), (0.08, 0.08, 0.08))
    canvas.polygon(
        [
            (x - 0.3 * s, y - 0.2 * s),
            (x - 0.18 * s, y - 0.4 * s),
            (x + 0.18 * s, y - 0.4 * s),
            (x + 0.32 * s, y - 0.2 * s),
        ],
        (0.3, 0.4, 0.48),
    )
    canvas.rectangle(x - 0.5 * s, y - 0.24 * s, x + 0.5 * s, y - 0.06 * s, colour, 0.1)
    for side in (-0.3, 0.3):
        canvas.ellipse((x + side * s, y - 0.04 * s), (0.1 * s, 0.1 * s), (0.07, 0.07, 0.07))
        canvas.ellipse((x + side * s, y - 0.04 * s), (0.045 * s, 0.045 * s), (0.6, 0.6, 0.6))


def _street(canvas: Canvas, rng: np.random.Generator, base: float, lit: float) -> list[str]:
    """A road in front of the buildings, perhaps with cars."""
    tone = 0.12 if lit else float(rng.uniform(0.3, 0.45))
    canvas.below(
        np.full(canvas.size, base),
        np.asarray((tone, tone, tone * 1.03)) * (0.8 + 0.4 * canvas.grain)[..., None],
    )
    kerb = base + 0.03
    canvas.line((-0.1, kerb), (1.1, kerb), 0.025, (tone * 1.5, tone * 1.5, tone * 1.45), 0.2)
    lane = (base + 1.05) / 2
    for step in range(6):
        canvas.line(
            (step * 0.2, lane), (step * 0.2 + 0.09, lane), 0.015, (min(1.0, tone * 2.1),) * 3
        )
    count = int(rng.integers(0, 4))
    for k in range(count):
        x = (k + float(rng.uniform(0.3, 0.7))) / count
        _car(
            canvas,
            rng,
            x,
            float(rng.uniform(min(base + 0.1, 0.95), 0.97)),
            float(rng.uniform(0.18, 0.28)),
        )
    return ["a street", *(["cars" if count > 1 else "a car"] if count else [])]


def paint_day(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    """Draw a city by day; returns what was drawn."""
    above = backdrop.sky(canvas, rng)
    base = float(rng.uniform(0.68, 0.88))
    haze = canvas.pixels.copy()
    _skyline(canvas, rng, base, float(rng.uniform(0.45, 0.7)), 0.0)
    canvas.pixels[:] = mix(canvas.pixels, haze, float(rng.uniform(0.25, 0.6)))
    towers = int(rng.choice([0, 1, 1, 2, 3]))
    for k in range(towers):
        _tower(canvas, rng, (k + float(rng.uniform(0.1, 0.6))) / towers, base, 0.0)
    _skyline(canvas, rng, base, float(rng.uniform(0.15, 0.45)), 0.0)
    words = (
        [f"{_COUNT[towers]} tower" + ("s" if towers > 1 else "")] if towers else ["tall buildings"]
    )
    if rng.random() < 0.25:
        backdrop.water(canvas, rng, base, jitter(rng, (0.25, 0.4, 0.5)))
        return [*words, "buildings", "a river", above]
    return [*words, "buildings", *_street(canvas, rng, base, 0.0), above]


def _dark_sky(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    canvas.gradient(jitter(rng, (0.02, 0.03, 0.08), 0.015), jitter(rng, (0.1, 0.1, 0.2), 0.04))
    words = ["a dark sky"]
    if rng.random() < 0.7:
        stars = rng.random((canvas.size, canvas.size)) < rng.uniform(0.002, 0.012)
        canvas.pixels += (stars * rng.uniform(0.3, 0.9, stars.shape))[..., None]
        words = ["stars"]
    if rng.random() < 0.5:
        at = (float(rng.uniform(0.1, 0.9)), float(rng.uniform(0.1, 0.35)))
        radius = float(rng.uniform(0.035, 0.09))
        canvas.glow(at, radius * 2, (0.5, 0.5, 0.6), 0.4)
        canvas.ellipse(at, (radius, radius), (0.97, 0.95, 0.85), 0, 0.2, 0.3)
        words.append("the moon")
    return words


def _lamps(canvas: Canvas, rng: np.random.Generator, base: float) -> None:
    count = int(rng.integers(2, 5))
    for k in range(count):
        x, top = (k + float(rng.uniform(0.2, 0.8))) / count, base - float(rng.uniform(0.15, 0.35))
        canvas.line((x, base + 0.08), (x, top), 0.016, (0.1, 0.1, 0.1))
        canvas.glow((x, top), 0.06, backdrop.pick(rng, _LIGHTS[:2]), 1.3)
        canvas.glow((x, base + 0.1), 0.08, (0.6, 0.5, 0.3), 0.35)


def _fireworks(canvas: Canvas, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 4))):
        x, y = float(rng.uniform(0.2, 0.8)), float(rng.uniform(0.15, 0.45))
        colour, rays = backdrop.pick(rng, _LIGHTS), int(rng.integers(10, 22))
        canvas.glow((x, y), 0.1, colour, 0.5)
        for angle in np.linspace(0, 2 * np.pi, rays, endpoint=False):
            r = float(rng.uniform(0.1, 0.24))
            end = (x + r * float(np.cos(angle)), y + r * float(np.sin(angle)))
            start = (x + 0.3 * (end[0] - x), y + 0.3 * (end[1] - y))
            canvas.line(start, end, 0.012, colour)


def _night_hills(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    line = float(rng.uniform(0.6, 0.75)) + 0.2 * (ridge(rng, canvas.size, 3, 5) - 0.5)
    canvas.below(line, np.asarray((0.03, 0.04, 0.05)) * (0.5 + canvas.grain)[..., None])
    if rng.random() < 0.5:
        glow = np.clip(fractal_noise(rng, canvas.size, 2, 3, stretch=0.3) - 0.4, 0, 1) * np.clip(
            line[None, :] - canvas.y, 0, 1
        )
        canvas.pixels += glow[..., None] * np.asarray((0.2, 1.4, 0.9))
        return ["northern lights", "hills at night"]
    for _ in range(int(rng.integers(3, 14))):
        canvas.glow(
            (float(rng.random()), float(rng.uniform(0.75, 0.95))),
            0.012,
            backdrop.pick(rng, _LIGHTS),
            1.4,
        )
    return ["hills at night", "distant lights"]


def _night_bokeh(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    canvas.gradient((0.03, 0.02, 0.05), (0.08, 0.06, 0.08))
    for _ in range(int(rng.integers(15, 45))):
        radius = float(rng.uniform(0.02, 0.075))
        at = (float(rng.random()), float(rng.normal(0.5, 0.2)))
        canvas.ellipse(
            at, (radius, radius), shade(backdrop.pick(rng, _LIGHTS), float(rng.uniform(0.3, 0.9)))
        )
    return ["city lights at night", "traffic lights"]


def paint_night(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    """Draw a night scene; returns what was drawn."""
    draw = rng.random()
    if draw < 0.15:
        return _night_bokeh(canvas, rng)
    above = _dark_sky(canvas, rng)
    if draw < 0.4:
        return [*_night_hills(canvas, rng), *above]
    base = float(rng.uniform(0.7, 0.85))
    words = ["a city at night"]
    if draw < 0.6:
        _fireworks(canvas, rng)
        words = ["fireworks at night"]
    _skyline(canvas, rng, base, float(rng.uniform(0.2, 0.55)), float(rng.uniform(0.25, 0.6)))
    if rng.random() < 0.35:
        backdrop.water(canvas, rng, base, (0.02, 0.03, 0.06))
        return [*words, "lit windows", "reflections", *above]
    words += _street(canvas, rng, base, 1.0)
    _lamps(canvas, rng, base)
    return [*words, "street lamps", *above]
