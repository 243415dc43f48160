"""`bench export` and `bench latex`: stored results as files for other programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.data import existing_roots
from bench.cli.refusals import refuse

if TYPE_CHECKING:
    from bench.store import Store


class IntervalKind(StrEnum):
    """The values of `--interval`."""

    splits = "splits"
    images = "images"
    none = "none"


Results = Annotated[Path, typer.Argument(help="Results folder.")]
Only = Annotated[str | None, typer.Option(help="Use this protocol only.")]
Roots = Annotated[
    list[Path] | None,
    typer.Option(
        help="Databases, for images of one content; may be repeated.", callback=existing_roots
    ),
]


def export(
    results: Results,
    out: Annotated[Path, typer.Argument(help="File to write, or a folder.")],
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="csv, parquet, json, or manifest (lists of images); default: by OUT's suffix.",
        ),
    ] = None,
    selection: Annotated[
        str | None, typer.Option(help="last, val or best_test; default: as the protocol says.")
    ] = None,
    data_root: Annotated[
        list[Path] | None,
        typer.Option(
            help="Databases, for --format manifest; may be repeated.", callback=existing_roots
        ),
    ] = None,
) -> None:
    """Write all runs as one table with a row for each run, also missing and failed ones.

    With --format manifest: their splits as lists of images, in the form of DeQA-Score's metas.
    """
    from bench.store import Store
    from bench.store import table as exporting

    store = Store(results)
    if form != "manifest":
        refuse("for --format manifest", data_root=data_root)
    if form == "manifest":
        refuse("splits are the same whichever epoch counts", selection=selection)
        _export_lists(store, out, data_root or [])
        return
    typer.echo(str(exporting.write(store, out, form, selection)))
    name_unreadable(store)


def _export_lists(store: Store, out: Path, data_roots: list[Path]) -> None:
    from bench.data import datasets
    from bench.data.data_cache import DataCache
    from bench.store import lists

    paths = lists.write(store, out, DataCache(datasets.data_roots(data_roots or None)))
    typer.echo(f"{out}: {len(paths)} lists of images")


def latex(
    results: Results,
    out: Annotated[
        Path | None, typer.Option(help="File to write; default: standard output.")
    ] = None,
    protocol: Only = None,
    metrics: Annotated[str, typer.Option(help="Metrics, comma-separated; default: all.")] = "",
    methods: Annotated[str, typer.Option(help="Labels, comma-separated; default: all.")] = "",
    rows: Annotated[str, typer.Option(help="Columns of summary.csv that name the rows.")] = "",
    columns: Annotated[
        str, typer.Option(help="Columns of summary.csv over the table, outermost first.")
    ] = "",
    blocks: Annotated[
        str, typer.Option(help="One of --columns, whose values head blocks of rows; or 'none'.")
    ] = "",
    interval: Annotated[
        IntervalKind, typer.Option(help="Interval beside each median: splits, images or none.")
    ] = IntervalKind.none,
    caption: Annotated[str, typer.Option(help="Caption; default: the protocol's title.")] = "",
    label: Annotated[
        str, typer.Option(help="Label for \\ref{tab:LABEL}; default: the protocol.")
    ] = "",
    published: Annotated[bool, typer.Option(help="Show published numbers in grey.")] = True,
    notes: Annotated[
        bool, typer.Option("--notes", help="Print notes on published numbers below the table.")
    ] = False,
    data_root: Roots = None,
    exclude_contaminated: Annotated[
        bool, typer.Option("--exclude-contaminated", help="Leave out contaminated cells.")
    ] = False,
) -> None:
    """Write LaTeX tables with rows, columns and captions of your choice."""
    from bench.reports.custom_table import CustomTable, document
    from bench.store import Store
    from bench.util.atomic import write_text

    if not published:
        refuse("about published numbers; leave out --no-published", notes=notes)
    choice = CustomTable(
        protocol=protocol,
        metrics=_split(metrics),
        methods=_split(methods),
        rows=_split(rows),
        columns=_split(columns),
        blocks=blocks,
        interval=interval.value,
        data_roots=tuple(data_root or ()),
        caption=caption,
        label=label,
        published=published,
        notes=notes,
        exclude_contaminated=exclude_contaminated,
    )
    store = Store(results)
    text = document(store, choice)
    name_unreadable(store)
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_text(out, text)
        typer.echo(str(out))


def _split(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def name_unreadable(store: Store) -> None:
    """Name the records that cannot be read: their runs count as not done."""
    for problem in dict.fromkeys(store.problems):
        typer.echo(f"set aside: {problem}", err=True)
