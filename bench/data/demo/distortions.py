"""Image distortions with a continuous severity, as the IQA databases apply them.

Severity 0 is invisible or nearly so; 1 to 5 are the levels of the databases; in between is
interpolated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from bench.data.demo import filters
from bench.data.demo.noise import Array, fractal_noise

MAX_SEVERITY = 5.0

Ladder = tuple[float, float, float, float, float, float]
_Apply = Callable[[Array, float, np.random.Generator], Array]


@dataclass(frozen=True)
class Distortion:
    """A type of distortion: its key, a phrase that names it, its strength at severity 0..5."""

    kind: str
    phrase: str
    ladder: Ladder
    apply: _Apply

    def strength(self, severity: float) -> float:
        """The distortion's own parameter (pixels, sigma, quality...) at a severity in [0, 5]."""
        return float(np.interp(severity, np.arange(6), self.ladder))


def distort(
    pixels: NDArray[np.floating], kind: str, severity: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Distort an sRGB image (h, w, 3) in [0, 1]; returns the same shape and range, float32.

    `severity` is in [0, 5]. Raises ValueError for an unknown kind or a severity out of range.
    """
    if kind not in DISTORTIONS:
        raise ValueError(f"unknown distortion {kind!r}: use one of {', '.join(DISTORTIONS)}")
    if not 0.0 <= severity <= MAX_SEVERITY:
        raise ValueError(f"severity {severity} is outside [0, {MAX_SEVERITY:g}]")
    distortion = DISTORTIONS[kind]
    source = np.asarray(pixels, dtype=np.float64)
    result = distortion.apply(source, distortion.strength(severity), rng)
    return np.clip(result, 0.0, 1.0).astype(np.float32)


def _gaussian_blur(pixels: Array, sigma: float, rng: np.random.Generator) -> Array:
    return filters.gaussian(pixels, sigma)


def _lens_blur(pixels: Array, radius: float, rng: np.random.Generator) -> Array:
    return filters.convolve(pixels, filters.disc_kernel(radius))


def _motion_blur(pixels: Array, length: float, rng: np.random.Generator) -> Array:
    return filters.convolve(pixels, filters.line_kernel(length, float(rng.uniform(0.0, np.pi))))


def _white_noise(pixels: Array, sigma: float, rng: np.random.Generator) -> Array:
    return pixels + sigma * rng.standard_normal(pixels.shape)


def _pink_noise(pixels: Array, sigma: float, rng: np.random.Generator) -> Array:
    """Noise whose amplitude falls with 1/frequency, the same in all channels."""
    height, width = pixels.shape[:2]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = 1.0
    spectrum = np.fft.rfft2(rng.standard_normal((height, width))) / frequency
    field = np.fft.irfft2(spectrum, s=(height, width))
    return np.asarray(pixels + sigma * ((field - field.mean()) / field.std())[..., None])


def _sensor_noise(pixels: Array, gain: float, rng: np.random.Generator) -> Array:
    """Photon and read noise: in the light stronger absolutely, in the dark relatively."""
    deviation = np.sqrt(gain * pixels + gain * gain * 4.0)
    coloured = rng.standard_normal(pixels.shape)
    shared = rng.standard_normal(pixels.shape[:2])[..., None]
    return pixels + deviation * (0.75 * coloured + 0.6 * shared)


def _impulse_noise(pixels: Array, share: float, rng: np.random.Generator) -> Array:
    hit = rng.random(pixels.shape) < share
    return np.where(hit, rng.integers(0, 2, pixels.shape).astype(np.float64), pixels)


def _jpeg(pixels: Array, quality: float, rng: np.random.Generator) -> Array:
    return filters.jpeg(pixels, quality)


def _jpeg2000(pixels: Array, step: float, rng: np.random.Generator) -> Array:
    return filters.jpeg2000(pixels, step)


def _contrast(pixels: Array, gain: float, rng: np.random.Generator) -> Array:
    mean = pixels.mean()
    return np.asarray(mean + gain * (pixels - mean))


def _overexposure(pixels: Array, gain: float, rng: np.random.Generator) -> Array:
    return np.asarray(gain * pixels ** (1.0 / gain**0.35))


def _underexposure(pixels: Array, gain: float, rng: np.random.Generator) -> Array:
    return np.asarray(gain * pixels ** (1.0 + 0.4 * (1.0 - gain)))


def _desaturation(pixels: Array, keep: float, rng: np.random.Generator) -> Array:
    grey = filters.luma(pixels)[..., None]
    return grey + keep * (pixels - grey)


def _colour_cast(pixels: Array, amount: float, rng: np.random.Generator) -> Array:
    """A wrong white balance: towards a random hue of warm, cold, green or magenta."""
    angle = float(rng.uniform(0.0, 2.0 * np.pi))
    planes = filters.to_ycc(pixels)
    push = amount * np.array([np.cos(angle), np.sin(angle)])
    planes[..., 1:] += push * (0.3 + 0.7 * planes[..., :1])
    return filters.from_ycc(planes)


def _pixelation(pixels: Array, block: float, rng: np.random.Generator) -> Array:
    """Averaged to fewer pixels, enlarged without smoothing; a fractional block is a mixture."""
    low = int(np.floor(block))
    share = block - low
    return (1.0 - share) * _blocks(pixels, low) + share * _blocks(pixels, low + 1)


def _blocks(pixels: Array, block: int) -> Array:
    rows, columns = (np.arange(side) // block for side in pixels.shape[:2])
    starts = [np.unique(index, return_index=True)[1] for index in (rows, columns)]
    sums = np.add.reduceat(np.add.reduceat(pixels, starts[0], axis=0), starts[1], axis=1)
    counts = np.outer(np.bincount(rows), np.bincount(columns))[..., None]
    return (sums / counts)[rows][:, columns]


def _quantisation(pixels: Array, levels: float, rng: np.random.Generator) -> Array:
    return np.asarray(np.rint(pixels * (levels - 1)) / (levels - 1))


def _haze(pixels: Array, density: float, rng: np.random.Generator) -> Array:
    """Scattered light, thicker towards the top of the picture and in drifting banks."""
    height, width = pixels.shape[:2]
    banks = fractal_noise(rng, max(height, width), cells=2, octaves=2)[:height, :width]
    depth = 1.25 - 0.6 * np.linspace(0.0, 1.0, height)[:, None] + 0.4 * (banks - 0.5)
    through = np.exp(-density * depth)[..., None]
    return pixels * through + np.array([0.86, 0.87, 0.89]) * (1.0 - through)


_ALL = (
    Distortion("gaussian_blur", "gaussian blur", (0.1, 0.7, 1.2, 1.9, 2.9, 4.3), _gaussian_blur),
    Distortion("lens_blur", "defocus blur", (0.3, 1.1, 1.9, 2.9, 4.2, 6.0), _lens_blur),
    Distortion("motion_blur", "motion blur", (1.0, 3.0, 5.0, 8.0, 12.0, 17.0), _motion_blur),
    Distortion("white_noise", "white noise", (0.004, 0.03, 0.055, 0.09, 0.14, 0.22), _white_noise),
    Distortion("pink_noise", "pink noise", (0.003, 0.025, 0.045, 0.08, 0.13, 0.2), _pink_noise),
    Distortion(
        "sensor_noise", "sensor noise", (0.0002, 0.002, 0.006, 0.014, 0.03, 0.06), _sensor_noise
    ),
    Distortion(
        "impulse_noise", "impulse noise", (0.0, 0.005, 0.015, 0.035, 0.08, 0.16), _impulse_noise
    ),
    Distortion("jpeg", "JPEG compression", (92.0, 45.0, 25.0, 15.0, 9.5, 6.5), _jpeg),
    Distortion(
        "jpeg2000", "JPEG2000 compression", (0.01, 0.045, 0.09, 0.16, 0.27, 0.45), _jpeg2000
    ),
    Distortion("contrast", "low contrast", (1.0, 0.8, 0.62, 0.46, 0.32, 0.2), _contrast),
    Distortion("overexposure", "overexposure", (1.0, 1.12, 1.28, 1.5, 1.9, 2.5), _overexposure),
    Distortion(
        "underexposure", "underexposure", (1.0, 0.85, 0.7, 0.54, 0.39, 0.25), _underexposure
    ),
    Distortion("desaturation", "faded colours", (1.0, 0.75, 0.55, 0.35, 0.17, 0.0), _desaturation),
    Distortion("colour_cast", "a colour cast", (0.0, 0.05, 0.09, 0.14, 0.2, 0.28), _colour_cast),
    Distortion("pixelation", "pixelation", (1.0, 1.7, 2.5, 3.6, 5.2, 8.0), _pixelation),
    Distortion("quantisation", "colour banding", (64.0, 14.0, 9.0, 6.0, 4.0, 3.0), _quantisation),
    Distortion("haze", "haze", (0.0, 0.22, 0.42, 0.7, 1.1, 1.7), _haze),
)
DISTORTIONS: Mapping[str, Distortion] = MappingProxyType({item.kind: item for item in _ALL})
"""Every distortion by its key."""
