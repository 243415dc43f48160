"""The metrics by name: what a protocol may list and a table may print."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy.typing as npt

from bench.metrics import correlation, logistic
from bench.util.errors import unknown

Function = Callable[[npt.ArrayLike, npt.ArrayLike], float]


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

    def __call__(self, prediction: npt.ArrayLike, quality: npt.ArrayLike) -> float:
        """The value; NaN where the function's documentation says that it is undefined."""
        return self.function(prediction, quality)


def _correlation(name: str, title: str, function: Function) -> Metric:
    return Metric(name, title, function, True, -1.0, 1.0)


def _error(name: str, title: str, function: Function) -> Metric:
    return Metric(name, title, function, False, 0.0, math.inf)


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            _correlation("srcc", "SRCC", correlation.srcc),
            _correlation("plcc", "PLCC", correlation.plcc),
            _correlation("plcc_logistic4", "PLCC (4-param.)", logistic.plcc_logistic4),
            _correlation("plcc_logistic5", "PLCC (5-param.)", logistic.plcc_logistic5),
            _correlation("krcc", "KRCC", correlation.krcc),
            _error("rmse", "RMSE", correlation.rmse),
            _error("rmse_logistic4", "RMSE (4-param.)", logistic.rmse_logistic4),
            _error("rmse_logistic5", "RMSE (5-param.)", logistic.rmse_logistic5),
        )
    }
)


def compute(
    names: Iterable[str], prediction: npt.ArrayLike, quality: npt.ArrayLike
) -> dict[str, float]:
    """The named metrics of (n,) predictions against (n,) quality, in the order of `names`.

    Raises `UsageError` for an unknown name (before anything is computed) and `ValueError` for
    input that no metric accepts.

    >>> compute(["krcc", "rmse"], [1, 2, 3], [1, 2, 6])
    {'krcc': 1.0, 'rmse': 1.7320508075688772}
    """
    metrics = [_named(name) for name in names]
    return {metric.name: metric(prediction, quality) for metric in metrics}


def _named(name: str) -> Metric:
    if name not in METRICS:
        raise unknown("metric", name, METRICS)
    return METRICS[name]
