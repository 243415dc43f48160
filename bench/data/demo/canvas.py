"""Anti-aliased painting of simple shapes on a float image.

Coordinates are fractions of the image: x to the right, y downwards, both in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.data.demo.noise import Array, fractal_noise, generator

Colour: TypeAlias = tuple[float, float, float]
Paint: TypeAlias = Colour | Array
Point: TypeAlias = tuple[float, float]


def mix(first: Paint, second: Paint, share: float | Array) -> Array:
    """`first` where share is 0, `second` where it is 1; a map (h, w) as share gives (h, w, 3)."""
    part = np.asarray(share, dtype=np.float64)
    part = part[..., None] if part.ndim else part
    return np.asarray(first) * (1.0 - part) + np.asarray(second) * part


def jitter(rng: np.random.Generator, colour: Colour, amount: float = 0.06) -> Colour:
    """`colour` moved a little in hue and brightness, within [0, 1]."""
    moved = np.asarray(colour) * (1.0 + rng.uniform(-2, 2) * amount) + rng.uniform(
        -amount, amount, 3
    )
    red, green, blue = np.clip(moved, 0.0, 1.0).tolist()
    return red, green, blue


def shade(colour: Colour, factor: float) -> Colour:
    """`colour` made darker (factor < 1) or lighter (> 1), within [0, 1]."""
    red, green, blue = (min(1.0, max(0.0, value * factor)) for value in colour)
    return red, green, blue


class Canvas:
    """A square image under construction.

    `pixels` is float64 (size, size, 3), nominally in [0, 1]; `grain` is a fixed fractal field in
    [0, 1] that shapes use as their surface texture; `light` is the unit direction of the light.
    """

    def __init__(self, size: int, seed: object) -> None:
        rng = generator("canvas", seed)
        self.size = size
        self.pixels: Array = np.zeros((size, size, 3))
        centres = (np.arange(size) + 0.5) / size
        self.x: Array = np.broadcast_to(centres, (size, size))
        self.y: Array = np.broadcast_to(centres[:, None], (size, size))
        self.grain = fractal_noise(rng, size, cells=12, octaves=4, gain=0.8)
        angle = rng.uniform(-2.6, -0.5)
        self.light = (float(np.cos(angle)), float(np.sin(angle)))

    def window(self, box: tuple[float, float, float, float]) -> tuple[slice, slice] | None:
        """The pixels of a box (left, top, right, bottom), one pixel of margin; None if outside."""
        left, top, right, bottom = (value * self.size for value in box)
        columns = slice(max(0, int(left) - 1), min(self.size, int(right) + 2))
        rows = slice(max(0, int(top) - 1), min(self.size, int(bottom) + 2))
        if columns.start >= columns.stop or rows.start >= rows.stop:
            return None
        return rows, columns

    def blend(self, window: tuple[slice, slice], alpha: Array, paint: Paint) -> None:
        """Lay `paint` (a colour or (h, w, 3)) over a window with opacity `alpha` (h, w)."""
        area = self.pixels[window]
        area += alpha[..., None] * (np.asarray(paint) - area)

    def _cover(self, distance: Array) -> Array:
        """Opacity from a signed distance in image fractions (negative inside)."""
        return np.clip(0.5 - distance * self.size, 0.0, 1.0)

    def _textured(self, window: tuple[slice, slice], colour: Colour, texture: float) -> Paint:
        if texture == 0.0:
            return colour
        factor = 1.0 + texture * (self.grain[window] - 0.5) * 2.0
        return np.asarray(colour) * factor[..., None]

    def fill(self, paint: Paint) -> None:
        """Cover the whole image."""
        self.pixels[:] = paint

    def below(self, line: Array, paint: Paint, softness: float = 1.0) -> None:
        """Cover everything under a horizon `line` (size,) of y values."""
        alpha = np.clip(0.5 + (self.y - line[None, :]) * self.size / softness, 0.0, 1.0)
        self.blend((slice(None), slice(None)), alpha, paint)

    def ellipse(
        self,
        centre: Point,
        radii: Point,
        colour: Colour,
        angle: float = 0.0,
        volume: float = 0.0,
        texture: float = 0.0,
    ) -> None:
        """An ellipse; `volume` > 0 shades it like a ball lit from `light`."""
        reach = max(radii)
        box = (centre[0] - reach, centre[1] - reach, centre[0] + reach, centre[1] + reach)
        window = self.window(box)
        if window is None:
            return
        dx, dy = self.x[window] - centre[0], self.y[window] - centre[1]
        cos, sin = np.cos(angle), np.sin(angle)
        u, v = (dx * cos + dy * sin) / radii[0], (dy * cos - dx * sin) / radii[1]
        radius = np.sqrt(u * u + v * v)
        alpha = self._cover((radius - 1.0) * min(radii))
        paint = self._textured(window, colour, texture)
        if volume:
            lit = (
                1.0
                + volume * (dx * self.light[0] + dy * self.light[1]) / reach
                - volume * 0.3 * radius
            )
            paint = np.asarray(paint) * np.clip(lit, 0.15, 1.8)[..., None]
        self.blend(window, alpha, paint)

    def line(
        self, start: Point, end: Point, width: float, colour: Colour, texture: float = 0.0
    ) -> None:
        """A straight stroke with round ends, `width` thick."""
        half = width / 2.0
        xs, ys = sorted((start[0], end[0])), sorted((start[1], end[1]))
        window = self.window((xs[0] - half, ys[0] - half, xs[1] + half, ys[1] + half))
        if window is None:
            return
        px, py = self.x[window] - start[0], self.y[window] - start[1]
        bx, by = end[0] - start[0], end[1] - start[1]
        along = np.clip((px * bx + py * by) / max(bx * bx + by * by, 1e-12), 0.0, 1.0)
        dx, dy = px - along * bx, py - along * by
        self.blend(
            window,
            self._cover(np.sqrt(dx * dx + dy * dy) - half),
            self._textured(window, colour, texture),
        )

    def polygon(self, points: Sequence[Point], colour: Colour, texture: float = 0.0) -> None:
        """A convex polygon, its corners in either direction of turning."""
        corners: NDArray[np.float64] = np.asarray(points, dtype=np.float64)
        box = (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
        window = self.window((box[0], box[1], box[2], box[3]))
        if window is None:
            return
        following = np.roll(corners, -1, axis=0)
        area = np.sum(corners[:, 0] * following[:, 1] - following[:, 0] * corners[:, 1])
        distance = np.full(self.x[window].shape, -np.inf)
        for (ax, ay), (bx, by) in zip(corners, following, strict=True):
            length = max(float(np.hypot(bx - ax, by - ay)), 1e-9)
            side = ((self.x[window] - ax) * (by - ay) - (self.y[window] - ay) * (bx - ax)) / length
            distance = np.maximum(distance, side if area > 0 else -side)
        self.blend(window, self._cover(distance), self._textured(window, colour, texture))

    def rectangle(
        self,
        left: float,
        top: float,
        right: float,
        bottom: float,
        colour: Colour,
        texture: float = 0.0,
    ) -> None:
        """An upright rectangle."""
        window = self.window((left, top, right, bottom))
        if window is None:
            return
        x, y = self.x[window], self.y[window]
        distance = np.maximum(np.maximum(left - x, x - right), np.maximum(top - y, y - bottom))
        self.blend(window, self._cover(distance), self._textured(window, colour, texture))

    def glow(self, centre: Point, radius: float, colour: Colour, strength: float = 1.0) -> None:
        """Added light that falls off around a point."""
        reach = 3.0 * radius
        box = (centre[0] - reach, centre[1] - reach, centre[0] + reach, centre[1] + reach)
        window = self.window(box)
        if window is None:
            return
        dx, dy = self.x[window] - centre[0], self.y[window] - centre[1]
        fall = np.maximum(0.0, 1.0 - (dx * dx + dy * dy) / (reach * reach)) ** 4
        self.pixels[window] += strength * fall[..., None] * np.asarray(colour)

    def gradient(self, top: Colour, bottom: Colour) -> None:
        """Cover the image with a vertical gradient."""
        self.fill(mix(top, bottom, self.y))
