"""Backgrounds that several categories share. Each returns the noun that names it."""

from __future__ import annotations

import numpy as np

from bench.data.demo.canvas import Canvas, Colour, jitter, mix, shade
from bench.data.demo.noise import fractal_noise

GREENS: tuple[Colour, ...] = (
    (0.28, 0.5, 0.18),
    (0.38, 0.55, 0.2),
    (0.2, 0.4, 0.2),
    (0.5, 0.55, 0.25),
)
SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((0.25, 0.5, 0.85), (0.75, 0.87, 0.97)),
    ((0.45, 0.65, 0.9), (0.9, 0.93, 0.95)),
    ((0.6, 0.65, 0.7), (0.85, 0.86, 0.87)),
    ((0.4, 0.35, 0.6), (0.98, 0.7, 0.45)),
    ((0.3, 0.45, 0.7), (0.99, 0.85, 0.65)),
)
WALLS: tuple[Colour, ...] = (
    (0.85, 0.8, 0.7),
    (0.7, 0.75, 0.8),
    (0.9, 0.9, 0.88),
    (0.55, 0.65, 0.6),
    (0.75, 0.55, 0.5),
    (0.4, 0.45, 0.55),
)


def pick(rng: np.random.Generator, options: tuple[Colour, ...], amount: float = 0.05) -> Colour:
    """One of the colours, moved a little."""
    return jitter(rng, options[rng.integers(len(options))], amount)


def sky(canvas: Canvas, rng: np.random.Generator) -> str:
    """A day or evening sky over the whole canvas, with or without clouds."""
    kind = int(rng.integers(len(SKIES)))
    top, bottom = (jitter(rng, colour, 0.03) for colour in SKIES[kind])
    canvas.gradient(top, bottom)
    if rng.random() < 0.65:
        clouds = fractal_noise(rng, canvas.size, cells=3, octaves=5, stretch=0.4)
        cover = np.clip((clouds - rng.uniform(0.4, 0.7)) * 4.0, 0.0, 0.9)
        tone = (1.0, 0.98, 0.97) if kind < 3 else (1.0, 0.85, 0.8)
        canvas.pixels[:] = mix(canvas.pixels, tone, cover)
        return "clouds"
    return "a sunset sky" if kind == 3 else "the sky"


def ground(canvas: Canvas, rng: np.random.Generator, horizon: float) -> str:
    """Rough ground under a horizon: grass, sand, snow or earth, finer towards the horizon."""
    kind = str(rng.choice(["grass", "grass", "sand", "snow", "earth"]))
    base = {
        "grass": pick(rng, GREENS),
        "sand": jitter(rng, (0.82, 0.7, 0.48)),
        "snow": jitter(rng, (0.9, 0.93, 0.97), 0.03),
        "earth": jitter(rng, (0.5, 0.38, 0.26)),
    }[kind]
    rough = {"grass": 0.75, "sand": 0.25, "snow": 0.12, "earth": 0.5}[kind]
    stretch = 0.2 if kind == "grass" else 0.6
    field = fractal_noise(rng, canvas.size, cells=10, octaves=4, gain=0.9, stretch=stretch)
    depth = np.clip((canvas.y - horizon) / max(1.0 - horizon, 0.05), 0.0, 1.0)
    tone = (1.0 + rough * (field - 0.5)) * (1.12 - 0.3 * depth)
    line = np.full(canvas.size, horizon) + 0.02 * (field[0] - 0.5)
    canvas.below(line, np.asarray(base) * tone[..., None], softness=3.0)
    return kind


def bokeh(canvas: Canvas, rng: np.random.Generator, colours: tuple[Colour, ...]) -> None:
    """An out-of-focus background of blended patches and soft discs."""
    first, second = pick(rng, colours, 0.1), pick(rng, colours, 0.1)
    field = fractal_noise(rng, canvas.size, cells=2, octaves=2)
    canvas.fill(mix(shade(first, 0.7), shade(second, 1.15), field))
    for _ in range(int(rng.integers(0, 9))):
        radius = float(rng.uniform(0.04, 0.13))
        where = (float(rng.random()), float(rng.random()))
        canvas.glow(where, radius * 0.5, pick(rng, colours, 0.1), float(rng.uniform(0.1, 0.45)))


def water(canvas: Canvas, rng: np.random.Generator, horizon: float, colour: Colour) -> None:
    """Rippled water under a horizon, mirroring the tones above it."""
    size = canvas.size
    ripples = fractal_noise(rng, size, cells=14, octaves=3, gain=0.7, stretch=6.0)
    row = max(1, int(horizon * size))
    mirrored = np.clip(2 * row - np.arange(size), 0, size - 1)
    reflection = canvas.pixels[mirrored]
    paint = mix(reflection, colour, 0.55) * (0.8 + 0.4 * ripples)[..., None]
    canvas.below(np.full(size, horizon), paint)


def wall(canvas: Canvas, rng: np.random.Generator) -> str:
    """A wall: plain plaster, wallpaper stripes, tiles or bricks."""
    kind = str(rng.choice(["plain", "plain", "striped", "tiled", "brick"]))
    colour = pick(rng, WALLS)
    tone = np.ones((canvas.size, canvas.size))
    if kind == "striped":
        tone = 1.0 + 0.1 * np.sign(np.sin(canvas.x * rng.uniform(25, 70)))
    if kind == "tiled":
        count = float(rng.integers(6, 14))
        edge = np.minimum((canvas.x * count) % 1.0, (canvas.y * count) % 1.0)
        tone = np.where(edge < 0.1, 0.8, 1.0)
    if kind == "brick":
        colour = jitter(rng, (0.62, 0.35, 0.27))
        rows = float(rng.integers(8, 16))
        level = np.floor(canvas.y * rows)
        across = (canvas.x * rows * 0.45 + 0.5 * (level % 2)) % 1.0
        seam = (across < 0.06) | ((canvas.y * rows) % 1.0 < 0.14)
        tone = np.where(seam, 1.25, 0.85 + 0.3 * canvas.grain)
    canvas.fill(np.asarray(colour) * (tone * (0.92 + 0.16 * canvas.grain))[..., None])
    return "a brick wall" if kind == "brick" else "a wall"
