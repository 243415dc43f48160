"""Methods compared over the same splits of one dataset: every pair, or all against one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from bench.metrics.inputs import FloatArray, finite_vector
from bench.stats.paired import PairedT, SignedRank, corrected_t, holm, signed_ranks
from bench.stats.split_covariance import Influence, SplitSizes
from bench.util.errors import unknown


@dataclass(frozen=True)
class SplitComparison:
    """Two methods over the same splits; differences are `first` minus `second`."""

    first: str
    """The method that is compared."""
    second: str
    """The method that it is compared with."""
    median: float
    """Median of the differences."""
    higher: int
    """Splits on which `first` has the higher value."""
    lower: int
    """Splits on which it has the lower one; on the others both are equal."""
    corrected: PairedT
    """Nadeau and Bengio's corrected t: the primary test."""
    corrected_holm: float
    """Its p-value after Holm over all comparisons made; NaN without a test."""
    signed_rank: SignedRank
    """Wilcoxon: what the field reports; anti-conservative over overlapping splits."""
    signed_rank_holm: float
    """Its p-value after Holm over all comparisons made."""
    smallest_signed_rank_holm: float
    """The least that `signed_rank_holm` can be if this is the most significant pair."""


def compare_over_splits(
    scores: Mapping[str, npt.ArrayLike],
    sizes: SplitSizes,
    reference: str | None = None,
    *,
    influences: Mapping[str, Influence] | None = None,
    confidence: float = 0.95,
) -> tuple[SplitComparison, ...]:
    """The corrected t and Wilcoxon, each with Holm, between methods over k common splits.

    `scores` holds (k,) values of one metric by method, position i being split i for all of them;
    `influences` those of images on them, if known (`corrected_t`). Every pair in the order of
    `scores`, or with `reference` that method (as `first`) against each other one: fewer tests, so
    more power. With ten repeats and all pairs of eight methods no pair can be significant by
    Wilcoxon-Holm (28 * 2/2^10 > 0.05).

    Raises `ValueError` for fewer than two methods, different lengths, k < 2, NaN or infinity, and
    `UsageError` for an unknown `reference`.

    >>> scores = {"a": [.81, .83, .85, .84], "b": [.80, .81, .82, .83], "c": [.7, .8, .75, .7]}
    >>> for item in compare_over_splits(scores, SplitSizes(80, 20), reference="a"):
    ...     print(item.second, round(item.corrected.mean, 4), round(item.corrected_holm, 3))
    b 0.0175 0.126
    c 0.095 0.126
    """
    columns = _columns(scores)
    if reference is None:
        pairs = list(combinations(columns, 2))
    elif reference in columns:
        pairs = [(reference, name) for name in columns if name != reference]
    else:
        raise unknown("method", reference, columns)
    differences = np.array([columns[first] - columns[second] for first, second in pairs])
    known = influences or {}
    corrected = [
        corrected_t(
            d,
            sizes,
            known[first].minus(known[second]) if first in known and second in known else None,
            confidence,
        )
        for (first, second), d in zip(pairs, differences, strict=True)
    ]
    ranked = signed_ranks(differences)
    corrected_holm = holm([test.p_value for test in corrected])
    ranked_holm = holm([test.p_value for test in ranked])
    medians = np.median(differences, axis=1)
    higher, lower = (differences > 0).sum(axis=1), (differences < 0).sum(axis=1)
    return tuple(
        SplitComparison(
            first=first,
            second=second,
            median=float(medians[i]),
            higher=int(higher[i]),
            lower=int(lower[i]),
            corrected=corrected[i],
            corrected_holm=float(corrected_holm[i]),
            signed_rank=ranked[i],
            signed_rank_holm=float(ranked_holm[i]),
            smallest_signed_rank_holm=min(1.0, len(pairs) * ranked[i].smallest_p),
        )
        for i, (first, second) in enumerate(pairs)
    )


def _columns(scores: Mapping[str, npt.ArrayLike]) -> dict[str, FloatArray]:
    columns = {name: finite_vector(values, name, minimum=2) for name, values in scores.items()}
    if len(columns) < 2:
        raise ValueError(f"scores: needs at least two methods, got {len(columns)}")
    sizes = {name: values.size for name, values in columns.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"scores: methods have different numbers of splits: {sizes}")
    return {name: np.asarray(values) for name, values in columns.items()}
