"""Commands that show results to others; heavy imports are lazy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.data import DataRoot

Results = Annotated[Path, typer.Argument(help="Results folder.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(card)


def card(
    method: Annotated[str, typer.Argument(help="Label of a row, or the method's name.")],
    results: Results,
    out: Annotated[
        Path | None, typer.Option(help="File to write; default: standard output.")
    ] = None,
    image_intervals: Annotated[
        bool, typer.Option(help="Give intervals over images too, from all predictions.")
    ] = True,
    data_root: DataRoot = None,
) -> None:
    """Write a method's model card: settings, data seen, results with intervals, cost."""
    from bench.analysis import image_intervals as over_images
    from bench.analysis import load
    from bench.analysis.stored_predictions import StoredPredictions
    from bench.data.at_hand import AtHand
    from bench.reports import card as cards
    from bench.util.atomic import write_text

    found = load(results)
    summary = found.summary
    if image_intervals:
        images = StoredPredictions(found.store, AtHand(data_root or []))
        summary = over_images.beside(summary, found.runs, images)
    text = cards.write(found, method, summary)
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_text(out, text)
        typer.echo(str(out))
