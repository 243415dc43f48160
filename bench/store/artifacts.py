"""What a run stores beside its record and predictions if its protocol asks for it (`keep`).

Features of the test images, a table of what is known about each image, and attention maps of a few
of them. Each kind is a file of its own, so that a protocol can ask for one more kind later.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bench.api import Method
from bench.model.records import RunSpec
from bench.store import Store, read_parquet
from bench.util.errors import StoreError

if TYPE_CHECKING:
    import pandas as pd

EMBEDDINGS, PER_IMAGE, ATTENTION = "embeddings", "per_image", "attention"
SUFFIXES = {EMBEDDINGS: ".npy", PER_IMAGE: ".images.parquet", ATTENTION: ".npz"}
"""What a protocol may ask for, and the suffix of its file beside the record."""
TITLES = {EMBEDDINGS: "features", PER_IMAGE: "numbers an image", ATTENTION: "attention maps"}
HOOKS = {EMBEDDINGS: "embed", ATTENTION: "attend"}
"""The method's function that computes it; a method without this function stores none."""
KNOWN = ("reference", "distortion", "level", "scene")
"""Columns of a dataset's table that `per_image` copies, as far as the dataset has them."""
SHOWN = 6
"""Number of test images whose attention maps a run stores."""


@dataclass(frozen=True)
class AttentionMaps:
    """Which parts of a few test images their scores depend on."""

    rows: npt.NDArray[np.int64]
    """(k,) row numbers of the images in the predictions, the image of lowest quality first."""
    maps: npt.NDArray[np.float32]
    """(k, h, w) in 0-1; each map covers the whole image."""


def path(store: Store, spec: RunSpec, kind: str) -> Path:
    """The file in which a run stores one kind of artifact."""
    return store.path(spec).with_suffix(SUFFIXES[kind])


def able(method: type[Method]) -> frozenset[str]:
    """The kinds of artifacts that a method can compute."""
    return frozenset(
        kind
        for kind in SUFFIXES
        if (hook := HOOKS.get(kind)) is None or getattr(method, hook) is not getattr(Method, hook)
    )


def complete(store: Store, spec: RunSpec, keep: Iterable[str]) -> bool:
    """Whether a finished run has stored every kind in `keep`."""
    return all(path(store, spec, kind).exists() for kind in keep)


def embeddings(store: Store, spec: RunSpec) -> npt.NDArray[np.float32] | None:
    """Features of a run's test images, (n, d); None if it stored none."""
    file = path(store, spec, EMBEDDINGS)
    try:
        return np.load(file, allow_pickle=False) if file.exists() else None
    except (OSError, ValueError, EOFError) as error:
        raise StoreError(f"features '{file}' cannot be read: {error}") from error


def per_image(store: Store, spec: RunSpec) -> pd.DataFrame | None:
    """A row for each of a run's test images; None if it stored none.

    Columns: image, those of `KNOWN` that the dataset has, and numbers that the method gives.
    """
    file = path(store, spec, PER_IMAGE)
    return read_parquet(file) if file.exists() else None


def attention(store: Store, spec: RunSpec) -> AttentionMaps | None:
    """A run's attention maps; None if it stored none."""
    file = path(store, spec, ATTENTION)
    if not file.exists():
        return None
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return AttentionMaps(arrays["rows"], arrays["maps"])
    except Exception as error:  # A damaged archive raises errors of zipfile and zlib, too.
        raise StoreError(f"attention maps '{file}' cannot be read: {error}") from error
