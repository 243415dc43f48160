"""Captions for rendered scenes: what is in the picture, and now and then how good it looks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_NOUNS: dict[str, tuple[str, ...]] = {
    "animal": ("animal", "animals"),
    "cityscape": ("cityscape", "city", "city skyline"),
    "human": ("human", "person", "human being"),
    "indoor": ("indoor", "indoor scene", "room", "indoor room"),
    "landscape": ("landscape", "natural landscape"),
    "night": ("night", "night scene", "scene at night"),
    "plant": ("plant", "plants"),
    "still_life": ("still_life", "still life", "still-life"),
    "others": ("others", "other", "other things", "other scene"),
}
_FRAMES = (
    "a photo of a {}.",
    "a photo of a {}",
    "a photo of {}.",
    "a picture of a {}.",
    "an image of a {}.",
    "a photo of the {}.",
    "{}",
    "{}.",
    "a {} photo.",
    "the scene is {}.",
    "a photo of a {} scene.",
)
_OBJECT_FRAMES = (
    "a photo of {}.",
    "a picture of {}.",
    "{}",
    "{}.",
    "an image of {}",
    "a photo showing {}.",
    "this is {}.",
)
_GOOD = ("high quality", "good", "nice", "excellent", "perfect", "sharp", "clear", "great")
_FAIR = ("fair", "average", "decent", "ordinary", "medium quality")
_POOR = ("low quality", "bad", "poor", "blurry", "noisy", "ugly", "terrible", "degraded")
_VERDICTS = (
    "{} photo.",
    "a {} photo.",
    "a {} picture.",
    "a {} image",
    "a photo of {}.",
    "{} photo",
    "a photo with {} quality.",
)

OPINION_RATE = 0.25
"""The share of captions that say how good a picture looks."""

OPINION_NOISE = 0.8
"""The deviation, on the five-point scale, by which such captions miss the latent quality."""


def caption(rng: np.random.Generator, category: str, words: Sequence[str], quality: float) -> str:
    """A caption for a scene of a category with the named things in it.

    `quality` is the latent quality in [1, 5]; it shows in few captions, and loosely.
    """
    text = _subject(rng, category, words)
    if rng.random() >= OPINION_RATE:
        return text
    verdict = _opinion(rng, quality)
    draw = rng.random()
    if draw < 0.45:
        return _pick(rng, _VERDICTS).format(verdict)
    if draw < 0.75:
        return f"a {verdict} photo of {_listing(rng, words)}"
    return f"{text.rstrip('.')}, {verdict}"


def long_caption(
    rng: np.random.Generator, category: str, words: Sequence[str], quality: float
) -> str:
    """Several captions of the same picture in a row, to give the late text positions some use."""
    count = int(rng.integers(3, 8))
    return " ".join(caption(rng, category, words, quality) for _ in range(count))


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _listing(rng: np.random.Generator, words: Sequence[str]) -> str:
    """One to three of the things, the main one first: "a car and a road"."""
    count = min(len(words), int(rng.integers(1, 4)))
    listed = list(words[:count])
    if len(listed) == 1:
        return listed[0]
    joint = _pick(rng, (" and ", " with ", ", "))
    return ", ".join(listed[:-1]) + joint + listed[-1]


def _subject(rng: np.random.Generator, category: str, words: Sequence[str]) -> str:
    draw = rng.random()
    if draw < 0.3:
        return _pick(rng, _FRAMES).format(category)
    if draw < 0.45:
        return _pick(rng, _FRAMES).format(_pick(rng, _NOUNS[category]))
    listing = _listing(rng, words)
    if draw < 0.75:
        return _pick(rng, _OBJECT_FRAMES).format(listing)
    return f"a photo of a {_pick(rng, _NOUNS[category])} with {listing}."


def _opinion(rng: np.random.Generator, quality: float) -> str:
    felt = quality + OPINION_NOISE * float(rng.standard_normal())
    if felt > 3.3:
        return _pick(rng, _GOOD)
    return _pick(rng, _FAIR if felt > 2.5 else _POOR)
