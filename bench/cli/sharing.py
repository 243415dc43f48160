"""Commands that show results to others; heavy imports are lazy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.data import DataRoot
from bench.cli.refusals import refuse

Results = Annotated[Path, typer.Argument(help="Results folder.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(card)
    app.command()(publish)


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

    found = load(results, data_root or [])
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


def publish(
    results: Results,
    hub: Annotated[str, typer.Option(help="Repository on the hub, OWNER/NAME.")],
    private: Annotated[
        bool, typer.Option("--private", help="Make new repositories private.")
    ] = False,
    labels: Annotated[
        bool, typer.Option(help="Publish the databases' labels with the predictions.")
    ] = True,
    images: Annotated[
        bool,
        typer.Option("--images", help="Show images of the databases whose licences permit it."),
    ] = False,
    data_root: DataRoot = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be sent, send nothing.")
    ] = False,
) -> None:
    """Publish results on the Hugging Face hub: predictions as a dataset, the report as a Space."""
    import tempfile

    if not images:
        refuse("for --images: without it no image is shown", data_root=data_root)

    from bench.publishing import hub as publishing
    from bench.store import Store

    with tempfile.TemporaryDirectory(prefix="iqa-bench-publish-") as folder:
        roots = (data_root or []) if images else None
        uploads, notes = publishing.prepare(
            Store(results), hub, Path(folder), labels=labels, data_roots=roots
        )
        for note in notes:
            typer.echo(f"left out: {note}", err=True)
        for upload in uploads:
            sizes = {name: path.stat().st_size for name, path in upload.files.items()}
            total = f"{len(sizes)} files, {sum(sizes.values()) / 1e6:,.2f} MB"
            typer.echo(f"{upload.address}: {total}")
            for name, size in sizes.items() if dry_run else ():
                typer.echo(f"  {size:12,}  {name}")
        if dry_run:
            typer.echo("nothing was sent")
            return
        for address in publishing.send(uploads, private):
            typer.echo(address)
