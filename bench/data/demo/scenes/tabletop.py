"""Still lifes: fruit and vessels on a table."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench.data.demo.canvas import Canvas, Colour, jitter, mix, shade
from bench.data.demo.noise import fractal_noise
from bench.data.demo.scenes import backdrop

_GLASS: tuple[Colour, ...] = (
    (0.12, 0.3, 0.15),
    (0.35, 0.2, 0.1),
    (0.3, 0.45, 0.6),
    (0.5, 0.1, 0.15),
)
_CERAMIC: tuple[Colour, ...] = (
    (0.9, 0.88, 0.85),
    (0.25, 0.4, 0.6),
    (0.7, 0.35, 0.25),
    (0.85, 0.75, 0.5),
)
_FRUIT: dict[str, tuple[Colour, ...]] = {
    "an apple": ((0.78, 0.12, 0.12), (0.5, 0.68, 0.2)),
    "an orange": ((0.95, 0.55, 0.1),),
    "a lemon": ((0.95, 0.85, 0.2),),
    "a pear": ((0.72, 0.72, 0.25),),
    "grapes": ((0.4, 0.15, 0.4), (0.55, 0.7, 0.3)),
}


def _shine(canvas: Canvas, x: float, y: float, s: float) -> None:
    at = (x + canvas.light[0] * 0.4 * s, y + canvas.light[1] * 0.4 * s)
    canvas.glow(at, 0.16 * s, (1.0, 1.0, 1.0), 0.65)


def _fruit(canvas: Canvas, rng: np.random.Generator, x: float, base: float, s: float) -> str:
    name = str(rng.choice(list(_FRUIT)))
    tone = backdrop.pick(rng, _FRUIT[name])
    y = base - 0.85 * s
    canvas.ellipse((x, base), (1.1 * s, 0.2 * s), (0.08, 0.06, 0.05))
    if name == "grapes":
        for k in range(14):
            row = k // 4
            at = (x + ((k % 4) - 1.5 + 0.3 * row) * 0.42 * s, base - 0.3 * s - row * 0.38 * s)
            canvas.ellipse(at, (0.3 * s, 0.3 * s), jitter(rng, tone, 0.04), 0, 0.9, 0.1)
        return name
    if name == "a pear":
        canvas.ellipse((x, y - 0.8 * s), (0.5 * s, 0.8 * s), tone, 0, 0.8, 0.2)
    long = 1.25 if name == "a lemon" else 1.0
    canvas.ellipse((x, y), (long * s, 0.9 * s), tone, float(rng.uniform(-0.4, 0.4)), 0.95, 0.22)
    if name in ("an apple", "a pear"):
        top = y - (1.5 if name == "a pear" else 0.75) * s
        canvas.line((x, top), (x + 0.15 * s, top - 0.4 * s), 0.1 * s, (0.3, 0.2, 0.1))
    _shine(canvas, x, y, s)
    return name


def _bottle(canvas: Canvas, rng: np.random.Generator, x: float, base: float, s: float) -> str:
    tone, tall = backdrop.pick(rng, _GLASS), float(rng.uniform(3.6, 4.8)) * s
    canvas.ellipse((x, base), (0.9 * s, 0.18 * s), (0.08, 0.06, 0.05))
    canvas.line((x, base - 0.6 * s), (x, base - 0.55 * tall), 1.3 * s, tone, 0.1)
    canvas.line((x, base - 0.5 * tall), (x, base - tall), 0.45 * s, tone)
    canvas.rectangle(
        x - 0.27 * s, base - tall - 0.35 * s, x + 0.27 * s, base - tall, shade(tone, 0.5)
    )
    if rng.random() < 0.6:
        canvas.rectangle(
            x - 0.6 * s,
            base - 0.42 * tall,
            x + 0.6 * s,
            base - 0.2 * tall,
            (0.92, 0.88, 0.75),
            0.15,
        )
    canvas.line(
        (x + 0.4 * canvas.light[0] * s, base - 0.5 * s),
        (x + 0.4 * canvas.light[0] * s, base - 0.55 * tall),
        0.1 * s,
        (0.9, 0.95, 0.95),
    )
    return "a bottle"


def _vase(canvas: Canvas, rng: np.random.Generator, x: float, base: float, s: float) -> str:
    tone = backdrop.pick(rng, _CERAMIC)
    canvas.ellipse((x, base), (1.0 * s, 0.18 * s), (0.08, 0.06, 0.05))
    filled = rng.random() < 0.6
    if filled:
        petal = backdrop.pick(
            rng, ((0.9, 0.3, 0.35), (0.95, 0.8, 0.3), (0.9, 0.9, 0.95), (0.6, 0.35, 0.7))
        )
        for _ in range(int(rng.integers(4, 10))):
            tip = (x + float(rng.uniform(-1.5, 1.5)) * s, base - float(rng.uniform(3.4, 5.0)) * s)
            canvas.line((x, base - 2.2 * s), tip, 0.08 * s, (0.2, 0.4, 0.18))
            canvas.ellipse(tip, (0.42 * s, 0.38 * s), jitter(rng, petal, 0.06), 0, 0.7, 0.5)
    canvas.ellipse((x, base - s), (1.0 * s, 1.05 * s), tone, 0, 0.7, 0.12)
    canvas.line((x, base - 1.6 * s), (x, base - 2.3 * s), 0.8 * s, shade(tone, 0.9), 0.1)
    canvas.ellipse((x, base - 2.6 * s), (0.62 * s, 0.16 * s), shade(tone, 0.6))
    _shine(canvas, x, base - s, s)
    return "a vase with flowers" if filled else "a vase"


def _cup(canvas: Canvas, rng: np.random.Generator, x: float, base: float, s: float) -> str:
    tone, side = backdrop.pick(rng, _CERAMIC), float(rng.choice([-1.0, 1.0]))
    canvas.ellipse((x, base), (1.5 * s, 0.3 * s), shade(tone, 0.85), 0, 0.3)
    canvas.ellipse((x + side * 0.95 * s, base - 0.7 * s), (0.42 * s, 0.42 * s), tone)
    canvas.ellipse((x + side * 0.95 * s, base - 0.7 * s), (0.24 * s, 0.24 * s), shade(tone, 0.35))
    canvas.polygon(
        [
            (x - 0.9 * s, base - 1.4 * s),
            (x + 0.9 * s, base - 1.4 * s),
            (x + 0.6 * s, base),
            (x - 0.6 * s, base),
        ],
        tone,
        0.08,
    )
    canvas.ellipse((x, base - 1.4 * s), (0.9 * s, 0.24 * s), shade(tone, 1.15))
    canvas.ellipse((x, base - 1.37 * s), (0.78 * s, 0.18 * s), jitter(rng, (0.3, 0.18, 0.1)))
    return "a cup"


def _bowl(canvas: Canvas, rng: np.random.Generator, x: float, base: float, s: float) -> str:
    tone = backdrop.pick(rng, _CERAMIC)
    canvas.ellipse((x, base), (1.3 * s, 0.22 * s), (0.08, 0.06, 0.05))
    for k in range(4):
        _fruit(canvas, rng, x + (k - 1.5) * 0.75 * s, base - 0.8 * s, 0.55 * s)
    canvas.polygon(
        [
            (x - 1.7 * s, base - 1.0 * s),
            (x + 1.7 * s, base - 1.0 * s),
            (x + 0.8 * s, base),
            (x - 0.8 * s, base),
        ],
        tone,
        0.15,
    )
    canvas.line(
        (x - 1.65 * s, base - 1.0 * s), (x + 1.65 * s, base - 1.0 * s), 0.14 * s, shade(tone, 1.2)
    )
    return "a bowl of fruit"


def _books(canvas: Canvas, rng: np.random.Generator, x: float, base: float, s: float) -> str:
    for k in range(int(rng.integers(2, 5))):
        wide, slip = float(rng.uniform(1.3, 1.8)) * s, float(rng.uniform(-0.2, 0.2)) * s
        low = base - k * 0.45 * s
        canvas.rectangle(
            x + slip - wide,
            low - 0.42 * s,
            x + slip + wide,
            low,
            jitter(rng, backdrop.pick(rng, _GLASS), 0.15),
            0.2,
        )
        canvas.rectangle(
            x + slip - 0.85 * wide,
            low - 0.32 * s,
            x + slip + wide,
            low - 0.1 * s,
            (0.92, 0.89, 0.8),
            0.2,
        )
    return "books"


_ITEMS: tuple[Callable[[Canvas, np.random.Generator, float, float, float], str], ...] = (
    _fruit,
    _fruit,
    _bottle,
    _vase,
    _cup,
    _bowl,
    _books,
)


def _table(canvas: Canvas, rng: np.random.Generator) -> str:
    """A plain dark or light ground and a table top of wood or cloth."""
    tone = backdrop.pick(
        rng, ((0.25, 0.2, 0.17), (0.55, 0.5, 0.45), (0.3, 0.33, 0.35), (0.7, 0.68, 0.62))
    )
    canvas.fill(mix(shade(tone, 0.5), shade(tone, 1.2), fractal_noise(rng, canvas.size, 2, 3)))
    edge = np.full(canvas.size, float(rng.uniform(0.55, 0.72)))
    if rng.random() < 0.5:
        wood = np.asarray(jitter(rng, (0.5, 0.32, 0.18)))
        fibre = fractal_noise(rng, canvas.size, 10, 4, stretch=8.0)
        canvas.below(edge, wood * (0.65 + 0.7 * fibre)[..., None])
        return "a wooden table"
    cloth = np.asarray(backdrop.pick(rng, ((0.9, 0.88, 0.84), (0.6, 0.15, 0.15), (0.3, 0.4, 0.55))))
    folds = fractal_noise(rng, canvas.size, 4, 3, stretch=0.4)
    check: float | NDArray[np.float64] = 1.0
    if rng.random() < 0.4:
        check = 1.0 - 0.18 * ((np.floor(canvas.x * 12) + np.floor(canvas.y * 12)) % 2)
    canvas.below(edge, cloth * (check * (0.7 + 0.5 * folds))[..., None])
    return "a table cloth"


def paint(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    """Draw a still life; returns what was drawn."""
    place = _table(canvas, rng)
    count = int(rng.integers(2, 6))
    depths = np.sort(rng.uniform(0.74, 0.94, count))
    slots = rng.permutation(count)
    words = []
    for k in range(count):
        x = (float(slots[k]) + 0.5) / count * 0.84 + 0.08 + float(rng.uniform(-0.04, 0.04))
        s = float(rng.uniform(0.085, 0.13)) * (1.25 if count < 4 else 0.9)
        words.append(_ITEMS[rng.integers(len(_ITEMS))](canvas, rng, x, float(depths[k]), s))
    return [*dict.fromkeys(words), place]
