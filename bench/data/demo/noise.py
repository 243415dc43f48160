"""Seeded random numbers and smooth random fields."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def generator(*key: object) -> np.random.Generator:
    """A random generator that depends on `key` alone, not on what was drawn before it.

    The parts are joined as text and hashed (SHA-256), so the same key gives the same stream on
    every machine, in every order of calls.
    """
    digest = hashlib.sha256("/".join(str(part) for part in key).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


@lru_cache(maxsize=256)
def _upsampler(cells: int, size: int) -> Array:
    """A (size, cells + 1) matrix that interpolates a lattice with smoothstep weights."""
    where = (np.arange(size) + 0.5) / size * cells
    low = np.minimum(where.astype(int), cells - 1)
    part = where - low
    weight = part * part * (3.0 - 2.0 * part)
    matrix = np.zeros((size, cells + 1))
    matrix[np.arange(size), low] = 1.0 - weight
    matrix[np.arange(size), low + 1] += weight
    return matrix


def value_noise(rng: np.random.Generator, size: int, rows: int, columns: int) -> Array:
    """Smooth noise in [0, 1], shape (size, size), from a lattice of `rows` x `columns` cells."""
    lattice = rng.random((rows + 1, columns + 1))
    return _upsampler(rows, size) @ lattice @ _upsampler(columns, size).T


def fractal_noise(
    rng: np.random.Generator,
    size: int,
    cells: int = 4,
    octaves: int = 4,
    gain: float = 0.55,
    stretch: float = 1.0,
) -> Array:
    """A sum of octaves of value noise, shape (size, size), scaled to span exactly [0, 1].

    `stretch` > 1 lengthens the features along x (water, cloud banks), < 1 along y (wood, fur).
    """
    total = np.zeros((size, size))
    for octave in range(octaves):
        count = cells * 2**octave
        rows = min(size, max(1, round(count * stretch**0.5)))
        columns = min(size, max(1, round(count / stretch**0.5)))
        total += gain**octave * value_noise(rng, size, rows, columns)
    low, high = total.min(), total.max()
    return np.asarray((total - low) / max(high - low, 1e-9))


def ridge(
    rng: np.random.Generator, size: int, cells: int, octaves: int, gain: float = 0.5
) -> Array:
    """A jagged random line in [0, 1], shape (size,): the outline of hills or tree tops."""
    total = np.zeros(size)
    for octave in range(octaves):
        count = min(size, cells * 2**octave)
        where = np.linspace(0.0, count, size)
        total += gain**octave * np.interp(where, np.arange(count + 1), rng.random(count + 1))
    low, high = total.min(), total.max()
    return np.asarray((total - low) / max(high - low, 1e-9))
