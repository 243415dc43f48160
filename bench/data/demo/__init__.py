"""Rendered stand-ins for image-quality databases, for trying and testing the harness.

Importing this package is cheap: it holds only the description of the three sets. Rendering lives in
`bench.data.demo.render`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

CATEGORIES: tuple[str, ...] = (
    "animal",
    "cityscape",
    "human",
    "indoor",
    "landscape",
    "night",
    "plant",
    "still_life",
    "others",
)
"""The nine scene categories of the field (those of LIQE), in a fixed order."""

IMAGE_SIZE = 128
"""Height and width in pixels of every image of a demo set."""


@dataclass(frozen=True)
class DemoSet:
    """What is in one rendered set.

    `n_references` is 0 for a set without references; `kinds` are keys of
    `bench.data.demo.distortions.DISTORTIONS`; `levels` counts the steps of severity per kind,
    0 where the severity is continuous. `first_seed` is the seed of the set's first scene. The
    scenes of different sets, and those that the `tiny` backbone was trained on, come from disjoint
    ranges of seeds.
    """

    name: str
    title: str
    description: str
    n_images: int
    n_references: int
    kinds: tuple[str, ...]
    levels: int
    first_seed: int

    @property
    def has_references(self) -> bool:
        """Whether each image names the pristine scene that it was made from."""
        return self.n_references > 0


_SYNTHETIC = ("white_noise", "jpeg", "jpeg2000", "pink_noise", "gaussian_blur", "contrast")
_PRETRAIN = (
    "gaussian_blur",
    "lens_blur",
    "motion_blur",
    "white_noise",
    "impulse_noise",
    "jpeg",
    "jpeg2000",
    "contrast",
    "overexposure",
    "underexposure",
    "desaturation",
    "pixelation",
)
_AUTHENTIC = (
    "lens_blur",
    "motion_blur",
    "sensor_noise",
    "overexposure",
    "underexposure",
    "colour_cast",
    "haze",
    "jpeg",
)

DEMO_SETS: Mapping[str, DemoSet] = MappingProxyType(
    {
        "demo_authentic": DemoSet(
            name="demo_authentic",
            title="Demo (authentic)",
            description="600 rendered scenes with one to three capture-like distortions each",
            n_images=600,
            n_references=0,
            kinds=_AUTHENTIC,
            levels=0,
            first_seed=1_000_000,
        ),
        "demo_synthetic": DemoSet(
            name="demo_synthetic",
            title="Demo (synthetic)",
            description="25 rendered references x 6 distortion types x 4 levels",
            n_images=25 * len(_SYNTHETIC) * 4,
            n_references=25,
            kinds=_SYNTHETIC,
            levels=4,
            first_seed=2_000_000,
        ),
        "demo_pretrain": DemoSet(
            name="demo_pretrain",
            title="Demo (pre-training)",
            description="20 rendered references x 12 distortion types x 5 levels",
            n_images=20 * len(_PRETRAIN) * 5,
            n_references=20,
            kinds=_PRETRAIN,
            levels=5,
            first_seed=3_000_000,
        ),
    }
)
"""The rendered sets by name. They are never to be mixed with real databases in one table."""
