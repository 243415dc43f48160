"""The nine scenes and eleven distortions of the paper, and their names in databases.

Databases name some thirty kinds of distortion each in their own words. Where LIQE, whose eleven
groups the paper takes over, has sorted a kind into a group, that is followed, surprising cases
included (KADID-10k's colour shift counts as blur, its denoising as noise). The kinds that LIQE
never met (most of TID2013's own, some of the demo sets') are sorted here.
"""

from __future__ import annotations

import re

SCENES = (
    "animal",
    "cityscape",
    "human",
    "indoor scene",
    "landscape",
    "night scene",
    "plant",
    "still-life",
    "others",
)
"""Scene categories S of the paper, in its order and words."""

DISTORTIONS = (
    "blur",
    "color-related",
    "contrast",
    "JPEG compression",
    "JPEG2000 compression",
    "noise",
    "over-exposure",
    "quantization",
    "under-exposure",
    "spatially-localized",
    "others",
)
"""Distortion types D of the paper, in its order and words."""

_SCENE_WORDS = {"indoor": "indoor scene", "night": "night scene", "other": "others"}

_GROUPS: dict[str, tuple[str, ...]] = {
    "blur": (
        "gaussian blur",
        "gblur",
        "lens",
        "lens blur",
        "motion",
        "motion blur",
        "realistic blur",
        "shifting",
        "colour shift",
    ),
    "color-related": (
        "color",
        "diffusion",
        "colour diffusion",
        "oversaturation",
        "desaturation",
        "colour saturation 1",
        "colour saturation 2",
        "change of colour saturation",
        "chromatic aberrations",
        "colour cast",
    ),
    "contrast": (
        "contrast change",
        "realistic contrast change",
        "sharpness",
        "high sharpen",
        "haze",
    ),
    "JPEG compression": ("jpeg", "jpeg transmission errors"),
    "JPEG2000 compression": ("jpeg2000", "jp2k", "fastfading", "jpeg2000 transmission errors"),
    "noise": (
        "white noise",
        "wn",
        "awgn",
        "fnoise",
        "pink noise",
        "sensor noise",
        "realistic noise",
        "white with color",
        "white noise in colour component",
        "impulse",
        "impulse noise",
        "multiplicative",
        "multiplicative noise",
        "white noise with denoise",
        "denoise",
        "image denoising",
        "additive gaussian noise",
        "additive noise in colour components",
        "spatially correlated noise",
        "masked noise",
        "high frequency noise",
        "multiplicative gaussian noise",
        "comfort noise",
        "lossy compression of noisy images",
    ),
    "over-exposure": ("overexposure", "brighten"),
    "quantization": (
        "color quantization",
        "colour quantization",
        "colour quantization with dither",
        "quantization noise",
        "quantisation",
    ),
    "under-exposure": ("underexposure", "darken"),
    "spatially-localized": (
        "spatial",
        "jitter",
        "noneccentricity patch",
        "non eccentricity patch",
        "non eccentricity pattern noise",
        "pixelate",
        "pixelation",
        "color blocking",
        "colour block",
        "local block wise distortions",
    ),
    "others": (
        "other",
        "other realistic",
        "shifting the mean",
        "mean shift",
        "sparse sampling and reconstruction",
    ),
}


def _plain(name: str) -> str:
    """Lower case, words apart by single spaces, without the type number of TID and KADID names."""
    words = re.sub(r"[\s_-]+", " ", name.strip().lower())
    return re.sub(r"^\d+ ", "", words)


_SCENE_INDEX = {_plain(name): index for index, name in enumerate(SCENES)}
_SCENE_INDEX |= {word: SCENES.index(name) for word, name in _SCENE_WORDS.items()}
_DISTORTION_INDEX = {
    _plain(kind): index
    for index, group in enumerate(DISTORTIONS)
    for kind in (group, *_GROUPS[group])
}


def scene_index(name: str) -> int | None:
    """Which of `SCENES` a database's word for a scene means; None for an unknown word."""
    return _SCENE_INDEX.get(_plain(name))


def distortion_index(name: str) -> int | None:
    """Which of `DISTORTIONS` a database's kind of distortion belongs to; None for an unknown kind.

    >>> DISTORTIONS[distortion_index("08 gaussian blur")], distortion_index("no such thing")
    ('blur', None)
    """
    return _DISTORTION_INDEX.get(_plain(name))
