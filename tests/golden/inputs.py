"""Network inputs and movements of weights in golden cases of whole training steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.methods.kit.lens import Lens
from bench.methods.kit.views import CENTRE, Crop
from tests.golden import Comparison, recipe


@dataclass(frozen=True)
class AsTheyAre(Lens):
    """Hands network inputs on: a case's images are normalised already."""

    def pixels(self, crops: Any) -> Tensor:
        """The inputs behind `crops_of`, (B, 3, size, size)."""
        return torch.stack([crop.images[crop.index] for crop in crops])


def lens(size: int = 224) -> Lens:
    """A lens that changes nothing."""
    return AsTheyAre(size, (0.0,) * 3, (1.0,) * 3, torch.device("cpu"))


def crops_of(images: Mapping[str, Any], size: int = 224) -> list[Crop]:
    """A case's images as a method's crops."""
    inputs: Any = torch.from_numpy(recipe.images(**{"size": size, **images}))
    key = tuple(images.values())
    return [Crop(inputs, place, CENTRE, (key, place)) for place in range(len(inputs))]


def movement(
    entry: str, expected: Mapping[str, Any], delta: Tensor, probe: Tensor, norm: float, share: float
) -> list[Comparison]:
    """A tensor's distance from its start, and its product with a probe vector.

    `norm` is the relative tolerance of ‖delta‖; the product's is `share` · ‖delta‖ · rms(probe).
    """
    delta, probe = delta.double(), probe.double()
    wide = share * expected["norm"] * float(probe.square().mean()) ** 0.5
    product = float((delta * probe).sum())
    return [
        Comparison(f"{entry}/norm", expected["norm"], float(delta.norm()), norm, relative=True),
        Comparison(f"{entry}/probe", expected["probe"], product, wide),
    ]


def probe_of(name: str, shape: tuple[int, ...]) -> Tensor:
    """What a tensor's movement is multiplied with."""
    return torch.from_numpy(np.asarray(recipe.tensor(f"probe.{name}", shape)))


def refuse(case: Mapping[str, Any], **wanted: Any) -> None:
    """ValueError where a case has another value than the one that can be computed here."""
    for key, value in wanted.items():
        if case.get(key, value) != value:
            raise ValueError(f"this case has {key} {case[key]!r}; only {value!r} can be checked")


class Drawn:
    """Hands out a case's random numbers in their order."""

    def __init__(self, draws: Sequence[float]) -> None:
        self._left = list(draws)
        self.taken: list[float] = []
        """Those that were asked for."""

    def random(self) -> float:
        """The next one; ValueError where the authors drew no more."""
        if not self._left:
            raise ValueError("ours asks for more random numbers than the case has in 'draws'")
        self.taken.append(self._left.pop(0))
        return self.taken[-1]

    @property
    def left(self) -> int:
        """How many nobody has asked for."""
        return len(self._left)
