"""Captions for rendered scenes: what is in the picture, and now and then how good it looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
FLAWS: dict[str, tuple[str, ...]] = {
    "gaussian_blur": ("blurry", "soft"),
    "lens_blur": ("blurry", "out of focus"),
    "motion_blur": ("blurry", "shaky"),
    "white_noise": ("noisy", "grainy"),
    "pink_noise": ("noisy", "dirty"),
    "sensor_noise": ("noisy", "grainy"),
    "impulse_noise": ("noisy", "speckled"),
    "jpeg": ("low quality", "blocky", "compressed"),
    "jpeg2000": ("low quality", "blurry", "compressed"),
    "contrast": ("dull", "flat"),
    "overexposure": ("overexposed", "too bright"),
    "underexposure": ("underexposed", "dark"),
    "desaturation": ("faded", "dull"),
    "colour_cast": ("tinted", "off-colour"),
    "pixelation": ("pixelated", "low quality"),
    "quantisation": ("banded", "low quality"),
    "haze": ("hazy", "foggy"),
}
"""Words for what is wrong with a picture, by kind of distortion."""

_VERDICTS = (
    "{} photo.",
    "a {} photo.",
    "a {} picture.",
    "a {} image",
    "a photo of {}.",
    "{} photo",
    "{}.",
    "a photo with {} quality.",
)

TASTE: dict[str, float] = {
    "landscape": 1.0,
    "animal": 0.7,
    "plant": 0.4,
    "night": 0.3,
    "human": 0.0,
    "still_life": -0.2,
    "cityscape": -0.5,
    "indoor": -0.7,
    "others": -1.0,
}
"""What captions praise beside quality: on the web, too, pretty subjects are called good photos."""


@dataclass(frozen=True)
class Opinions:
    """How captions speak of quality."""

    rate: float = 0.4
    """The share of captions that say how good a picture looks."""
    noise: float = 0.8
    """The deviation, on the five-point scale, of what they say."""
    weight: float = 0.35
    """How much the latent quality, about 3, counts in it."""
    taste: float = 1.0
    """How much the subject counts in it (`TASTE`)."""

    def felt(self, rng: np.random.Generator, category: str, quality: float) -> float:
        """The opinion of one caption's writer, about 1 to 5."""
        opinion = 3.0 + self.weight * (quality - 3.0) + self.taste * TASTE[category]
        return opinion + self.noise * float(rng.standard_normal())


DEFAULT = Opinions()


def caption(
    rng: np.random.Generator,
    category: str,
    words: Sequence[str],
    quality: float,
    kinds: Sequence[str] = (),
    opinions: Opinions = DEFAULT,
) -> str:
    """A caption for a scene of a category with the named things in it.

    `quality` is the latent quality in [1, 5] and `kinds` the visible distortions; they show
    in some captions, and loosely.
    """
    text = _subject(rng, category, words)
    if rng.random() >= opinions.rate:
        return text
    verdict = _opinion(rng, opinions.felt(rng, category, quality), kinds)
    draw = rng.random()
    if draw < 0.45:
        return _pick(rng, _VERDICTS).format(verdict)
    if draw < 0.75:
        return f"a {verdict} photo of {_listing(rng, words)}"
    return f"{text.rstrip('.')}, {verdict}"


def long_caption(
    rng: np.random.Generator,
    category: str,
    words: Sequence[str],
    quality: float,
    kinds: Sequence[str] = (),
    opinions: Opinions = DEFAULT,
) -> str:
    """Several captions of the same picture in a row, to give the late text positions some use."""
    count = int(rng.integers(3, 8))
    texts = (caption(rng, category, words, quality, kinds, opinions) for _ in range(count))
    return " ".join(texts)


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


def _opinion(rng: np.random.Generator, felt: float, kinds: Sequence[str]) -> str:
    if felt > 3.3:
        return _pick(rng, _GOOD)
    if kinds and rng.random() < 0.4:
        return _pick(rng, FLAWS[_pick(rng, kinds)])
    return _pick(rng, _FAIR if felt > 2.5 else _POOR)
