"""Rendered pictures for checking a method: graded, clean, and without any detail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.api import ImagePolicy
from bench.data.demo import filters, render
from bench.data.images.decode import decode
from bench.model.images import ArrayImages

COUNT = 8
BLUR = 5.0
"""Pixels; no detail of a rendered scene of 128 pixels survives it."""
WORST_BLUR = 6.0
"""Pixels, of the worst graded picture."""
WORST_LIGHT = 0.2
"""Brightness of the worst graded picture."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Pictures:
    """Image files of 128 x 128 pixels."""

    graded: Sequence[Path]
    """Scenes, the first ones dark and blurred; later is better."""
    clean: Sequence[Path]
    """The unchanged scenes."""
    blurred: Sequence[Path]
    """The scenes without any detail."""


def draw(folder: Path) -> Pictures:
    """Render the pictures into `folder`."""
    found = islice(render.references("demo_pretrain"), COUNT)
    scenes = [scene.pixels.astype(np.float64) for _, scene in found]
    shares = np.linspace(0, 1, COUNT)
    graded = [_graded(scene, share) for scene, share in zip(scenes, shares, strict=True)]
    blurred = [filters.gaussian(scene, BLUR) for scene in scenes]
    return Pictures(
        _written(folder / "graded", graded),
        _written(folder / "clean", scenes),
        _written(folder / "blurred", blurred),
    )


def _graded(scene: Array, share: float) -> Array:
    """A scene degraded to quality `share`, from 0 (the worst) to 1 (unchanged)."""
    if share == 1:
        return scene
    light = WORST_LIGHT + (1 - WORST_LIGHT) * share
    return filters.gaussian(scene, WORST_BLUR * (1 - share)) * light


def _written(folder: Path, arrays: Sequence[Array]) -> list[Path]:
    folder.mkdir()
    for index, pixels in enumerate(arrays):
        save_png(folder / f"{index:03}.png", np.clip(pixels * 255, 0, 255))
    return sorted(folder.glob("*.png"))


def save_png(path: Path, pixels: Array) -> None:
    """Write (H, W, 3) in 0–255."""
    Image.fromarray(np.asarray(pixels).astype(np.uint8)).save(path)


def seen(files: Sequence[Path], policy: ImagePolicy) -> ArrayImages:
    """Images under a policy, read-only as the harness gives them."""
    arrays = [decode(path, policy) for path in files]
    for array in arrays:
        array.setflags(write=False)
    return ArrayImages(arrays, [path.name for path in files])
