"""Animals: quadrupeds, birds and fish."""

from __future__ import annotations

import numpy as np

from bench.data.demo.canvas import Canvas, Colour, jitter, shade
from bench.data.demo.noise import fractal_noise
from bench.data.demo.scenes import backdrop

_COATS: dict[str, tuple[Colour, ...]] = {
    "dog": ((0.55, 0.36, 0.2), (0.85, 0.72, 0.5), (0.2, 0.17, 0.15)),
    "cat": ((0.85, 0.55, 0.25), (0.45, 0.43, 0.42), (0.15, 0.14, 0.14)),
    "horse": ((0.45, 0.26, 0.14), (0.25, 0.16, 0.1), (0.8, 0.78, 0.75)),
    "sheep": ((0.92, 0.9, 0.84),),
    "cow": ((0.93, 0.91, 0.88), (0.5, 0.3, 0.2)),
    "zebra": ((0.93, 0.93, 0.92),),
}
_COUNT = ("no", "a", "two", "three", "four", "five", "six")


def _patch(
    canvas: Canvas, rng: np.random.Generator, species: str, x: float, y: float, s: float
) -> None:
    """Markings over the body: spots for cows, stripes for zebras, wool for sheep."""
    for step in range(7):
        at = (x + (step - 3) * 0.13 * s, y + float(rng.uniform(-0.06, 0.06)) * s)
        if species == "zebra":
            lean = 0.03 * s
            canvas.line(
                (at[0] - lean, y - 0.17 * s),
                (at[0] + lean, y + 0.16 * s),
                0.045 * s,
                (0.1, 0.1, 0.1),
            )
        elif species == "cow" and rng.random() < 0.6:
            canvas.ellipse(at, (0.09 * s, 0.07 * s), (0.12, 0.1, 0.1), texture=0.2)
        elif species == "sheep":
            canvas.ellipse(
                (at[0], at[1] - 0.08 * s), (0.12 * s, 0.11 * s), (0.95, 0.93, 0.88), 0, 0.3, 0.25
            )


def _quadruped(
    canvas: Canvas, rng: np.random.Generator, species: str, x: float, ground: float, s: float
) -> None:
    """A four-legged animal standing on `ground`, about `s` long."""
    coat = backdrop.pick(rng, _COATS[species])
    tall = {"horse": 0.5, "zebra": 0.45, "cow": 0.4, "sheep": 0.28, "dog": 0.3, "cat": 0.24}[
        species
    ]
    way = 1.0 if rng.random() < 0.5 else -1.0
    body = ground - tall * s - 0.1 * s
    canvas.ellipse((x, ground), (0.5 * s, 0.05 * s), (0.1, 0.1, 0.08))
    for step, side in enumerate((-0.38, -0.28, 0.26, 0.36)):
        foot = x + (side + float(rng.uniform(-0.06, 0.06))) * s
        tone = shade(coat, 0.65 if step % 2 else 0.9)
        canvas.line((x + side * s, body), (foot, ground), 0.085 * s, tone, 0.3)
    neck = (x + way * 0.55 * s, body - (0.3 if species in ("horse", "zebra") else 0.2) * s)
    canvas.line((x + way * 0.32 * s, body - 0.03 * s), neck, 0.17 * s, coat, 0.3)
    lift = float(rng.uniform(-0.3, 0.2)) * s
    canvas.line(
        (x - way * 0.45 * s, body - 0.05 * s),
        (x - way * 0.68 * s, body + lift),
        0.05 * s,
        coat,
        0.3,
    )
    canvas.ellipse((x, body), (0.48 * s, 0.2 * s), coat, 0, 0.6, 0.35)
    _patch(canvas, rng, species, x, body, s)
    _head(canvas, rng, species, neck, way, s, coat)


def _head(
    canvas: Canvas,
    rng: np.random.Generator,
    species: str,
    at: tuple[float, float],
    way: float,
    s: float,
    coat: Colour,
) -> None:
    dark = (0.06, 0.05, 0.05)
    tone = (0.2, 0.18, 0.17) if species == "sheep" and rng.random() < 0.6 else coat
    long = 0.12 if species == "cat" else 0.18
    for side in (-1.0, 1.0):
        ear = (at[0] + side * 0.07 * s - way * 0.03 * s, at[1] - 0.1 * s)
        if species == "cat":
            tip = (ear[0] + side * 0.02 * s, ear[1] - 0.11 * s)
            canvas.polygon(
                [(ear[0] - 0.05 * s, ear[1]), tip, (ear[0] + 0.05 * s, ear[1])], shade(tone, 0.8)
            )
        else:
            canvas.ellipse(ear, (0.04 * s, 0.09 * s), shade(tone, 0.7), angle=side * 0.6)
    canvas.ellipse(at, (long * s, 0.13 * s), tone, angle=way * 0.4, volume=0.5, texture=0.3)
    muzzle = (at[0] + way * long * 0.85 * s, at[1] + 0.06 * s)
    canvas.ellipse(muzzle, (0.08 * s, 0.065 * s), shade(tone, 1.15), texture=0.2)
    canvas.ellipse((muzzle[0] + way * 0.05 * s, muzzle[1] - 0.02 * s), (0.025 * s, 0.02 * s), dark)
    canvas.ellipse((at[0] + way * 0.05 * s, at[1] - 0.03 * s), (0.02 * s, 0.022 * s), dark)


def _bird(
    canvas: Canvas, rng: np.random.Generator, x: float, y: float, s: float, coat: Colour
) -> None:
    """A bird in profile, wing half open."""
    way = 1.0 if rng.random() < 0.5 else -1.0
    tilt = float(rng.uniform(-0.4, 0.4)) * s
    tail = [
        (x - way * 0.3 * s, y),
        (x - way * 0.75 * s, y - 0.1 * s),
        (x - way * 0.72 * s, y + 0.1 * s),
    ]
    canvas.polygon(tail, shade(coat, 0.6), 0.4)
    canvas.ellipse((x, y), (0.38 * s, 0.21 * s), coat, angle=way * -0.3, volume=0.6, texture=0.3)
    wing = [
        (x + 0.15 * s, y - 0.05 * s),
        (x - 0.3 * s, y - 0.03 * s),
        (x - way * 0.2 * s, y - 0.4 * s + tilt),
    ]
    canvas.polygon(wing, shade(coat, 0.75), 0.6)
    head = (x + way * 0.36 * s, y - 0.2 * s)
    beak = (head[0] + way * 0.3 * s, head[1] + 0.04 * s)
    canvas.polygon(
        [(head[0], head[1] - 0.06 * s), beak, (head[0], head[1] + 0.08 * s)], (0.9, 0.6, 0.15)
    )
    canvas.ellipse(head, (0.14 * s, 0.13 * s), shade(coat, 1.1), volume=0.4, texture=0.2)
    canvas.ellipse(
        (head[0] + way * 0.05 * s, head[1] - 0.03 * s), (0.025 * s, 0.025 * s), (0.05, 0.05, 0.05)
    )


def _fish(
    canvas: Canvas, rng: np.random.Generator, x: float, y: float, s: float, coat: Colour
) -> None:
    way = 1.0 if rng.random() < 0.5 else -1.0
    back = x - way * 0.35 * s
    canvas.polygon(
        [(back, y), (back - way * 0.3 * s, y - 0.2 * s), (back - way * 0.3 * s, y + 0.2 * s)],
        coat,
        0.5,
    )
    canvas.polygon(
        [(x - 0.2 * s, y), (x + 0.15 * s, y), (x - way * 0.1 * s, y - 0.36 * s)],
        shade(coat, 0.8),
        0.5,
    )
    canvas.ellipse((x, y), (0.43 * s, 0.2 * s), coat, 0, 0.6, 0.25)
    if rng.random() < 0.6:
        for step in range(3):
            at = x + (step - 1) * 0.16 * s
            canvas.line((at, y - 0.13 * s), (at, y + 0.13 * s), 0.05 * s, shade(coat, 1.7))
    canvas.ellipse((x + way * 0.28 * s, y - 0.05 * s), (0.045 * s, 0.045 * s), (0.95, 0.95, 0.95))
    canvas.ellipse((x + way * 0.29 * s, y - 0.05 * s), (0.025 * s, 0.025 * s), (0.05, 0.05, 0.05))


_PLUMAGE: tuple[Colour, ...] = (
    (0.8, 0.25, 0.2),
    (0.2, 0.4, 0.75),
    (0.9, 0.75, 0.2),
    (0.5, 0.45, 0.4),
    (0.9, 0.9, 0.9),
    (0.95, 0.5, 0.15),
)


def _herd(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    horizon = float(rng.uniform(0.2, 0.5))
    above = backdrop.sky(canvas, rng)
    under = backdrop.ground(canvas, rng, horizon)
    species = str(rng.choice(list(_COATS)))
    count = int(rng.choice([1, 1, 1, 2, 2, 3]))
    s = float(rng.uniform(0.5, 0.72) if count == 1 else rng.uniform(0.3, 0.42))
    for k in range(count):
        x = (k + 0.5) / count + float(rng.uniform(-0.06, 0.06))
        _quadruped(canvas, rng, species, x, float(rng.uniform(0.78, 0.93)), s)
    plural = species if species == "sheep" or count == 1 else species + "s"
    return [f"{_COUNT[count]} {plural}", under, above]


def _birds(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    count = int(rng.choice([1, 1, 2, 3]))
    coat = backdrop.pick(rng, _PLUMAGE)
    if rng.random() < 0.5:
        place = backdrop.sky(canvas, rng)
    else:
        backdrop.bokeh(canvas, rng, backdrop.GREENS)
        branch, slope = float(rng.uniform(0.62, 0.75)), float(rng.uniform(-0.1, 0.1))
        canvas.line((-0.1, branch - slope), (1.1, branch + slope), 0.05, (0.35, 0.24, 0.16), 0.7)
        place = "a branch"
    s = 0.6 if count == 1 else 0.32
    for k in range(count):
        at = ((k + 0.5) / count + float(rng.uniform(-0.05, 0.05)), float(rng.uniform(0.42, 0.58)))
        _bird(canvas, rng, *at, s * float(rng.uniform(0.85, 1.2)), jitter(rng, coat, 0.08))
    return ["a bird" if count == 1 else f"{_COUNT[count]} birds", place]


def _shoal(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    canvas.gradient(jitter(rng, (0.2, 0.6, 0.75)), jitter(rng, (0.04, 0.2, 0.4)))
    caustics = fractal_noise(rng, canvas.size, cells=6, octaves=4, stretch=3.0)
    canvas.pixels *= (0.75 + 0.5 * caustics)[..., None]
    bottom = 0.86 + 0.06 * caustics[0]
    canvas.below(
        bottom, np.asarray((0.65, 0.58, 0.42)) * (0.6 + 0.7 * canvas.grain)[..., None], 3.0
    )
    for _ in range(int(rng.integers(0, 5))):
        root = float(rng.random())
        canvas.line(
            (root, 1.0), (root + float(rng.uniform(-0.1, 0.1)), 0.6), 0.03, (0.15, 0.4, 0.2), 0.5
        )
    count = int(rng.integers(1, 6))
    coat = backdrop.pick(rng, _PLUMAGE)
    for k in range(count):
        at = (float(rng.uniform(0.2, 0.8)), (k + 0.5) / count * 0.75 + 0.05)
        _fish(
            canvas, rng, *at, float(rng.uniform(0.55, 0.75) / count**0.5), jitter(rng, coat, 0.08)
        )
    return ["a fish" if count == 1 else f"{_COUNT[count]} fish", "water"]


def paint(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    """Draw an animal scene; returns what was drawn."""
    draw = rng.random()
    if draw < 0.58:
        return _herd(canvas, rng)
    return _birds(canvas, rng) if draw < 0.8 else _shoal(canvas, rng)
