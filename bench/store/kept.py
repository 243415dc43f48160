"""What a run stores beside its record and predictions, where its protocol asks for it.

Features of the test images, what is known of each of them, and maps of where a few of their scores
come from: each is a file of its own, so that a protocol that asks for one more thing loses none of
the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bench.api import Images, Method
from bench.atomic import replacing
from bench.errors import BenchError, StoreError
from bench.execute.memory import sparingly
from bench.store import Store, write_parquet
from bench.store.records import RunSpec

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


def able(method: type[Method], kind: str) -> bool:
    """Whether runs of a method have such a thing at all."""
    hook = HOOKS.get(kind)
    return hook is None or getattr(method, hook) is not getattr(Method, hook)


def complete(store: Store, spec: RunSpec, method: type[Method], keep: Iterable[str]) -> bool:
    """Whether a finished run has kept all that is asked for and its method can give."""
    return all(path(store, spec, kind).exists() for kind in keep if able(method, kind))


def write(
    store: Store,
    spec: RunSpec,
    method: Method,
    images: Images,
    table: pd.DataFrame,
    keep: Iterable[str],
) -> None:
    """Ask the method, in its present state, and write what is asked for.

    `images` are the test images and `table` their rows of the dataset's table with their quality
    in the column 'quality', both in the order of the predictions. Raises `BenchError` where the
    method's answer has another shape or holds values that are not numbers.
    """
    for kind in keep:
        if able(type(method), kind):
            _WRITERS[kind](path(store, spec, kind), spec, method, images, table)


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


def spread_rows(quality: npt.NDArray[Any], seed: int, count: int = SHOWN) -> npt.NDArray[np.int64]:
    """Places of `count` images, one at random from each part of equal size by quality, worst first.

    All of them where there are fewer. The same for every method that is tested on these images.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(quality, kind="stable")
    parts = np.array_split(order, min(count, len(order)))
    return np.array([int(rng.choice(part)) for part in parts], dtype=np.int64)


def _write_embeddings(
    file: Path, spec: RunSpec, method: Method, images: Images, table: pd.DataFrame
) -> None:
    features = np.asarray(sparingly(method, lambda: method.embed(images)), dtype=np.float32)
    _check(method, "embed", features, len(images), dimensions=2)
    with replacing(file) as temporary, temporary.open("wb") as opened:
        np.save(opened, features, allow_pickle=False)


def _write_per_image(
    file: Path, spec: RunSpec, method: Method, images: Images, table: pd.DataFrame
) -> None:
    known = [name for name in KNOWN if table[name].notna().any() and (table[name] != "").any()]
    kept = table[["image", *known]].reset_index(drop=True)
    for name, values in sparingly(method, lambda: method.per_image(images)).items():
        numbers = np.asarray(values, dtype=np.float64)
        _check(method, f"per_image '{name}'", numbers, len(images), dimensions=1)
        kept[name] = numbers
    write_parquet(kept, file)


def _write_attention(
    file: Path, spec: RunSpec, method: Method, images: Images, table: pd.DataFrame
) -> None:
    rows = spread_rows(table["quality"].to_numpy(), spec.seed)
    shown = images.subset(rows)
    maps = np.asarray(sparingly(method, lambda: method.attend(shown)), dtype=np.float32)
    _check(method, "attend", maps, len(rows), dimensions=3)
    with replacing(file) as temporary, temporary.open("wb") as opened:
        np.savez(opened, rows=rows, maps=maps)


_WRITERS = {
    EMBEDDINGS: _write_embeddings,
    PER_IMAGE: _write_per_image,
    ATTENTION: _write_attention,
}


def _check(
    method: Method, what: str, values: npt.NDArray[Any], count: int, dimensions: int
) -> None:
    if values.ndim != dimensions or len(values) != count:
        raise BenchError(
            f"{method.name}.{what} gave shape {values.shape} for {count} images; expected "
            f"{dimensions} dimensions, the first of {count}"
        )
    if not np.isfinite(values).all():
        raise BenchError(f"{method.name}.{what} gave values that are not numbers")
