"""How well predicted scores agree with human ones: pure functions of two arrays.

Predictions and quality both run upwards (higher is better), so a good method scores near +1 and one
that runs the wrong way scores below 0: no correlation here is ever made absolute. What is
undefined is NaN by a rule that the function states; what is wrong (NaN or infinite input,
different lengths, fewer than three images) raises `ValueError`.

>>> round(srcc([0.1, 0.4, 0.3, 0.9], [20, 45, 50, 80]), 3)
0.8
>>> compute(["srcc", "rmse"], [1.0, 2.0, 4.0], [1.0, 2.0, 3.0])["srcc"]
1.0
"""

from bench.metrics.catalogue import BY, GROUPS, METRICS, USUAL, Metric, compute, metric, within
from bench.metrics.correlation import krcc, plcc, rmse, srcc
from bench.metrics.known import NEEDS, Known
from bench.metrics.krasula import Krasula, krasula
from bench.metrics.logistic import (
    LogisticFit,
    fit_logistic4,
    fit_logistic5,
    logistic4,
    logistic5,
    plcc_logistic4,
    plcc_logistic5,
    rmse_logistic4,
    rmse_logistic5,
)

__all__ = [
    "BY",
    "GROUPS",
    "METRICS",
    "NEEDS",
    "USUAL",
    "Known",
    "Krasula",
    "LogisticFit",
    "Metric",
    "compute",
    "fit_logistic4",
    "fit_logistic5",
    "krasula",
    "krcc",
    "logistic4",
    "logistic5",
    "metric",
    "plcc",
    "plcc_logistic4",
    "plcc_logistic5",
    "rmse",
    "rmse_logistic4",
    "rmse_logistic5",
    "srcc",
    "within",
]
