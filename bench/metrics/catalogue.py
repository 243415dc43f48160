"""The metrics by name: what a protocol may list and a table may print.

Each of `METRICS` also exists for every column of `GROUPS`: `srcc@scene` is the median over scenes
of the SRCC within each scene, as PIQ23 reports it (N. Chahine et al., CVPR 2023).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from bench.metrics import correlation, false_ranking, logistic, p1401
from bench.metrics.inputs import finite_pair, is_constant
from bench.metrics.known import NOTHING, Known, Need
from bench.metrics.krasula import auc_bw, auc_ds
from bench.util.errors import unknown

Function = Callable[..., float]
"""Of (n,) predictions, (n,) quality and, for a metric with a need, what is `Known`."""
BY = "@"
"""Between a metric and the column that it is taken within: `srcc@scene`."""
GROUPS = ("scene", "reference", "distortion", "group")
"""Columns of a database that a metric can be taken within: METRIC@COLUMN."""
SEVERAL = "|"
"""Joins the groups of an image that is in several, as scenes are."""
SMALLEST = 3
"""Images of a group that has a correlation; smaller groups are left out."""


@dataclass(frozen=True)
class Metric:
    """One number for (n,) predictions against (n,) quality.

    >>> METRICS["srcc"].title, METRICS["srcc"].lower, METRICS["rmse"].higher_is_better
    ('SRCC', -1.0, False)
    """

    name: str
    """Its name in protocols and tables."""
    title: str
    """For the head of a table."""
    function: Function
    """The function that computes it."""
    higher_is_better: bool
    """False for errors."""
    lower: float
    """Lower bound of the value."""
    upper: float
    """Bounds of the value; NaN (undefined) is always possible."""
    needs: tuple[Need, ...] = ()
    """Its inputs besides predictions and quality. Runs record such a metric only where their
    protocol names it."""
    by: str = ""
    """Column of `GROUPS` that it is taken within; `compute` gives it the groups."""

    def __call__(
        self, prediction: npt.ArrayLike, quality: npt.ArrayLike, known: Known = NOTHING
    ) -> float:
        """The value; NaN where the function's documentation says that it is undefined, and where
        what the metric needs is not known."""
        if not self.needs:
            return self.function(prediction, quality)
        finite_pair(prediction, quality)
        if not all(map(known.has, self.needs)):
            return math.nan
        return self.function(prediction, quality, known)


def _correlation(name: str, title: str, function: Function, *needs: Need) -> Metric:
    return Metric(name, title, function, True, -1.0, 1.0, needs)


def _error(name: str, title: str, function: Function, *needs: Need) -> Metric:
    return Metric(name, title, function, False, 0.0, math.inf, needs)


def _share(name: str, title: str, function: Function, higher: bool, *needs: Need) -> Metric:
    return Metric(name, title, function, higher, 0.0, 1.0, needs)


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            _correlation("srcc", "SRCC", correlation.srcc),
            _correlation("plcc", "PLCC", correlation.plcc),
            _correlation("plcc_logistic4", "PLCC (4-param., on test)", logistic.plcc_logistic4),
            _correlation("plcc_logistic5", "PLCC (5-param., on test)", logistic.plcc_logistic5),
            _correlation("krcc", "KRCC", correlation.krcc),
            _error("rmse", "RMSE", correlation.rmse),
            _error("rmse_logistic4", "RMSE (4-param., on test)", logistic.rmse_logistic4),
            _error("rmse_logistic5", "RMSE (5-param., on test)", logistic.rmse_logistic5),
            _correlation(
                "plcc_logistic4_val",
                "PLCC (4-param., on val.)",
                p1401.plcc_logistic4_val,
                "validation",
            ),
            _correlation(
                "plcc_logistic5_val",
                "PLCC (5-param., on val.)",
                p1401.plcc_logistic5_val,
                "validation",
            ),
            _error(
                "rmse_logistic4_val",
                "RMSE (4-param., on val.)",
                p1401.rmse_logistic4_val,
                "validation",
            ),
            _error(
                "rmse_logistic5_val",
                "RMSE (5-param., on val.)",
                p1401.rmse_logistic5_val,
                "validation",
            ),
            _share("auc_ds", "AUC different/similar", auc_ds, True, "ratings"),
            _share("auc_bw", "AUC better/worse", auc_bw, True, "ratings"),
            _share("or", "OR (4-param., on test)", p1401.outlier_ratio, False, "ratings"),
            _share(
                "or_val",
                "OR (4-param., on val.)",
                p1401.outlier_ratio_val,
                False,
                "ratings",
                "validation",
            ),
            _error("rmse_eps", "RMSE* (4-param., on test)", p1401.rmse_epsilon, "ratings"),
            _error(
                "rmse_eps_val",
                "RMSE* (4-param., on val.)",
                p1401.rmse_epsilon_val,
                "ratings",
                "validation",
            ),
            _share("frr", "false rankings", false_ranking.false_ranking_rate, False, "five levels"),
            Metric(
                "viewers",
                "equivalent viewers",
                false_ranking.equivalent_viewers,
                True,
                0.0,
                12.0,
                ("five levels",),
            ),
        )
    }
)
"""Every metric by the name that protocols and tables call it."""


USUAL = tuple(name for name, found in METRICS.items() if not found.needs)
"""Metrics that every run records."""


def metric(name: str, where: str = "") -> Metric:
    """A metric by its name, METRIC or METRIC@COLUMN. Raises `UsageError`; `where` begins it.

    >>> metric("srcc@scene").title, metric("rmse@group").higher_is_better
    ('SRCC per scene', False)
    """
    plain, mark, column = name.partition(BY)
    if plain not in METRICS or (mark and column not in GROUPS):
        grouped = [f"{one}{BY}{group}" for one in METRICS for group in GROUPS]
        raise unknown("metric", name, grouped if mark else METRICS, where)
    if not mark:
        return METRICS[plain]
    title = f"{METRICS[plain].title} per {column}"
    return replace(METRICS[plain], name=name, title=title, by=column)


def compute(
    names: Iterable[str],
    prediction: npt.ArrayLike,
    quality: npt.ArrayLike,
    groups: Mapping[str, npt.ArrayLike] = MappingProxyType({}),
    known: Known = NOTHING,
) -> dict[str, float]:
    """The named metrics of (n,) predictions against (n,) quality, in the order of `names`; NaN for
    those that need what is not `known`.

    `groups` are columns of (n,) texts for metrics within groups; without its column such a metric
    is NaN. Raises `UsageError` for an unknown name (before anything is computed) and `ValueError`
    for input that no metric accepts.

    >>> compute(["krcc", "rmse"], [1, 2, 3], [1, 2, 6])
    {'krcc': 1.0, 'rmse': 1.7320508075688772}
    """
    values = {}
    for one in [metric(name) for name in names]:
        if one.by:
            values[one.name] = within(one, prediction, quality, groups.get(one.by, ()), known)
        else:
            values[one.name] = one(prediction, quality, known)
    return values


def within(
    measure: Metric,
    prediction: npt.ArrayLike,
    quality: npt.ArrayLike,
    groups: npt.ArrayLike,
    known: Known = NOTHING,
) -> float:
    """The median over groups of a metric of the images of each group.

    `groups` are (n,) texts; '' is no group, and 'a|b' is both. Groups of fewer than three images or
    of one quality have no order to predict and are left out; they are the same for all methods.
    NaN where no group is left, and where the metric is undefined in one of them: a median that
    skipped the groups in which a method predicts a constant would favour it. What a metric needs is
    `known` of all images; validation images are not grouped, so their curve is one for all groups.

    >>> within(METRICS["srcc"], [1, 2, 3, 3, 2, 1], [1, 2, 3, 1, 2, 3], list("aaabbb"))
    0.0
    """
    names = np.asarray(groups, dtype=str)
    first, second = finite_pair(prediction, quality)
    members: dict[str, list[int]] = {}
    for row, name in enumerate(names.tolist()):
        for group in filter(None, name.split(SEVERAL)):
            members.setdefault(group, []).append(row)
    values = [
        measure(first[rows], second[rows], known.of(rows) if measure.needs else NOTHING)
        for _, rows in sorted(members.items())
        if len(rows) >= SMALLEST and not is_constant(second[rows])
    ]
    return float(np.median(values)) if values else math.nan
