"""Comparisons of methods on a terminal; names are shown as they are, never as markup."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from bench.analysis.compare import AcrossDatasets, WithinDataset
from bench.analysis.error_tests import ErrorTests
from bench.analysis.over_images import Pair, SuiteComparison, at_least
from bench.metrics import METRICS
from bench.model.titles import budget_title, task_title
from bench.stats import SplitComparison
from bench.stats.resampled import RESAMPLED
from bench.util.text_table import add_row, say, text_table

NUMBERS = (
    "higher–\nlower",
    "mean\ndiff.",
    "95 % interval\nover splits",
    "p",
    "p\nHolm",
    "Wilcoxon\np Holm",
)
WILCOXON_NOTE = (
    "Corrected t (Nadeau–Bengio) is the test to read. Wilcoxon is what papers print; over "
    "overlapping splits it calls equal methods different far more often than its level says."
)
SAME_TEST_NOTE = (
    "Every repeat tests the same images: p-values and intervals only cover the variation of "
    "training, not how the methods would do on other images."
)


P1401_NOTE = (
    "Predictions mapped by a 4-parameter logistic fitted on the test images. Tests marked P.1401 "
    "are the recommendation's own: they treat errors on the same images as independent and "
    "detect too little (F on RMSE* too much: most of its errors are 0). The others take the "
    "dependence into account."
)
OVER_IMAGES_NOTE = (
    "Over images: the uncertainty of a difference for new images of the kind, with the methods "
    "as trained (bootstrap; images of one content are drawn together). Over splits: its variation "
    "from split to split (Nadeau–Bengio)."
)


def show(
    inside: Sequence[WithinDataset],
    over: Sequence[AcrossDatasets],
    by_image: Sequence[SuiteComparison],
    metric: str,
    console: Console,
) -> None:
    """Print the comparisons, and what was left out."""
    for item in inside:
        table = text_table(
            f"{_title(item)}, {item.n_splits} splits",
            left=("first – second",),
            right=NUMBERS,
            pad_edge=False,
            collapse_padding=True,
            padding=(0, 1),
        )
        for pair in item.pairs:
            add_row(table, _printed(pair))
        console.print(table)
        if item.same_test:
            say(console, SAME_TEST_NOTE)
        _name_left_out(item.left_out, console)
    if inside:
        say(console, WILCOXON_NOTE)
    for found in by_image:
        _show_images(found, metric, console)
    if any(found.pairs for found in by_image):
        say(console, OVER_IMAGES_NOTE)
    elif metric not in RESAMPLED:
        say(console, f"{metric} has no interval over images; it is compared over splits alone")
    for ranks in over:
        _show_ranks(ranks, console)


def _show_images(item: SuiteComparison, metric: str, console: Console) -> None:
    several = len(item.tasks) > 1
    where = f"suite of {len(item.tasks)} sets" if several else item.tasks[0]
    title = f"{item.protocol}: {where}, {budget_title(item.budget)}, {item.selection}"
    right = ["mean\ndiff.", "95 % interval\nover images", "p\nHolm", "clusters"]
    if several:
        right.append("95 % interval\nover sets")
    table = text_table(f"{title}, over images", left=("first – second",), right=right)
    for pair in item.pairs:
        add_row(table, _over_images(pair))
    if item.pairs:
        console.print(table)
    elif item.left_out:
        say(console, f"{title}, over images: nothing to compare")
    if several:
        higher = METRICS[metric].higher_is_better
        for pair in item.pairs:
            say(console, f"  over this suite {at_least(pair, higher)}")
    _name_left_out(item.left_out, console)


def show_errors(found: Sequence[ErrorTests], console: Console) -> None:
    """Print the tests of errors: median p over splits, after a mapping fitted on test."""
    for item in found:
        title = f"{item.task}, {budget_title(item.budget)}: {item.first} – {item.second}"
        texts = [f"{name} {p:.2g}" for name, p in item.p_values.items()]
        say(console, f"{title}, median p over {item.splits} splits: {'; '.join(texts) or 'none'}")
        if item.note:
            say(console, f"  {item.note}")
    say(console, P1401_NOTE)


def _over_images(pair: Pair) -> tuple[str, ...]:
    found = pair.over_images
    cells = (
        f"{pair.first} – {pair.second}",
        f"{found.estimate:+.3f}",
        found.reason or f"[{found.low:+.3f}, {found.high:+.3f}]",
        "" if pair.holm != pair.holm else f"{pair.holm:.2g}",
        f"{found.clusters:,}",
    )
    sets = pair.over_sets
    if sets is None:
        return cells
    return (*cells, sets.reason or f"[{sets.low:+.3f}, {sets.high:+.3f}]")


def _printed(pair: SplitComparison) -> tuple[str, ...]:
    test = pair.corrected
    values = (test.p_value, pair.corrected_holm, pair.signed_rank_holm)
    interval = test.reason or f"[{test.low:+.3f}, {test.high:+.3f}]"
    numbers = ("" if value != value else f"{value:.2g}" for value in values)
    counts = f"{pair.higher}–{pair.lower}"
    return (f"{pair.first} – {pair.second}", counts, f"{test.mean:+.3f}", interval, *numbers)


def _title(item: WithinDataset) -> str:
    task = task_title(item.train, item.test)
    return f"{item.protocol}: {task}, {budget_title(item.budget)}, {item.selection}"


def _show_ranks(item: AcrossDatasets, console: Console) -> None:
    result = item.result
    budget = budget_title(item.budget)
    lines = [f"{item.protocol}, {budget}, {item.selection}: {len(item.datasets)} datasets"]
    lines += [
        f"  {rank:5.2f}  {name}" for name, rank in zip(result.names, result.ranks, strict=True)
    ]
    if result.friedman is not None:
        lines.append(f"  Friedman p = {result.friedman.p_value:.3g}")
    for group in result.groups:
        lines.append(f"  not told apart: {', '.join(result.names[i] for i in group.members)}")
    if result.pairwise.smallest_holm >= result.alpha:
        least = f"{result.pairwise.smallest_holm:.3g}"
        lines.append(f"  too few datasets: no pair can reach {result.alpha:g} (at best {least})")
    say(console, "\n".join(lines))
    _name_left_out(item.left_out, console)


def _name_left_out(left_out: dict[str, str], console: Console) -> None:
    for label, reason in left_out.items():
        say(console, f"left out: {label}: {reason}")
