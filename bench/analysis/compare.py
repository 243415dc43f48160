"""Statistical comparisons of methods: in pairs on each task, and by ranks across datasets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.analysis import over_images, split_images
from bench.analysis.stored_predictions import StoredPredictions
from bench.model.mixtures import learnt_from
from bench.model.titles import task_title
from bench.store.table import SPLIT
from bench.util.errors import unknown

if TYPE_CHECKING:
    import pandas as pd

    from bench.analysis.over_images import SuiteComparison
    from bench.analysis.results import Results
    from bench.protocol import Protocol
    from bench.stats import CriticalDifference, SplitComparison

SIGNIFICANT = 0.05
"""Significance level of Holm-corrected p-values."""
_TASK = ["protocol", "train", "test", "budget", "selection"]
_GROUP = ["protocol", "budget", "selection"]


@dataclass(frozen=True)
class WithinDataset:
    """All pairs of methods over the common splits of one task."""

    protocol: str
    train: str
    test: str
    budget: str
    selection: str
    n_splits: int
    pairs: tuple[SplitComparison, ...]
    left_out: dict[str, str]
    """Method -> why it is left out."""
    same_test: bool
    """Whether every repeat tests the same images. P-values and intervals then cover how training
    varies, not how the choice of test images does."""


@dataclass(frozen=True)
class AcrossDatasets:
    """Methods ranked over the datasets of a protocol, one median a dataset."""

    protocol: str
    budget: str
    selection: str
    datasets: tuple[str, ...]
    result: CriticalDifference
    left_out: dict[str, str]
    """Method -> why it is left out."""


def within(
    runs: pd.DataFrame,
    metric: str = "srcc",
    methods: Sequence[str] = (),
    reference: str | None = None,
    images: StoredPredictions | None = None,
) -> list[WithinDataset]:
    """Every task's methods, pairwise or all against `reference`, over splits they share.

    `runs` is a table as `bench.store.table.load` gives it; `methods` are labels (all by default).
    A method with missing runs or undefined values is left out and named. Tasks with fewer than two
    methods or two splits, and datasets without labels, are not compared. Differences are first
    minus second in units of the metric, Holm's correction is over the pairs of one task. What
    splits have in common is corrected for by their sizes and, under a label budget, by the
    stored predictions of `images` (`bench.stats.corrected_t`).

    Raises `UsageError` for an unknown method or metric.
    """
    chosen = _chosen(runs, metric, methods, reference)
    groups = chosen.groupby(_TASK, sort=False)
    found = [_within(part, key, metric, reference, images) for key, part in groups]
    return [item for item in found if item is not None]


def across(
    runs: pd.DataFrame, metric: str = "srcc", methods: Sequence[str] = (), alpha: float = 0.05
) -> list[AcrossDatasets]:
    """Friedman, Wilcoxon-Holm, average ranks and groups over the datasets of each protocol.

    A value is a method's median over its repeats on a dataset (or cross-dataset pair). A method
    that is incomplete on some dataset is left out and named; protocols with fewer than two
    datasets or two methods give nothing. Raises as `within`.
    """
    chosen = _chosen(runs, metric, methods, None)
    groups = chosen.groupby(_GROUP, sort=False)
    found = [_across(part, key, metric, alpha) for key, part in groups]
    return [item for item in found if item is not None]


@dataclass(frozen=True)
class Comparisons:
    """All comparisons of one protocol, by its first metric."""

    protocol: Protocol
    metric: str
    tasks: list[WithinDataset]
    ranks: list[AcrossDatasets]


def compare_all(results: Results) -> list[Comparisons]:
    """Every protocol with something to compare, by its first metric."""
    found = (of_protocol(results, protocol) for protocol in results.protocols)
    return [item for item in found if item is not None]


def of_protocol(results: Results, protocol: Protocol) -> Comparisons | None:
    """A protocol's comparisons, computed once; None where there is nothing to compare."""
    key = ("comparisons", protocol.name)
    if key not in results.worked_out:
        results.worked_out[key] = _compare(results, protocol)
    found: Comparisons | None = results.worked_out[key]
    return found


def _compare(results: Results, protocol: Protocol) -> Comparisons | None:
    metric = protocol.metrics[0]
    runs = results.runs[results.runs["protocol"] == protocol.name]
    images = StoredPredictions(results.store, results.at_hand)
    tasks, ranks = within(runs, metric, images=images), across(runs, metric)
    return Comparisons(protocol, metric, tasks, ranks) if tasks or ranks else None


@dataclass(frozen=True)
class Versus:
    """One method compared with another: positive where the row's method is better."""

    difference: float
    """Median over splits, in units of the metric."""
    wins: int
    losses: int
    p: float
    """By the corrected t, after Holm; NaN where there is no test."""
    reason: str
    """Why there is none."""

    @property
    def significant(self) -> bool:
        """Whether the difference is significant."""
        return self.p < SIGNIFICANT


@dataclass(frozen=True)
class Matrix:
    """Every pair of methods on one task."""

    task: WithinDataset
    names: tuple[str, ...]
    """Best first, by mean difference to all others."""
    cells: dict[tuple[str, str], Versus]


def matrix(task: WithinDataset, higher_is_better: bool) -> Matrix:
    """All pairs of a task as a matrix, with the sign turned for metrics where lower is better."""
    cells: dict[tuple[str, str], Versus] = {}
    total: dict[str, float] = {}
    sign = 1 if higher_is_better else -1
    for pair in task.pairs:
        cells[pair.first, pair.second] = _versus(pair, sign, task.same_test)
        cells[pair.second, pair.first] = _versus(pair, -sign, task.same_test)
        for name, side in ((pair.first, sign), (pair.second, -sign)):
            total[name] = total.get(name, 0.0) + side * pair.corrected.mean
    return Matrix(task, tuple(sorted(total, key=lambda name: -total[name])), cells)


def _versus(pair: SplitComparison, sign: int, same_test: bool) -> Versus:
    wins, losses = (pair.higher, pair.lower) if sign > 0 else (pair.lower, pair.higher)
    p, reason = pair.corrected_holm, pair.corrected.reason
    if same_test:
        p, reason = float("nan"), "every repeat tests the same images"
    return Versus(sign * pair.median, wins, losses, p, reason)


def table(
    comparisons: Sequence[WithinDataset], by_image: Sequence[SuiteComparison] = ()
) -> pd.DataFrame:
    """Every comparison as a row, for CSV; `interval` says whether low and high are over splits or
    over images."""
    import pandas as pd

    rows = [row for item in comparisons for row in _rows(item)]
    return pd.DataFrame([*rows, *over_images.table(by_image)])


def _within(
    part: pd.DataFrame,
    key: Any,
    metric: str,
    reference: str | None,
    images: StoredPredictions | None,
) -> WithinDataset | None:
    from bench.stats import compare_over_splits

    left_out: dict[str, str] = {}
    wide = _complete(part, metric, left_out)
    sizes = split_images.sizes(part)
    absent = reference is not None and reference not in wide
    if wide.shape[1] < 2 or len(wide) < 2 or absent or sizes is None:
        return None
    protocol, train, test, budget, selection = map(str, key)
    same_test = not learnt_from(train, test) or wide.index.get_level_values(0).nunique() < len(wide)
    influences = {}
    if images is not None and sizes.budgeted() and not same_test:
        influences = split_images.influences(
            {str(label): (images, _records(part, label, wide.index)) for label in wide},
            test,
            selection,
            metric,
        )
    pairs = compare_over_splits(
        {str(label): wide[label].to_numpy() for label in wide},
        sizes,
        reference,
        influences=influences,
    )
    return WithinDataset(
        protocol, train, test, budget, selection, len(wide), pairs, left_out, same_test
    )


def _records(part: pd.DataFrame, label: Any, splits: pd.Index) -> list[str]:
    """The records of a method's runs on these splits, in their order."""
    runs = part[part["label"] == label].set_index(list(SPLIT))["record"]
    return [str(record) for record in runs.loc[splits]]


def _across(part: pd.DataFrame, key: Any, metric: str, alpha: float) -> AcrossDatasets | None:
    import pandas as pd

    from bench.metrics import metric as metric_of
    from bench.stats import critical_difference

    left_out: dict[str, str] = {}
    medians: dict[str, pd.Series[float]] = {}
    for (train, test), cells in part.groupby(["train", "test"], sort=False):
        name = task_title(str(train), str(test))
        medians[name] = _complete(cells, metric, left_out, name, common=False).median()
    scores = pd.DataFrame(medians).T
    for label in scores.columns[scores.isna().any()]:
        left_out.setdefault(str(label), f"no result on {scores.index[scores[label].isna()][0]}")
    scores = scores.dropna(axis="columns")
    if scores.shape[0] < 2 or scores.shape[1] < 2:
        return None
    result = critical_difference(
        scores.to_numpy(),
        [str(label) for label in scores],
        alpha,
        metric_of(metric).higher_is_better,
    )
    protocol, budget, selection = map(str, key)
    datasets = tuple(map(str, scores.index))
    return AcrossDatasets(protocol, budget, selection, datasets, result, left_out)


def _complete(
    part: pd.DataFrame,
    metric: str,
    left_out: dict[str, str],
    where: str = "",
    common: bool = True,
) -> pd.DataFrame:
    """(splits, methods) values of the methods without a missing one, in the table's order."""
    import pandas as pd

    there = part[metric].notna() & (part["status"] == "done")
    counts = there.groupby(part["label"], sort=False).agg(["sum", "size"])
    place = f" on {where}" if where else ""
    for label, done, expected in counts.itertuples():
        if done < expected:
            left_out.setdefault(str(label), f"{done} of {expected} runs have a value{place}")
    complete = counts.index[counts["sum"] == counts["size"]]
    kept = part[part["label"].isin(complete)]
    if kept.empty:
        # The oldest pandas that is allowed cannot factorise an empty MultiIndex.
        return pd.DataFrame()
    # A matrix at once: a series for each of hundreds of methods takes most of the time.
    rows, splits = pd.MultiIndex.from_frame(kept[list(SPLIT)]).factorize()
    columns = complete.get_indexer(pd.Index(kept["label"]))
    values = np.full((len(splits), len(complete)), np.nan)
    values[rows, columns] = kept[metric].to_numpy(dtype=np.float64)
    wide = pd.DataFrame(values, index=splits, columns=[str(label) for label in complete])
    return wide.dropna() if common else wide


def _chosen(
    runs: pd.DataFrame, metric: str, methods: Sequence[str], reference: str | None
) -> pd.DataFrame:
    from bench.metrics import metric as metric_of

    metric_of(metric)
    labels = set(runs["label"])
    for name in [*methods, *([reference] if reference else [])]:
        if name not in labels:
            raise unknown("method in these results", name, labels)
    if metric not in runs:
        runs = runs.assign(**{metric: float("nan")})
    wanted = {*methods, *([reference] if reference and methods else [])} or labels
    labelled = runs[runs["status"] == "done"].groupby("test")["labelled"].any()
    unlabelled = labelled.index[~labelled.astype(bool)]
    return runs[runs["label"].isin(wanted) & ~runs["test"].isin(unlabelled)]


def _rows(item: WithinDataset) -> Iterator[dict[str, Any]]:
    for pair in item.pairs:
        yield {
            **{key: getattr(item, key) for key in _TASK},
            "interval": "splits",
            "splits": item.n_splits,
            "first": pair.first,
            "second": pair.second,
            "median_difference": pair.median,
            "higher": pair.higher,
            "lower": pair.lower,
            "mean_difference": pair.corrected.mean,
            "low": pair.corrected.low,
            "high": pair.corrected.high,
            "p": pair.corrected.p_value,
            "correlation": pair.corrected.correlation,
            "p_holm": pair.corrected_holm,
            "wilcoxon_p": pair.signed_rank.p_value,
            "wilcoxon_p_holm": pair.signed_rank_holm,
        }
