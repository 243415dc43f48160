"""Stored features of test images → two dimensions, with the facts on each image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bench.model.records import Record
from bench.store import artifacts
from bench.util.errors import StoreError

if TYPE_CHECKING:
    import pandas as pd

    from bench.analysis.results import CellResult, Results

FloatArray = npt.NDArray[np.float64]
LEAST = 10
"""Fewest images that are drawn."""
MOST = 2000
"""Most images that are drawn; larger test sets are sampled at random, always in the same way."""
PERPLEXITY = 30.0
CONFIDENT = 0.8
"""Semantic confidence above which an image with wrong quality is semantic noise (GRMP-IQA,
Fig. 1)."""
WRONG = 0.25
"""How far the ranks of prediction and quality lie apart in such an image, as a share of the test
images. The paper does not define an incorrect prediction; ranks need no common scale."""
RULE = (
    f"semantic confidence above {CONFIDENT:g}, and ranks of prediction and quality more than "
    f"{WRONG:.0%} of the test images apart"
)
"""The definition of semantic noise, in words."""


@dataclass(frozen=True)
class Embedded:
    """Test images in the plane."""

    points: FloatArray
    """(n, 2) from t-SNE."""
    images: pd.DataFrame
    """Row by row: image, quality, prediction after the last epoch, and what the run kept of the
    image (`bench.store.artifacts.per_image`)."""


def embedded(results: Results, run: Record) -> Embedded:
    """t-SNE of a run's stored features, seeded; computed once for all figures.

    Raises `StoreError` where they cannot be read or drawn.
    """
    key = ("t-SNE", run.run_id)
    if key not in results.worked_out:
        results.worked_out[key] = _embedded(results, run)
    found: Embedded = results.worked_out[key]
    return found


def images_of(results: Results, run: Record) -> pd.DataFrame:
    """Every test image of a run: `Embedded.images`, all of them. Raises `StoreError`."""
    table = results.predictions(run)
    last = "prediction_last" if "prediction_last" in table else "prediction"
    own = table[["image", "quality"]].assign(prediction=table[last])
    known = artifacts.per_image(results.store, run.spec)
    if known is None:
        return own
    if list(known["image"]) != list(own["image"]):
        raise StoreError(f"run {run.run_id}: its per-image file belongs to another split")
    return own.join(known.drop(columns="image"))


def semantic_noise(images: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """(n,) which images are confident in their semantics and wrong in quality.

    Confidence above `CONFIDENT`, and ranks (averaged over ties) of prediction and quality more
    than `WRONG` of the test images apart.
    """
    from scipy.stats import rankdata

    apart = np.abs(rankdata(images["prediction"]) - rankdata(images["quality"])) / len(images)
    confident = images["semantic_confidence"].to_numpy(dtype=np.float64) > CONFIDENT
    return np.asarray(confident & (apart > WRONG))


def noise_counts(results: Results, cell: CellResult) -> list[int | None]:
    """The number of test images that are semantic noise, run by run; None if it is not known.

    Only done runs that kept the semantic confidence of their images tell it. Computed once for
    tables and figures.
    """
    return [_noise_count(results, run) for run in cell.runs]


def _noise_count(results: Results, run: Record | None) -> int | None:
    if run is None or run.status != "done":
        return None
    key = ("noise", run.run_id)
    if key not in results.worked_out:
        results.worked_out[key] = _count_noise(results, run)
    found: int | None = results.worked_out[key]
    return found


def _count_noise(results: Results, run: Record) -> int | None:
    if not artifacts.path(results.store, run.spec, artifacts.PER_IMAGE).exists():
        return None
    try:
        images = images_of(results, run)
    except StoreError as error:
        results.problems.append(f"semantic noise is not counted: {error}")
        return None
    return int(semantic_noise(images).sum()) if "semantic_confidence" in images else None


def plane(features: npt.NDArray[np.floating]) -> FloatArray:
    """Features (n, d) to (n, 2) by t-SNE (van der Maaten & Hinton 2008), the same every time."""
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=0)
    return np.asarray(tsne.fit_transform(features.astype(np.float64)), dtype=np.float64)


def _embedded(results: Results, run: Record) -> Embedded:
    features = artifacts.embeddings(results.store, run.spec)
    if features is None:
        raise StoreError(f"run {run.run_id} kept no features")
    images = images_of(results, run)
    if len(features) != len(images):
        raise StoreError(f"run {run.run_id}: {len(features)} features for {len(images)} images")
    if len(images) < LEAST:
        raise StoreError(f"{len(images)} test images; at least {LEAST} make a picture")
    if len(images) > MOST:
        rows = np.sort(np.random.default_rng(0).choice(len(images), MOST, replace=False))
        features, images = features[rows], images.iloc[rows].reset_index(drop=True)
    if not features.std(axis=0).any():
        raise StoreError(f"run {run.run_id}: the features of all images are the same")
    return Embedded(plane(features), images)
