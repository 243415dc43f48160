"""The observer model: how good a rendered picture is said to look.

The score of a picture is made in three steps, all of them stated here so that results on the demo
sets can be read with the truth at hand.

1. *Impairment.* Each distortion k of severity s in [0, 5] impairs by `w_k * (s / 5) ** p_k *
   visibility`, where visibility depends on the *pristine content*: noise and block artefacts hide
   in texture (the mean over 8 x 8 blocks of 1 / (1 + local deviation / 0.05)), blur is invisible
   where there is no detail (saturating in the mean gradient), overexposure shows in bright
   pictures and underexposure in dark ones, loss of colour in colourful ones.
2. *Latent quality.* Several impairments add up with a Minkowski exponent of 2 (the strongest
   dominates), and quality falls off as 1 + 4 * exp(-impairment), so it lies in (1, 5]. A small
   *content term* (at most 0.25) favours well lit, colourful, contrasty pictures; only the authentic
   set has it, as people judging real photographs cannot separate the two.
3. *Raters.* A pool of raters, each with a bias (deviation 0.3) and an inconsistency of their own
   (deviation 0.4 to 0.9), answers on the five-point scale: latent + bias + noise, rounded and
   clipped. Each picture is seen by a random part of the pool; MOS is the mean of the answers,
   spread their standard deviation.

Because of step 3 not even the latent quality correlates perfectly with MOS: see `CEILING_SRCC`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.data.demo import filters
from bench.data.demo.noise import generator

CEILING_SRCC = {"demo_authentic": 0.98, "demo_synthetic": 0.97, "demo_pretrain": 0.98}
"""SRCC between latent quality and MOS over each whole set, to two decimals: the best achievable."""

POOL_SIZE = 40
"""How many raters each set has; a picture is seen by some of them."""

_WEIGHTS: dict[str, tuple[float, float]] = {
    "gaussian_blur": (2.6, 1.2),
    "lens_blur": (2.6, 1.2),
    "motion_blur": (2.3, 1.2),
    "white_noise": (1.9, 1.1),
    "pink_noise": (1.8, 1.2),
    "sensor_noise": (1.9, 1.1),
    "impulse_noise": (2.3, 1.0),
    "jpeg": (2.6, 1.4),
    "jpeg2000": (2.6, 1.3),
    "contrast": (1.3, 1.5),
    "overexposure": (1.8, 1.4),
    "underexposure": (1.8, 1.4),
    "desaturation": (0.8, 1.6),
    "colour_cast": (1.4, 1.3),
    "pixelation": (2.8, 1.1),
    "quantisation": (1.8, 1.2),
    "haze": (1.4, 1.2),
}
_NOISE_LIKE = {"white_noise", "pink_noise", "sensor_noise", "impulse_noise", "jpeg", "quantisation"}
_BLUR_LIKE = {"gaussian_blur", "lens_blur", "motion_blur", "jpeg2000", "pixelation"}


@dataclass(frozen=True)
class Content:
    """What of a pristine picture decides how visible distortions are; all in [0, 1].

    `smoothness`: how much of it would show noise; `detail`: how much there is to lose by blur;
    `brightness`: mean luma; `colourfulness`: mean distance from grey, saturating; `contrast`: the
    deviation of luma over 0.3.
    """

    smoothness: float
    detail: float
    brightness: float
    colourfulness: float
    contrast: float


def measure(pixels: NDArray[np.floating]) -> Content:
    """Measure a pristine sRGB image (h, w, 3) in [0, 1], sides multiples of 8."""
    planes = filters.to_ycc(np.asarray(pixels, dtype=np.float64))
    light = planes[..., 0]
    rows, columns = light.shape[0] // 8, light.shape[1] // 8
    activity = light.reshape(rows, 8, columns, 8).swapaxes(1, 2).std(axis=(2, 3))
    down, across = np.gradient(light)
    gradient = float(np.mean(np.hypot(down, across)))
    chroma = float(np.mean(np.hypot(planes[..., 1], planes[..., 2])))
    return Content(
        smoothness=float(np.mean(1.0 / (1.0 + activity / 0.05))),
        detail=gradient / (gradient + 0.03),
        brightness=float(light.mean()),
        colourfulness=chroma / (chroma + 0.08),
        contrast=min(1.0, float(light.std()) / 0.3),
    )


def visibility(kind: str, content: Content) -> float:
    """How visible a kind of distortion is on a content, about 0.4 to 1.6, 1 on ordinary content."""
    if kind in _NOISE_LIKE:
        return 0.4 + 1.1 * content.smoothness
    if kind in _BLUR_LIKE:
        return 0.4 + 1.2 * content.detail
    if kind == "overexposure":
        return 0.5 + 1.1 * content.brightness
    if kind == "underexposure":
        return 1.4 - 0.9 * content.brightness
    if kind in ("desaturation", "colour_cast"):
        return 0.6 + 0.9 * content.colourfulness
    return 0.6 + 0.7 * content.contrast


def impairment(kind: str, severity: float, content: Content) -> float:
    """How much one distortion of `severity` in [0, 5] impairs a picture, 0 for not at all."""
    weight, exponent = _WEIGHTS[kind]
    return float(weight * (severity / 5.0) ** exponent * visibility(kind, content))


def latent_quality(
    distortions: Sequence[tuple[str, float]], content: Content, content_term: bool
) -> float:
    """The quality in [1, 5] of a content under (kind, severity) distortions, before any rater."""
    total = float(np.sqrt(sum(impairment(kind, s, content) ** 2 for kind, s in distortions)))
    quality = 1.0 + 4.0 * float(np.exp(-total))
    if content_term:
        appeal = (
            content.colourfulness + content.contrast - 2.0 * abs(content.brightness - 0.5) - 0.7
        )
        quality += 0.25 * float(np.tanh(2.0 * appeal))
    return float(np.clip(quality, 1.0, 5.0))


@dataclass(frozen=True)
class Opinion:
    """What the raters said: mean in [1, 5], standard deviation, and how many they were."""

    score: float
    spread: float
    raters: int


def rate(dataset: str, index: int, quality: float) -> Opinion:
    """Ask a random part of the data set's pool of raters about picture `index`."""
    pool = generator(dataset, "raters")
    bias = pool.normal(0.0, 0.3, POOL_SIZE)
    inconsistency = pool.uniform(0.4, 0.9, POOL_SIZE)
    rng = generator(dataset, index, "opinions")
    seen_by = rng.permutation(POOL_SIZE)[: int(rng.integers(12, 26))]
    felt = quality + bias[seen_by] + inconsistency[seen_by] * rng.standard_normal(len(seen_by))
    answers = np.clip(np.rint(felt), 1, 5)
    return Opinion(float(answers.mean()), float(answers.std(ddof=1)), len(seen_by))
