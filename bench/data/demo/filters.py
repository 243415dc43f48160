"""Linear filters and codecs on float images (h, w, 3), free of any codec library.

All arithmetic is float64: differences in the last bit between machines then vanish when the
result is rounded to 8 bits.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from bench.data.demo.noise import Array

_TO_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)
_FROM_YCC = np.linalg.inv(_TO_YCC)

# The example tables of the JPEG standard (ITU-T T.81, annex K).
_LUMA_TABLE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    dtype=np.float64,
)
_CHROMA_TABLE = np.full((8, 8), 99.0)
_CHROMA_TABLE[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]

# Lifting steps of the CDF 9/7 wavelet (JPEG 2000 part 1, irreversible path).
_LIFTING = (-1.586134342, -0.052980118, 0.882911076, 0.443506852)
_LIFTING_SCALE = 1.149604398


def to_ycc(pixels: Array) -> Array:
    """sRGB in [0, 1] to luma in [0, 1] and two chroma planes in [-0.5, 0.5]."""
    return np.asarray(pixels @ _TO_YCC.T)


def from_ycc(planes: Array) -> Array:
    """The inverse of `to_ycc`; not clipped."""
    return planes @ _FROM_YCC.T


def luma(pixels: Array) -> Array:
    """The luma plane (h, w) of an sRGB image, in [0, 1]."""
    return np.asarray(pixels @ _TO_YCC[0])


@lru_cache(maxsize=64)
def _gaussian_matrix(size: int, sigma: float) -> Array:
    """A (size, size) matrix that blurs a column, with mirrored borders."""
    reach = min(size - 1, max(1, int(np.ceil(4 * sigma))))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    taps /= taps.sum()
    matrix = np.zeros((size, size))
    for offset, tap in zip(range(-reach, reach + 1), taps, strict=True):
        where = np.abs(np.arange(size) + offset)
        where = np.where(where >= size, 2 * (size - 1) - where, where)
        np.add.at(matrix, (np.arange(size), where), tap)
    return matrix


def gaussian(image: Array, sigma: float) -> Array:
    """Gaussian blur of (h, w) or (h, w, c) with a standard deviation of `sigma` pixels."""
    if sigma < 0.05:
        return image
    rounded = round(float(sigma), 6)
    down = _gaussian_matrix(image.shape[0], rounded)
    across = _gaussian_matrix(image.shape[1], rounded)
    return np.asarray(
        np.einsum(
            "ij,j...->i...", across, np.swapaxes(np.tensordot(down, image, 1), 0, 1)
        ).swapaxes(0, 1)
    )


def convolve(image: Array, kernel: Array) -> Array:
    """Convolve each channel of (h, w, c) with an odd square kernel, mirrored borders."""
    reach = kernel.shape[0] // 2
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    shape = padded.shape[:2]
    spectrum = np.fft.rfft2(padded, axes=(0, 1)) * np.fft.rfft2(kernel, s=shape)[..., None]
    full = np.fft.irfft2(spectrum, s=shape, axes=(0, 1))
    return full[2 * reach :, 2 * reach :]


def disc_kernel(radius: float) -> Array:
    """The point spread of a defocused lens: an anti-aliased disc, `radius` in pixels."""
    reach = int(np.ceil(radius)) + 1
    axis = np.arange(-reach, reach + 1)
    distance = np.sqrt(axis[:, None] ** 2 + axis[None, :] ** 2)
    kernel = np.clip(radius + 0.5 - distance, 0.0, 1.0)
    return np.asarray(kernel / kernel.sum())


def line_kernel(length: float, angle: float) -> Array:
    """The point spread of a straight shake, `length` in pixels, `angle` in radians."""
    reach = int(np.ceil(length / 2)) + 1
    axis = np.arange(-reach, reach + 1)
    along = axis[None, :] * np.cos(angle) + axis[:, None] * np.sin(angle)
    beside = axis[:, None] * np.cos(angle) - axis[None, :] * np.sin(angle)
    inside = np.clip(length / 2 + 0.5 - np.abs(along), 0.0, 1.0)
    kernel = inside * np.clip(1.0 - np.abs(beside), 0.0, 1.0)
    return np.asarray(kernel / kernel.sum())


@lru_cache(maxsize=1)
def _dct_matrix() -> Array:
    frequency, place = np.arange(8)[:, None], np.arange(8)[None, :]
    matrix = 0.5 * np.cos((2 * place + 1) * frequency * np.pi / 16)
    matrix[0] /= np.sqrt(2.0)
    return matrix


def _quantise_blocks(plane: Array, table: Array) -> Array:
    """Quantise a plane, multiples of 8 in size and in units of 1/255, in the 8 x 8 DCT domain."""
    rows, columns = plane.shape[0] // 8, plane.shape[1] // 8
    dct = _dct_matrix()
    blocks = plane.reshape(rows, 8, columns, 8).swapaxes(1, 2)
    coefficients = dct @ blocks @ dct.T
    restored = dct.T @ (np.rint(coefficients / table) * table) @ dct
    return restored.swapaxes(1, 2).reshape(plane.shape)


def _padded(pixels: Array) -> Array:
    """Pad below and to the right to multiples of 16 by repeating the edge."""
    extra = [(0, -side % 16) for side in pixels.shape[:2]]
    return np.pad(pixels, (*extra, (0, 0)), mode="edge")


def jpeg(pixels: Array, quality: float) -> Array:
    """What baseline JPEG with 4:2:0 chroma leaves of an image; `quality` 1..100 as in libjpeg."""
    scale = 50.0 / quality if quality < 50 else 2.0 - quality / 50.0
    planes = to_ycc(_padded(pixels)) * 255.0
    luma_table = np.clip(np.rint(_LUMA_TABLE * scale), 1, 255)
    chroma_table = np.clip(np.rint(_CHROMA_TABLE * scale), 1, 255)
    planes[..., 0] = _quantise_blocks(planes[..., 0] - 128.0, luma_table) + 128.0
    for channel in (1, 2):
        plane = planes[..., channel]
        half = plane.reshape(plane.shape[0] // 2, 2, plane.shape[1] // 2, 2).mean(axis=(1, 3))
        coded = _quantise_blocks(half, chroma_table)
        planes[..., channel] = coded.repeat(2, axis=0).repeat(2, axis=1)
    return from_ycc(planes / 255.0)[: pixels.shape[0], : pixels.shape[1]]


@lru_cache(maxsize=32)
def _wavelet_pair(size: int) -> tuple[Array, Array]:
    """Analysis and synthesis matrices of one level of the CDF 9/7 transform of an even length."""
    signal = np.eye(size)
    even, odd = signal[0::2].copy(), signal[1::2].copy()
    for step, weight in enumerate(_LIFTING):
        if step % 2 == 0:
            odd += weight * (even + np.vstack([even[1:], even[-1:]]))
        else:
            even += weight * (odd + np.vstack([odd[:1], odd[:-1]]))
    analysis = np.vstack([even * _LIFTING_SCALE, odd / _LIFTING_SCALE])
    return analysis, np.asarray(np.linalg.inv(analysis), dtype=np.float64)


def _dead_zone(coefficients: Array, step: float) -> Array:
    """Quantise towards zero and restore to the middle of the bin."""
    count = np.floor(np.abs(coefficients) / step)
    return np.sign(coefficients) * np.where(count > 0, (count + 0.5) * step, 0.0)


def _wavelet_plane(plane: Array, step: float, levels: int = 4) -> Array:
    if levels == 0:
        return plane
    down, up = _wavelet_pair(plane.shape[0])
    right, left = _wavelet_pair(plane.shape[1])
    bands = down @ plane @ right.T
    rows, columns = plane.shape[0] // 2, plane.shape[1] // 2
    coded = _dead_zone(bands, step)
    coded[:rows, :columns] = _wavelet_plane(bands[:rows, :columns], step * 0.9, levels - 1)
    return up @ coded @ left.T


def jpeg2000(pixels: Array, step: float) -> Array:
    """What a wavelet codec leaves of an image; `step` is the finest quantiser step (0..1)."""
    planes = to_ycc(_padded(pixels))
    for channel, coarser in enumerate((1.0, 1.6, 1.6)):
        planes[..., channel] = _wavelet_plane(planes[..., channel], step * coarser)
    return from_ycc(planes)[: pixels.shape[0], : pixels.shape[1]]
