"""Features of images for methods: computed, or read from a cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]
"""Features, (n, d)."""
ComputeRows = Callable[[list[int]], Rows]
"""Positions of images -> their features, in that order."""


class Features(Protocol):
    """Features of images, computed only if they are not in the cache."""

    def __call__(
        self, owner: str, what: Mapping[str, Any], digests: Sequence[str], compute: ComputeRows
    ) -> Rows:
        """The row of every image, (n, d), by the digests of their pixels (`Images.digest`).

        Rows may only depend on the pixels and on `what`: the network, the identity of its frozen
        weights and the pooling, as plain JSON. `owner` is the module whose code computes them
        (`__name__`); a digest of that code is part of the key. Never keep anything that was learnt
        from labels.
        """


def computed_anew(
    owner: str, what: Mapping[str, Any], digests: Sequence[str], compute: ComputeRows
) -> Rows:
    """`Features` that keep nothing."""
    return compute(list(range(len(digests))))
