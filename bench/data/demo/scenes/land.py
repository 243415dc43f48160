"""Landscapes: mountains, lakes, seas, deserts, fields and forests."""

from __future__ import annotations

import numpy as np

from bench.data.demo.canvas import Canvas, Colour, jitter, mix, shade
from bench.data.demo.noise import fractal_noise, ridge
from bench.data.demo.scenes import backdrop


def _sun(canvas: Canvas, rng: np.random.Generator, horizon: float) -> list[str]:
    if rng.random() > 0.35:
        return []
    at = (float(rng.uniform(0.1, 0.9)), float(rng.uniform(0.08, horizon)))
    canvas.glow(at, 0.14, (1.0, 0.8, 0.5), 0.6)
    canvas.ellipse(at, (0.05, 0.05), (1.0, 0.97, 0.85))
    return ["the sun"]


def _range(
    canvas: Canvas, rng: np.random.Generator, base: float, tall: float, colour: Colour, snow: bool
) -> None:
    """A mountain range with lit flanks and, if asked, snow on its tops."""
    line = base - tall * ridge(rng, canvas.size, int(rng.integers(2, 5)), 6, gain=0.5)
    slope = np.gradient(line) * canvas.size
    depth = canvas.y - line[None, :]
    rock = fractal_noise(rng, canvas.size, cells=8, octaves=4, gain=0.8, stretch=0.5)
    lit = 1.0 + 0.35 * np.tanh(slope * _side(canvas.light[0]))[None, :] + 0.5 * (rock - 0.5)
    paint = np.asarray(colour) * lit[..., None]
    if snow:
        cap = np.clip((0.3 * tall - depth + 0.25 * tall * (rock - 0.5)) / (0.1 * tall), 0.0, 1.0)
        paint = mix(paint, np.asarray((0.93, 0.95, 0.99)) * np.clip(lit, 0.7, 1.05)[..., None], cap)
    canvas.below(line, paint)


def _side(value: float) -> float:
    """-1 or 1: the side that the light comes from."""
    return 1.0 if value >= 0 else -1.0


def _trees(
    canvas: Canvas, rng: np.random.Generator, base: float, tall: float, colour: Colour
) -> None:
    """A line of conifers or round trees along `base`."""
    conifer = rng.random() < 0.5
    for _ in range(int(rng.integers(6, 22))):
        x, height = float(rng.random()), tall * float(rng.uniform(0.5, 1.0))
        foot = base + float(rng.uniform(-0.01, 0.03))
        tone = jitter(rng, colour, 0.05)
        if conifer:
            half = 0.25 * height
            canvas.polygon([(x - half, foot), (x + half, foot), (x, foot - height)], tone, 0.8)
        else:
            canvas.line((x, foot), (x, foot - 0.5 * height), 0.08 * height, (0.25, 0.17, 0.1))
            canvas.ellipse(
                (x, foot - 0.65 * height), (0.32 * height, 0.38 * height), tone, 0, 0.7, 0.8
            )


def _mountains(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    above = backdrop.sky(canvas, rng)
    base = float(rng.uniform(0.5, 0.7))
    extra = _sun(canvas, rng, base - 0.2)
    far = canvas.pixels.mean(axis=(0, 1))
    snow = rng.random() < 0.55
    tone = jitter(rng, (0.42, 0.4, 0.42))
    hazy = mix(tone, far, 0.55)
    _range(
        canvas,
        rng,
        base,
        float(rng.uniform(0.25, 0.42)),
        (float(hazy[0]), float(hazy[1]), float(hazy[2])),
        snow,
    )
    _range(
        canvas, rng, base + 0.03, float(rng.uniform(0.12, 0.25)), tone, snow and rng.random() < 0.5
    )
    words = ["snowy mountains" if snow else "mountains"]
    if rng.random() < 0.5:
        backdrop.water(canvas, rng, base, jitter(rng, (0.2, 0.4, 0.5)))
        words.append("a lake")
    else:
        words.append(backdrop.ground(canvas, rng, base))
    if rng.random() < 0.6:
        _trees(
            canvas,
            rng,
            base + 0.02,
            float(rng.uniform(0.1, 0.25)),
            backdrop.pick(rng, backdrop.GREENS[:3]),
        )
        words.append("trees")
    return [*words, *extra, above]


def _sea(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    above = backdrop.sky(canvas, rng)
    horizon = float(rng.uniform(0.35, 0.55))
    extra = _sun(canvas, rng, horizon)
    backdrop.water(canvas, rng, horizon, jitter(rng, (0.1, 0.38, 0.5), 0.08))
    words = ["the sea"]
    if rng.random() < 0.6:
        shore = float(rng.uniform(0.68, 0.85)) + 0.15 * (ridge(rng, canvas.size, 2, 3) - 0.5)
        canvas.below(shore - 0.02, (0.95, 0.97, 0.97), softness=4.0)
        sand = np.asarray(jitter(rng, (0.85, 0.75, 0.55)))
        canvas.below(shore, sand * (0.85 + 0.3 * canvas.grain)[..., None], softness=3.0)
        words = ["a beach", "the sea"]
    if rng.random() < 0.4:
        x, s = float(rng.uniform(0.2, 0.8)), float(rng.uniform(0.08, 0.16))
        canvas.polygon(
            [
                (x - s, horizon),
                (x + s, horizon),
                (x + 0.6 * s, horizon + 0.03),
                (x - 0.6 * s, horizon + 0.03),
            ],
            (0.4, 0.2, 0.15),
        )
        canvas.polygon(
            [(x, horizon), (x, horizon - 1.8 * s), (x + 0.8 * s, horizon - 0.2 * s)],
            (0.97, 0.96, 0.93),
        )
        words.append("a sailing boat")
    return [*words, *extra, above]


def _desert(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    above = backdrop.sky(canvas, rng)
    extra = _sun(canvas, rng, 0.4)
    tone = jitter(rng, (0.85, 0.6, 0.35))
    for k in range(int(rng.integers(3, 6))):
        line = 0.42 + 0.13 * k + 0.2 * (ridge(rng, canvas.size, 2, 2, 0.2) - 0.5)
        smooth = np.convolve(np.pad(line, 8, mode="edge"), np.ones(17) / 17, mode="valid")
        ripple = 1.0 + 0.12 * np.sin((canvas.y - smooth[None, :]) * 130 + canvas.x * 15)
        lit = (
            ripple
            * (0.75 + 0.1 * k)
            * (1.0 + 0.4 * np.tanh(4 * np.gradient(smooth) * canvas.size))[None, :]
        )
        canvas.below(smooth, np.asarray(tone) * lit[..., None])
    return ["a desert", "sand dunes", *extra, above]


def _fields(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    above = backdrop.sky(canvas, rng)
    extra = _sun(canvas, rng, 0.35)
    for k in range(int(rng.integers(2, 5))):
        line = 0.45 + 0.15 * k + 0.16 * (ridge(rng, canvas.size, 2, 2, 0.25) - 0.5)
        smooth = np.convolve(np.pad(line, 6, mode="edge"), np.ones(13) / 13, mode="valid")
        tone = backdrop.pick(rng, (*backdrop.GREENS, (0.8, 0.7, 0.3)), 0.07)
        grass = fractal_noise(
            rng,
            canvas.size,
            cells=8,
            octaves=4,
            gain=0.9,
            stretch=float(rng.choice([0.2, 1.0, 4.0])),
        )
        canvas.below(smooth, np.asarray(tone) * (0.7 + 0.6 * grass)[..., None])
        if rng.random() < 0.5:
            at = float(smooth[int(rng.integers(canvas.size))])
            _trees(canvas, rng, at + 0.02, 0.08 + 0.07 * k, shade(tone, 0.7))
    words = ["green hills", "fields"]
    if rng.random() < 0.4:
        vanish = float(rng.uniform(0.3, 0.7))
        canvas.polygon(
            [(vanish, 0.55), (vanish + 0.02, 0.55), (vanish + 0.35, 1.05), (vanish - 0.2, 1.05)],
            (0.6, 0.52, 0.42),
            0.3,
        )
        words.append("a path")
    return [*words, *extra, above]


def paint(canvas: Canvas, rng: np.random.Generator) -> list[str]:
    """Draw a landscape; returns what was drawn."""
    draw = rng.random()
    if draw < 0.4:
        return _mountains(canvas, rng)
    if draw < 0.62:
        return _sea(canvas, rng)
    return _desert(canvas, rng) if draw < 0.76 else _fields(canvas, rng)
