"""What a run stores beside its record and predictions, where its protocol asks for it.

Features of the test images, what is known of each of them, and maps of where a few of their scores
come from: each is a file of its own, so that a protocol that asks for one more thing loses none of
the others.
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
from bench.store import Store
from bench.util.errors import StoreError

if TYPE_CHECKING:
    import pandas as pd

EMBEDDINGS, PER_IMAGE, ATTENTION = "embeddings", "per_image", "attention"
SUFFIXES = {EMBEDDINGS: ".npy", PER_IMAGE: ".images.parquet", ATTENTION: ".npz"}
"""What a protocol may ask for, and the suffix of its file beside the record."""
TITLES = {EMBEDDINGS: "features", PER_IMAGE: "numbers an image", ATTENTION: "attention maps"}
HOOKS = {EMBEDDINGS: "embed", ATTENTION: "attend"}
"""The part of the method contract that it needs; without it a run keeps nothing of the kind."""
KNOWN = ("reference", "distortion", "level", "scene")
"""Columns of a dataset's table that are kept, where the dataset knows them."""
SHOWN = 6
"""Test images whose maps a run keeps."""


@dataclass(frozen=True)
class Attention:
    """Where the scores of a few test images come from."""

    rows: npt.NDArray[np.int64]
    """(k,) places of the images among the predictions, the worst image first."""
    maps: npt.NDArray[np.float32]
    """(k, h, w) in 0-1, each stretched over the whole image."""


def path(store: Store, spec: RunSpec, kind: str) -> Path:
    """Where a run keeps one kind of thing."""
    return store.path(spec).with_suffix(SUFFIXES[kind])


def able(method: type[Method]) -> frozenset[str]:
    """The kinds of things that a method can give."""
    return frozenset(
        kind
        for kind in SUFFIXES
        if (hook := HOOKS.get(kind)) is None or getattr(method, hook) is not getattr(Method, hook)
    )


def complete(store: Store, spec: RunSpec, keep: Iterable[str]) -> bool:
    """Whether a finished run has all of `keep`: what is asked for and its method can give."""
    return all(path(store, spec, kind).exists() for kind in keep)


def embeddings(store: Store, spec: RunSpec) -> npt.NDArray[np.float32] | None:
    """Features of a run's test images, (n, d); None where it kept none."""
    file = path(store, spec, EMBEDDINGS)
    try:
        return np.load(file, allow_pickle=False) if file.exists() else None
    except (OSError, ValueError, EOFError) as error:
        raise StoreError(f"features '{file}' cannot be read: {error}") from error


def per_image(store: Store, spec: RunSpec) -> pd.DataFrame | None:
    """What is known of a run's test images: image, those of `KNOWN` that the dataset has, and the
    method's own numbers. None where the run kept none."""
    import pandas as pd

    file = path(store, spec, PER_IMAGE)
    try:
        return pd.read_parquet(file) if file.exists() else None
    except Exception as error:  # pyarrow raises its own family for truncated files
        raise StoreError(f"'{file}' cannot be read: {error}") from error


def attention(store: Store, spec: RunSpec) -> Attention | None:
    """A run's maps; None where it kept none."""
    file = path(store, spec, ATTENTION)
    if not file.exists():
        return None
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return Attention(arrays["rows"], arrays["maps"])
    except Exception as error:  # a damaged archive raises zipfile's and zlib's errors too
        raise StoreError(f"attention maps '{file}' cannot be read: {error}") from error
