"""The metrics by name: what a protocol may list and a table may print."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy.typing as npt

from bench.metrics import correlation, false_ranking, logistic, p1401
from bench.metrics.inputs import finite_pair
from bench.metrics.known import NOTHING, Known, Need
from bench.metrics.krasula import auc_bw, auc_ds
from bench.util.errors import unknown

Function = Callable[..., float]
"""Of (n,) predictions, (n,) quality and, for a metric with a need, what is `Known`."""


@dataclass(frozen=True)
class Metric:
    """One number for (n,) predictions against (n,) quality.

    >>> METRICS["srcc"].title, METRICS["srcc"].lower, METRICS["rmse"].higher_is_better
    ('SRCC', -1.0, False)
    """

    name: str
    title: str
    """For the head of a table."""
    function: Function
    higher_is_better: bool
    lower: float
    upper: float
    """Bounds of the value; NaN (undefined) is always possible."""
    needs: tuple[Need, ...] = ()
    """What it takes besides predictions and quality. Runs record such a metric only where their
    protocol names it."""

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


USUAL = tuple(name for name, metric in METRICS.items() if not metric.needs)
"""Metrics that every run records."""


def compute(
    names: Iterable[str],
    prediction: npt.ArrayLike,
    quality: npt.ArrayLike,
    known: Known = NOTHING,
) -> dict[str, float]:
    """The named metrics of (n,) predictions against (n,) quality, in the order of `names`; NaN for
    those that need what is not `known`.

    Raises `UsageError` for an unknown name (before anything is computed) and `ValueError` for
    input that no metric accepts.

    >>> compute(["krcc", "rmse"], [1, 2, 3], [1, 2, 6])
    {'krcc': 1.0, 'rmse': 1.7320508075688772}
    """
    metrics = [_named(name) for name in names]
    return {metric.name: metric(prediction, quality, known) for metric in metrics}


def _named(name: str) -> Metric:
    if name not in METRICS:
        raise unknown("metric", name, METRICS)
    return METRICS[name]
