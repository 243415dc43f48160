"""How sure a result is: intervals and tests, as pure functions of arrays.

Which test answers which question, and what each one's error rate is, is told in
`docs/statistics.md`; `python -m tools.simulate_intervals` measures it.
"""

from bench.stats.bootstrap import BootstrapInterval, bootstrap_srcc, bootstrap_srcc_difference
from bench.stats.comparison import SplitComparison, compare_over_splits
from bench.stats.datasets import (
    CriticalDifference,
    Friedman,
    Group,
    PairwiseWilcoxon,
    average_ranks,
    critical_difference,
    friedman,
    wilcoxon_holm,
)
from bench.stats.median import MedianInterval, median_interval
from bench.stats.paired import (
    PairedT,
    SignedRank,
    holm,
    nadeau_bengio,
    paired_t,
    wilcoxon_signed_rank,
)

__all__ = [
    "BootstrapInterval",
    "CriticalDifference",
    "Friedman",
    "Group",
    "MedianInterval",
    "PairedT",
    "PairwiseWilcoxon",
    "SignedRank",
    "SplitComparison",
    "average_ranks",
    "bootstrap_srcc",
    "bootstrap_srcc_difference",
    "compare_over_splits",
    "critical_difference",
    "friedman",
    "holm",
    "median_interval",
    "nadeau_bengio",
    "paired_t",
    "wilcoxon_holm",
    "wilcoxon_signed_rank",
]
