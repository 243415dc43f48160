"""Least squares of a sigmoid plus a constant or a line, on standardised data.

In y = a * sigmoid((x - m) / s) + (constant or line) only m and s are nonlinear. For given m and s
the rest is a projection, so the search has two dimensions instead of four or five (variable
projection, Golub & Pereyra, SIAM J. Numer. Anal. 10, 1973).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.metrics.inputs import FloatArray

# Bounds. The steepest curve rises from 10 % to 90 % within a fifth of the spread of the bulk: one
# steeper would fit the noise of single images. The flattest, in standard deviations of x, is a
# straight line, and a location further outside leaves an exponential.
STEEPEST = 0.05
FLATTEST = 100.0
MARGIN = 10.0
# A sigmoid that differs from the constant or line by less than this (relative) is only rounding.
NEGLIGIBLE = 1e-9
STARTS = 4
ROUNDS = 8
EVALUATIONS = 60


@dataclass(frozen=True)
class Shape:
    """The curve in standardised units: sigmoid height, location, scale, constant, slope."""

    height: float
    location: float
    scale: float
    constant: float
    slope: float


@dataclass(frozen=True)
class Solution:
    """The solver's solution, and whether it is a minimum."""

    shape: Shape
    mapped: FloatArray
    converged: bool
    message: str
    at_bound: bool


class Projected:
    """The fit of (n,) y by a sigmoid of (n,) x, both of mean 0 and standard deviation 1.

    >>> x = np.linspace(-1, 1, 9) / np.linspace(-1, 1, 9).std()
    >>> solution = Projected(x, np.sign(x) / np.sign(x).std(), with_line=False).solve()
    >>> solution.converged, round(float(solution.mapped[0]), 2)
    (True, -1.06)
    """

    def __init__(self, x: FloatArray, y: FloatArray, with_line: bool) -> None:
        self.x, self.y, self.with_line = x, y, with_line
        self._target = self._residual(y)
        # The scale is searched by its logarithm: it is positive and spans orders of magnitude.
        self._low = np.array([x.min() - MARGIN, np.log(STEEPEST * _bulk(x))])
        self._high = np.array([x.max() + MARGIN, np.log(FLATTEST)])

    def solve(self) -> Solution:
        """The best of several searches within the bounds, each from a good point of a grid."""
        found = min((self._search(start) for start in self._starts()), key=lambda run: run.cost)
        edge = bool(np.any((found.x - self._low < 1e-3) | (self._high - found.x < 1e-3)))
        shape = self._shape(found.x)
        mapped = self._curve(shape)
        converged = bool(found.status > 0 and np.isfinite(mapped).all())
        return Solution(shape, mapped, converged, str(found.message), edge)

    def _search(self, point: FloatArray) -> Any:
        from scipy.optimize import least_squares

        # Where a steep curve fits best, location and scale move together along a narrow valley.
        # "dogbox" follows it when it measures the location in units of the scale, which changes on
        # the way: hence rounds. The default "trf", or fixed units, may not arrive in hundreds.
        for _ in range(ROUNDS):
            found = least_squares(
                self._errors,
                point,
                jac=self._slopes,
                bounds=(self._low, self._high),
                method="dogbox",
                x_scale=(float(np.exp(point[1])), 1.0),
                ftol=1e-12,
                xtol=1e-10,
                gtol=1e-12,
                max_nfev=EVALUATIONS,
            )
            point = found.x
            if found.status > 0:
                break
        return found

    def _residual(self, rows: FloatArray) -> FloatArray:
        """The residuals of each row of (..., n) without the constant (and the line)."""
        rest = rows - rows.mean(axis=-1, keepdims=True)
        if self.with_line:
            rest = rest - (rest @ self.x)[..., None] * self.x / self.x.size
        return np.asarray(rest)

    def _sigmoids(self, points: FloatArray) -> FloatArray:
        """(..., n) sigmoids at (..., 2) points of location and log scale."""
        from scipy.special import expit

        location, scale = points[..., :1], np.exp(points[..., 1:])
        return np.asarray(expit((self.x - location) / scale))

    def _heights(self, rest: FloatArray) -> FloatArray:
        """(...,) best heights of the sigmoids whose residuals are the rows of `rest`."""
        power = (rest * rest).sum(axis=-1)
        usable = power > NEGLIGIBLE**2 * self.x.size
        return np.where(usable, rest @ self._target, 0.0) / np.where(usable, power, 1.0)

    def _errors(self, point: FloatArray) -> FloatArray:
        rest = self._residual(self._sigmoids(point))
        return np.asarray(self._target - self._heights(rest) * rest)

    def _slopes(self, point: FloatArray) -> FloatArray:
        """(n, 2) derivatives of the errors by location and log scale, the height following along.

        With r = rest, t = target and height h = (r't) / (r'r): dh = (dr't - 2 h r'dr) / (r'r).
        """
        sigmoid = self._sigmoids(point)
        slope = sigmoid * (1 - sigmoid)
        location, scale = float(point[0]), float(np.exp(point[1]))
        rest = self._residual(sigmoid)
        changes = self._residual(-np.stack([slope, slope * (self.x - location) / scale]))
        changes[0] /= scale
        height, power = float(self._heights(rest)), float(rest @ rest)
        if height == 0.0:
            return np.zeros((self.x.size, 2))
        bends = (changes @ self._target - 2 * height * (changes @ rest)) / power
        return np.asarray(-(np.outer(rest, bends) + height * changes.T))

    def _starts(self) -> FloatArray:
        """(STARTS, 2) grid points: the best one at each of the best locations."""
        inside = np.quantile(self.x, np.linspace(0.02, 0.98, 13))
        locations = np.concatenate([[self.x.min() - 2], inside, [self.x.max() + 2]])
        log_scales = np.linspace(self._low[1] + 0.5, np.log(10.0), 12)
        grid = np.stack(np.meshgrid(locations, log_scales, indexing="ij"), axis=-1)
        rest = self._residual(self._sigmoids(grid))
        gain = self._heights(rest) * (rest @ self._target)
        best_scale = gain.argmax(axis=1)
        # Different locations, since neighbouring scales lead to one minimum.
        best_location = np.argsort(-gain.max(axis=1), kind="stable")[:STARTS]
        return np.asarray(grid[best_location, best_scale[best_location]])

    def _shape(self, point: FloatArray) -> Shape:
        sigmoid = self._sigmoids(point)
        height = float(self._heights(self._residual(sigmoid)))
        rest = self.y - height * sigmoid
        slope = float(rest @ self.x) / self.x.size if self.with_line else 0.0
        location, scale = float(point[0]), float(np.exp(point[1]))
        return Shape(height, location, scale, float(rest.mean()), slope)

    def _curve(self, shape: Shape) -> FloatArray:
        sigmoid = self._sigmoids(np.array([shape.location, np.log(shape.scale)]))
        return np.asarray(shape.height * sigmoid + shape.constant + shape.slope * self.x)


def _bulk(x: FloatArray) -> float:
    """Spread of (n,) x without its tails, at most its standard deviation 1."""
    low, high = np.quantile(x, [0.25, 0.75])
    # 1.35 is the interquartile range of a normal variable; 0 when half of the values are one.
    spread = float(high - low) / 1.35
    return min(1.0, spread) if spread > 0 else 1.0
