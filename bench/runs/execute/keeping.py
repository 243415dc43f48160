"""Writes the artefacts that a protocol's `keep` names (`bench.store.artifacts`)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from bench.api import Images
from bench.model.records import RunSpec
from bench.store import Store, write_parquet
from bench.store.artifacts import ATTENTION, EMBEDDINGS, KNOWN, PER_IMAGE, SHOWN, path
from bench.util.atomic import replacing
from bench.util.errors import BenchError

if TYPE_CHECKING:
    import pandas as pd


class Giver(Protocol):
    """A method, in this process or in its own, that computes artefacts."""

    @property
    def name(self) -> str:
        """For messages."""

    def embed(self, images: Images) -> npt.NDArray[Any]:
        """Features, (n, d)."""

    def attend(self, images: Images) -> npt.NDArray[Any]:
        """Maps, (n, h, w)."""

    def per_image(self, images: Images) -> dict[str, npt.NDArray[Any]]:
        """Named numbers, (n,) each."""


def write(
    store: Store,
    spec: RunSpec,
    method: Giver,
    images: Images,
    table: pd.DataFrame,
    keep: Iterable[str],
) -> None:
    """Compute the artefacts in `keep` with the method in its present state, and write them.

    `images` are the test images and `table` their rows of the dataset's table with their quality
    in the column 'quality', both in the order of the predictions. Raises `BenchError` if the
    method's answer has another shape or holds values that are not finite.
    """
    for kind in sorted(keep):
        _WRITERS[kind](path(store, spec, kind), spec, method, images, table)


def spread_rows(quality: npt.NDArray[Any], seed: int, count: int = SHOWN) -> npt.NDArray[np.int64]:
    """Rows of `count` images, worst first: one at random from each of `count` equal parts by
    quality.

    All rows if there are fewer. The same for every method that is tested on these images.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(quality, kind="stable")
    parts = np.array_split(order, min(count, len(order)))
    return np.array([int(rng.choice(part)) for part in parts], dtype=np.int64)


def _write_embeddings(
    file: Path, spec: RunSpec, method: Giver, images: Images, table: pd.DataFrame
) -> None:
    features = np.asarray(method.embed(images), dtype=np.float32)
    _check(method, "embed", features, len(images), dimensions=2)
    with replacing(file) as temporary, temporary.open("wb") as opened:
        np.save(opened, features, allow_pickle=False)


def _write_per_image(
    file: Path, spec: RunSpec, method: Giver, images: Images, table: pd.DataFrame
) -> None:
    known = [name for name in KNOWN if table[name].notna().any() and (table[name] != "").any()]
    kept = table[["image", *known]].reset_index(drop=True)
    for name, values in method.per_image(images).items():
        numbers = np.asarray(values, dtype=np.float64)
        _check(method, f"per_image '{name}'", numbers, len(images), dimensions=1)
        kept[name] = numbers
    write_parquet(kept, file)


def _write_attention(
    file: Path, spec: RunSpec, method: Giver, images: Images, table: pd.DataFrame
) -> None:
    rows = spread_rows(table["quality"].to_numpy(), spec.seed)
    shown = images.subset(rows)
    maps = np.asarray(method.attend(shown), dtype=np.float32)
    _check(method, "attend", maps, len(rows), dimensions=3)
    with replacing(file) as temporary, temporary.open("wb") as opened:
        np.savez(opened, rows=rows, maps=maps)


_WRITERS = {
    EMBEDDINGS: _write_embeddings,
    PER_IMAGE: _write_per_image,
    ATTENTION: _write_attention,
}


def _check(method: Giver, what: str, values: npt.NDArray[Any], count: int, dimensions: int) -> None:
    if values.ndim != dimensions or len(values) != count:
        raise BenchError(
            f"{method.name}.{what} gave shape {values.shape} for {count} images; expected "
            f"{dimensions} dimensions, the first of {count}"
        )
    if not np.isfinite(values).all():
        raise BenchError(f"{method.name}.{what} gave values that are not numbers")
