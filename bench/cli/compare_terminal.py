"""Comparisons of methods on a terminal; names are shown as they are, never as markup."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from bench.analysis.compare import AcrossDatasets, WithinDataset
from bench.model.records import budget_title, task_title
from bench.stats import SplitComparison
from bench.util.text_table import add_row, say, text_table

NUMBERS = (
    "higher–\nlower",
    "mean\ndiff.",
    "95 % interval",
    "p",
    "p\nHolm",
    "Wilcoxon\np Holm",
)
WILCOXON_NOTE = (
    "Corrected t (Nadeau–Bengio) is the test to read. Wilcoxon is what papers print; over "
    "overlapping splits it calls equal methods different far more often than its level says."
)
SAME_TEST_NOTE = (
    "Every repeat tests the same images: p-values and intervals tell of training alone, not of "
    "how the methods would do on other images."
)


def show(inside: Sequence[WithinDataset], over: Sequence[AcrossDatasets], console: Console) -> None:
    """Print what was compared, and what was not."""
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
    for ranks in over:
        _show_ranks(ranks, console)


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
