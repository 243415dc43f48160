"""What fits no other category: vehicles close up, patterns, signs, machines."""

from __future__ import annotations

import numpy as np

from bench.data.demo.canvas import Canvas, Colour, Point, jitter, mix, shade
from bench.data.demo.noise import fractal_noise
from bench.data.demo.scenes import backdrop

_BRIGHT: tuple[Colour, ...] = (
    (0.85, 0.15, 0.2),
    (0.95, 0.75, 0.1),
    (0.1, 0.45, 0.75),
    (0.15, 0.6, 0.35),
    (0.95, 0.95, 0.93),
    (0.12, 0.12, 0.14),
    (0.95, 0.5, 0.1),
    (0.5, 0.2, 0.6),
)


def _mosaic(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    palette = np.asarray([jitter(rng, _BRIGHT[k], 0.08) for k in rng.permutation(len(_BRIGHT))[:4]])
    count = int(rng.integers(4, 15))
    turn = float(rng.choice([0.0, 0.0, np.pi / 4, 0.3]))
    u = (canvas.x * np.cos(turn) + canvas.y * np.sin(turn)) * count + 40
    v = (canvas.y * np.cos(turn) - canvas.x * np.sin(turn)) * count + 40
    cells = rng.integers(0, 4, (97, 97))[np.floor(u).astype(int) % 97, np.floor(v).astype(int) % 97]
    seam = np.minimum(u % 1.0, v % 1.0) < 0.09
    tone = np.where(seam, 0.35, 0.75 + 0.5 * canvas.grain)
    canvas.fill(palette[cells] * tone[..., None])
    return ["a colourful mosaic", "tiles"]


def _waves(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    field = fractal_noise(rng, canvas.size, cells=2, octaves=3)
    bands = np.floor(field * float(rng.integers(6, 14))).astype(int)
    palette = np.asarray([backdrop.pick(rng, _BRIGHT, 0.1) for _ in range(16)])
    canvas.fill(palette[bands] * (0.85 + 0.3 * canvas.grain)[..., None])
    return ["an abstract painting", "a colourful pattern"]


def _sign(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    backdrop.wall(canvas, rng)
    paint, ink = backdrop.pick(rng, _BRIGHT), (0.97, 0.97, 0.95)
    wide, tall = float(rng.uniform(0.3, 0.44)), float(rng.uniform(0.2, 0.36))
    x, y = float(rng.uniform(0.45, 0.55)), float(rng.uniform(0.42, 0.55))
    round_sign = rng.random() < 0.4
    if round_sign:
        canvas.ellipse((x, y), (0.36, 0.36), ink)
        canvas.ellipse((x, y), (0.33, 0.33), paint, 0, 0.15, 0.1)
        canvas.rectangle(x - 0.02, y + 0.33, x + 0.02, 1.1, (0.5, 0.5, 0.5), 0.2)
        wide, tall = 0.26, 0.12
    else:
        canvas.rectangle(x - wide - 0.02, y - tall - 0.02, x + wide + 0.02, y + tall + 0.02, ink)
        canvas.rectangle(x - wide, y - tall, x + wide, y + tall, paint, 0.15)
    lines = 1 if round_sign else int(rng.integers(1, 4))
    for line in range(lines):
        _lettering(
            canvas,
            rng,
            x,
            y + tall * (2 * (line + 0.5) / lines - 1),
            0.85 * wide,
            0.5 * tall / lines,
            ink,
        )
    return ["a sign with letters", "a wall"]


def _lettering(
    canvas: Canvas,
    rng: np.random.Generator,
    x: float,
    y: float,
    wide: float,
    half: float,
    ink: Colour,
) -> None:
    """A row of letter-like strokes centred on (x, y)."""
    count = int(rng.integers(3, 8))
    step = 2 * wide / count
    for k in range(count):
        left, right = x - wide + k * step + 0.15 * step, x - wide + (k + 1) * step - 0.15 * step
        middle = (left + right) / 2
        strokes: list[tuple[Point, Point]] = [
            ((left, y - half), (left, y + half)),
            ((right, y - half), (right, y + half)),
            ((left, y - half), (right, y - half)),
            ((left, y + half), (right, y + half)),
            ((left, y), (right, y)),
            ((middle, y - half), (middle, y + half)),
            ((left, y + half), (right, y - half)),
        ]
        for which in rng.permutation(len(strokes))[: int(rng.integers(2, 4))]:
            start, end = strokes[which]
            canvas.line(start, end, 0.16 * step, ink)


def _wheel(canvas: Canvas, x: float, y: float, r: float, spokes: int) -> None:
    canvas.ellipse((x, y), (r, r), (0.08, 0.08, 0.09), 0, 0.2, 0.2)
    canvas.ellipse((x, y), (0.65 * r, 0.65 * r), (0.7, 0.71, 0.73), 0, 0.4)
    for k in range(spokes):
        angle = 2 * np.pi * k / spokes
        tip = (x + 0.58 * r * float(np.cos(angle)), y + 0.58 * r * float(np.sin(angle)))
        canvas.line((x, y), tip, 0.09 * r, (0.3, 0.3, 0.32))


def _vehicle(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    backdrop.sky(canvas, rng)
    road = float(rng.uniform(0.66, 0.76))
    canvas.below(
        np.full(canvas.size, road),
        np.asarray((0.38, 0.38, 0.4)) * (0.75 + 0.5 * canvas.grain)[..., None],
    )
    paint, x = backdrop.pick(rng, _BRIGHT), float(rng.uniform(0.46, 0.54))
    base, bus = road + 0.12, rng.random() < 0.4
    canvas.ellipse((x, base + 0.02), (0.46, 0.04), (0.1, 0.1, 0.1))
    glass = (0.25, 0.35, 0.42)
    if bus:
        canvas.rectangle(x - 0.44, base - 0.5, x + 0.44, base - 0.04, paint, 0.1)
        for k in range(5):
            canvas.rectangle(
                x - 0.4 + k * 0.165, base - 0.44, x - 0.27 + k * 0.165, base - 0.26, glass, 0.3
            )
        canvas.rectangle(x - 0.44, base - 0.2, x + 0.44, base - 0.16, shade(paint, 0.6))
    else:
        top = [
            (x - 0.26, base - 0.2),
            (x - 0.15, base - 0.38),
            (x + 0.14, base - 0.38),
            (x + 0.28, base - 0.2),
        ]
        canvas.polygon(top, shade(paint, 0.9), 0.1)
        canvas.polygon(
            [
                (x - 0.21, base - 0.21),
                (x - 0.13, base - 0.35),
                (x - 0.01, base - 0.35),
                (x - 0.01, base - 0.21),
            ],
            glass,
        )
        canvas.polygon(
            [
                (x + 0.02, base - 0.21),
                (x + 0.02, base - 0.35),
                (x + 0.12, base - 0.35),
                (x + 0.22, base - 0.21),
            ],
            glass,
        )
        canvas.line((x - 0.38, base - 0.13), (x + 0.38, base - 0.12), 0.17, paint, 0.1)
        canvas.ellipse((x + 0.43, base - 0.15), (0.03, 0.03), (1.0, 0.95, 0.7))
    for side in (-0.26, 0.26):
        _wheel(canvas, x + side, base - 0.02, 0.09, int(rng.integers(5, 9)))
    return ["a bus" if bus else "a car", "a road"]


def _aeroplane(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    above = backdrop.sky(canvas, rng)
    x, y, tilt = (
        float(rng.uniform(0.42, 0.58)),
        float(rng.uniform(0.38, 0.6)),
        float(rng.uniform(-0.2, 0.2)),
    )
    stripe = backdrop.pick(rng, _BRIGHT)
    hull, grey = (0.93, 0.94, 0.95), (0.7, 0.72, 0.75)
    rise = 0.4 * tilt
    canvas.polygon(
        [(x + 0.02, y), (x - 0.1, y), (x - 0.25, y - 0.3), (x - 0.17, y - 0.3)], grey, 0.1
    )
    canvas.line((x - 0.36, y - rise), (x + 0.36, y + rise), 0.13, hull, 0.06)
    canvas.line((x - 0.36, y - rise), (x + 0.36, y + rise), 0.025, stripe)
    canvas.polygon(
        [
            (x - 0.4, y - rise),
            (x - 0.26, y - rise),
            (x - 0.4, y - rise - 0.2),
            (x - 0.46, y - rise - 0.2),
        ],
        stripe,
        0.1,
    )
    canvas.polygon(
        [(x + 0.06, y), (x - 0.1, y), (x - 0.22, y + 0.34), (x - 0.14, y + 0.34)],
        shade(grey, 0.85),
        0.1,
    )
    return ["an aeroplane", above]


def _gears(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    tone = backdrop.pick(rng, ((0.35, 0.36, 0.38), (0.5, 0.42, 0.3), (0.2, 0.25, 0.3)))
    streaks = fractal_noise(rng, canvas.size, 20, 2, stretch=12.0)
    canvas.fill(np.asarray(tone) * (0.6 + 0.5 * streaks)[..., None])
    metals: tuple[Colour, ...] = ((0.72, 0.73, 0.75), (0.75, 0.58, 0.3), (0.55, 0.3, 0.2))
    for _ in range(int(rng.integers(2, 6))):
        x, y, r = (
            float(rng.uniform(0.1, 0.9)),
            float(rng.uniform(0.1, 0.9)),
            float(rng.uniform(0.12, 0.27)),
        )
        metal, teeth = backdrop.pick(rng, metals), int(rng.integers(10, 18))
        canvas.ellipse((x + 0.02, y + 0.03), (1.12 * r, 1.12 * r), (0.08, 0.08, 0.08))
        turn = float(rng.random())
        for k in range(teeth):
            angle = turn + 2 * np.pi * k / teeth
            tip = (x + 1.15 * r * float(np.cos(angle)), y + 1.15 * r * float(np.sin(angle)))
            canvas.line((x, y), tip, 0.2 * r, shade(metal, 0.9))
        canvas.ellipse((x, y), (r, r), metal, 0, 0.5, 0.15)
        canvas.ellipse((x, y), (0.65 * r, 0.65 * r), shade(metal, 0.75), 0, -0.4, 0.15)
        canvas.ellipse((x, y), (0.2 * r, 0.2 * r), (0.1, 0.1, 0.1))
    return ["metal gears", "a machine"]


def _balloons(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    canvas.fill(
        mix(backdrop.pick(rng, _BRIGHT, 0.1), (0.9, 0.9, 0.9), float(rng.uniform(0.3, 0.8)))
    )
    canvas.pixels *= (0.9 + 0.2 * canvas.grain)[..., None]
    for _ in range(int(rng.integers(4, 12))):
        x, y, r = float(rng.random()), float(rng.uniform(0.1, 0.7)), float(rng.uniform(0.08, 0.16))
        canvas.line((x, y), (x + 0.05, y + 0.6), 0.008, (0.4, 0.4, 0.4))
        canvas.ellipse((x, y), (r, 1.2 * r), backdrop.pick(rng, _BRIGHT, 0.1), 0, 0.7)
        canvas.glow(
            (x + 0.4 * r * canvas.light[0], y + 0.4 * r * canvas.light[1]),
            0.2 * r,
            (1.0, 1.0, 1.0),
            0.6,
        )
    return ["colourful balloons"]


def paint(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    """Draw a subject outside the other categories; returns what was drawn."""
    painters = (_mosaic, _waves, _sign, _vehicle, _vehicle, _aeroplane, _gears, _balloons)
    return painters[rng.integers(len(painters))](canvas, rng)
