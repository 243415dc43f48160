"""`bench power`: which differences a protocol can detect, before any GPU hours are spent."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.data import existing_roots
from bench.cli.refusals import refuse
from bench.util.errors import UsageError


def power(
    protocol: Annotated[str, typer.Argument(help="Protocol file, or name of a protocol.")],
    difference: Annotated[
        float, typer.Option(help="True difference to detect, in units of the metric.")
    ] = 0.01,
    results: Annotated[
        Path | None,
        typer.Option(
            help="Results of a pilot study that gives the variances; default: simulated ones."
        ),
    ] = None,
    metric: Annotated[str, typer.Option(help="Metric; only srcc without a pilot.")] = "srcc",
    srcc: Annotated[
        float | None, typer.Option(help="Simulated: SRCC of both methods; default 0.85.")
    ] = None,
    agreement: Annotated[
        float | None,
        typer.Option(help="Simulated: correlation of the two methods' errors; default 0.5."),
    ] = None,
    alpha: Annotated[float, typer.Option(help="Significance level of the comparison.")] = 0.05,
    probability: Annotated[
        float, typer.Option("--power", help="Power: the probability of detecting it.")
    ] = 0.8,
    comparisons: Annotated[
        int, typer.Option(help="Comparisons in the table, which Holm's correction counts.")
    ] = 1,
    data_root: Annotated[
        list[Path] | None,
        typer.Option(help="Databases of your own; may be repeated.", callback=existing_roots),
    ] = None,
) -> None:
    """Say which differences a protocol can detect, and how many splits and images one needs."""
    from rich.console import Console

    from bench import protocol as protocols
    from bench.analysis.power import plan
    from bench.analysis.stored_predictions import StoredPredictions
    from bench.data.at_hand import AtHand
    from bench.model.titles import budget_title
    from bench.store import Store
    from bench.store import table as runs_table
    from bench.util.text_table import add_row, say, text_table

    if not 0 < difference < math.inf:
        raise UsageError(f"--difference is {difference:g}, must be a finite number above 0")
    if results is not None:
        refuse("for a simulation; --results is a pilot", srcc=srcc, agreement=agreement)
    loaded = protocols.load(protocol)
    runs = predictions = None
    if results is not None:
        store = Store(results)
        runs = runs_table.load(store, metrics=[metric])
        predictions = StoredPredictions(store, AtHand(data_root or []))
    try:
        rows = plan(
            loaded,
            runs=runs,
            images=predictions,
            metric=metric,
            srcc=0.85 if srcc is None else srcc,
            agreement=0.5 if agreement is None else agreement,
            alpha=alpha,
            power=probability,
            comparisons=comparisons,
            data_roots=data_root or [],
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
    console = Console()
    table = text_table(
        f"{loaded.name}: a difference of {difference:g} in {metric}, {probability:.0%} power",
        left=("task", "labels"),
        right=("images", "tested", "splits", f"sees at\n{probability:.0%}", "splits\nneeded",
               "images\nneeded"),
    )  # fmt: skip
    notes: dict[str, None] = {}
    for row in rows:
        head = (row.task, budget_title(row.budget))
        notes[row.source] = None
        if row.design is None:
            add_row(table, (*head, *[""] * 6))
            continue
        design = row.design
        seen = design.seen()
        needed = design.splits_for(difference)
        splits = "same test" if design.same_test else "none do" if needed is None else str(needed)
        images = "" if math.isnan(seen) else f"{design.images_for(difference):,}"
        add_row(
            table,
            (
                *head,
                f"{design.images:,}",
                f"{design.test:,}",
                str(loaded.repeats),
                "" if math.isnan(seen) else f"{seen:.4f}",
                splits,
                images,
            ),
        )
    console.print(table)
    for note in notes:
        say(console, f"deviation of the differences: {note}")
    say(
        console,
        "Two methods over the same splits by Nadeau–Bengio's test, or, where every repeat tests "
        "the same images, over images. Images with one content count as one: for a database with "
        "references, images means contents. Simulated deviations lack the variation of training.",
    )
