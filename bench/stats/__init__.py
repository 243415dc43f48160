"""How sure a result is: intervals and tests, as pure functions of arrays.

Which test answers which question, and what each one's error rate is, is told in
`docs/statistics.md`; `python -m tools.simulate_intervals` measures it.
"""

from bench.stats.across_datasets import (
    Clique,
    CriticalDifference,
    Friedman,
    PairwiseWilcoxon,
    average_ranks,
    critical_difference,
    friedman,
    wilcoxon_holm,
)
from bench.stats.bootstrap import (
    Side,
    SuiteDifference,
    image_difference,
    image_interval,
    image_intervals,
    image_replicates,
    mean_interval,
    numbered,
    replicates_of_methods,
    same_images,
    side,
    suite_difference,
)
from bench.stats.comparison import SplitComparison, compare_over_splits
from bench.stats.median import LEAST_SPLITS, MedianInterval, bounds, median_interval
from bench.stats.paired import (
    PairedT,
    SignedRank,
    corrected_t,
    holm,
    paired_t,
    wilcoxon_signed_rank,
)
from bench.stats.replicates import BootstrapInterval, Replicates
from bench.stats.split_covariance import (
    Influence,
    SplitSizes,
    covariance_ratio,
    image_influence,
    influences,
)

__all__ = [
    "LEAST_SPLITS",
    "BootstrapInterval",
    "Clique",
    "CriticalDifference",
    "Friedman",
    "Influence",
    "MedianInterval",
    "PairedT",
    "PairwiseWilcoxon",
    "Replicates",
    "Side",
    "SignedRank",
    "SplitComparison",
    "SplitSizes",
    "SuiteDifference",
    "average_ranks",
    "bounds",
    "compare_over_splits",
    "corrected_t",
    "covariance_ratio",
    "critical_difference",
    "friedman",
    "holm",
    "image_difference",
    "image_influence",
    "image_interval",
    "image_intervals",
    "image_replicates",
    "influences",
    "mean_interval",
    "median_interval",
    "numbered",
    "paired_t",
    "replicates_of_methods",
    "same_images",
    "side",
    "suite_difference",
    "wilcoxon_holm",
    "wilcoxon_signed_rank",
]
