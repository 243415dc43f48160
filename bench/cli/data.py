"""Commands about databases and splits: `bench data ...` and `bench splits ...`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.refusals import refuse
from bench.util.errors import UsageError

data = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
splits = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def existing_roots(paths: list[Path] | None) -> list[Path] | None:
    """Data roots with `~` filled in. Raises `UsageError` for one that is not there."""
    found = [path.expanduser() for path in paths or ()]
    for path in found:
        if not path.is_dir():
            raise UsageError(f"--data-root: there is no folder '{path}'")
    return found or None


ROOT_HELP = "Folder that holds databases; several may be given. Default: $IQA_DATA."
DataRoot = Annotated[list[Path] | None, typer.Option(help=ROOT_HELP, callback=existing_roots)]
FutureDataRoot = Annotated[list[Path] | None, typer.Option("--data-root", help=ROOT_HELP)]
"""Not checked, since `--to` may create one of them."""
KERNELS = ("pillow", "pillow_bilinear", "cv2", "skimage")
Name = Annotated[str, typer.Argument(help="Dataset, as NAME or NAME@VERSION.")]


SHOWN = 20
"""Shared pictures of two datasets that `overlap` prints."""


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(cache)
    app.add_typer(data, name="data", help="Databases on this machine.")
    app.add_typer(splits, name="splits", help="Train and test splits.")


def cache(
    prune: Annotated[
        float | None,
        typer.Option(min=0, help="Keep at most this many GiB of features, the most recently used."),
    ] = None,
) -> None:
    """Show the caches, whose content can be computed again, and their size."""
    from datetime import datetime

    from rich.console import Console

    from bench.data import features
    from bench.data.datasets import cache_folder
    from bench.util.text_table import add_row, text_table

    if prune is not None:
        gone = features.prune(features.folder(), int(prune * 2**30))
        typer.echo(f"removed {gone / 2**20:,.0f} MiB of features")
    typer.echo(f"{cache_folder()} (IQA_BENCH_CACHE)")
    for folder in sorted(path for path in cache_folder().glob("*") if path.is_dir()):
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        typer.echo(f"  {folder.name:10} {size / 2**20:10,.1f} MiB")
    shelves = features.shelves(features.folder())
    typer.echo(f"features, {features.bound() / 2**30:g} GiB at most ({features.BOUND_NAME}):")
    table = text_table(left=("backbone", "weights", "last used"))
    for shelf in shelves:
        weights = str(shelf.about.get("weights", ""))[:20]
        day = datetime.fromtimestamp(shelf.used).isoformat(" ", "minutes")
        add_row(
            table,
            (
                str(shelf.about.get("name", "")),
                weights,
                day,
                f"{shelf.rows:,} images",
                f"{shelf.bytes / 2**20:,.1f} MiB",
            ),
        )
    Console().print(table)


@data.command()
def status(data_root: DataRoot = None) -> None:
    """Show which databases are found, where, and how complete they are."""
    from rich.console import Console

    from bench.data import housekeeping
    from bench.util.text_table import add_row, text_table

    table = text_table(left=("dataset", "state", "images", "where", "note"))
    for line in housekeeping.status(_roots(data_root)):
        images = f"{line.images:,} of {line.expected or line.samples:,}"
        note = line.problem.splitlines()[0] if line.problem else ""
        add_row(table, (line.name, line.state, images, str(line.root or ""), note))
    Console().print(table)
    _warn_of_strays(data_root)


def _warn_of_strays(data_root: list[Path] | None) -> None:
    from bench.data import datasets

    for line in datasets.strays(_roots(data_root)):
        typer.echo(f"warning: {line}", err=True)


@data.command()
def verify(
    name: Name,
    data_root: DataRoot = None,
    write_duplicates: Annotated[
        bool,
        typer.Option(
            "--write-duplicates",
            help="List equal pictures in iqa-duplicates.yaml of the data root: random splits keep "
            "them on one side.",
        ),
    ] = False,
) -> None:
    """Check a database: every file there and decodable, counts, score range, duplicates."""
    from bench.data import datasets, housekeeping
    from bench.util.atomic import require_writable

    if write_duplicates:  # before every image is decoded
        require_writable(datasets.duplicates_file(name, _roots(data_root)))
    found = housekeeping.verify(name, _roots(data_root))
    _warn_of_strays(data_root)
    for check in found.checks:
        typer.echo(f"{'ok  ' if check.good else 'FAIL'} {check.what}: {check.detail}")
    if found.digest:
        typer.echo(f"digest {found.digest}")
    if write_duplicates and found.torn:
        path = datasets.list_duplicates(name, found.torn, _roots(data_root))
        typer.echo(f"{path}: {len(found.torn)} more; splits that tore them apart are made anew")
    elif write_duplicates and found.digest:
        typer.echo(
            "no equal pictures that a random split could tear apart among the images that can be "
            "read: nothing to write"
        )
    raise typer.Exit(0 if found.good else 3)


@data.command()
def prepare(
    name: Name,
    data_root: DataRoot = None,
    resize: Annotated[str, typer.Option(help="none, squash or short_side.")] = "none",
    size: Annotated[
        int | None, typer.Option(min=1, max=16_384, help="Pixels, with a resize.")
    ] = None,
    kernel: Annotated[
        str | None,
        typer.Option(help="pillow (default), pillow_bilinear, cv2 or skimage, with a resize."),
    ] = None,
) -> None:
    """Decode a database into the cache, so that the first run does not have to."""
    from bench.api import ImagePolicy
    from bench.data import housekeeping

    if resize not in ("none", "squash", "short_side"):
        raise UsageError(f"--resize {resize}: expected none, squash or short_side")
    if kernel is not None and kernel not in KERNELS:
        raise UsageError(f"--kernel {kernel}: expected one of {', '.join(KERNELS)}")
    if resize == "none":
        refuse("for --resize squash or short_side", size=size, kernel=kernel)
    try:
        policy = ImagePolicy(resize, size, kernel or "pillow")  # type: ignore[arg-type]  # checked above
    except ValueError as error:
        raise UsageError(str(error)) from None
    ready = housekeeping.prepare(name, policy, _roots(data_root))
    typer.echo(
        f"{ready.spec}: {ready.images:,} images, {ready.bytes / 2**20:,.0f} MiB in {ready.folder} "
        f"({ready.seconds:.1f} s), digest {ready.digest}"
    )


@data.command()
def overlap(
    names: Annotated[list[str], typer.Argument(help="Two datasets or more.")],
    csv: Annotated[Path | None, typer.Option(help="Also write all pairs to this file.")] = None,
    data_root: DataRoot = None,
) -> None:
    """List the pictures that datasets share; `exclude_overlap: true` keeps them apart."""
    from rich.console import Console

    from bench.data import overlap as finder
    from bench.util.atomic import write_text
    from bench.util.text_table import add_row, text_table

    found = finder.find(names, _roots(data_root))
    for (first, second), shared in found.items():
        kinds = Counter(item.kind for item in shared)
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        typer.echo(f"{first}, {second}: {counts or 'nothing in common'}")
        table = text_table(left=("kind", first, second), right=("alike",))
        for item in shared[:SHOWN]:
            add_row(table, (item.kind, item.first, item.second, f"{item.alike:.3f}"))
        if shared:
            Console().print(table)
        if len(shared) > SHOWN:
            typer.echo(f"and {len(shared) - SHOWN} more; --csv FILE writes all")
    if csv is not None:
        write_text(csv, finder.to_csv(found))
        typer.echo(str(csv))


@data.command()
def get(
    names: Annotated[list[str] | None, typer.Argument(help="Datasets.")] = None,
    to: Annotated[
        Path | None,
        typer.Option(help="Data root to put them into. Default: the first of $IQA_DATA."),
    ] = None,
    from_: Annotated[
        list[str] | None,
        typer.Option("--from", help="mirror, home, or addresses or files of your own."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Accept the terms without being asked; for scripts.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Check only whether every address answers; download nothing."),
    ] = False,
) -> None:
    """Download databases, check, unpack and verify them; shows their terms and asks first."""
    from rich.console import Console

    from bench.cli import fetching

    if check:
        refuse("not with --check, which gets nothing", to=to, **{"from": from_}, yes=yes)
        raise typer.Exit(fetching.answers(names or [], Console()))
    if not names:
        raise UsageError("name the datasets to get; `bench list datasets` lists them")
    raise typer.Exit(fetching.databases(names, to, from_ or [], yes, Console()))


@splits.command()
def export(
    name: Name,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("splits"),
    repeats: Annotated[int, typer.Option(min=1, max=10_000, help="Number of splits.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the splits.")] = 0,
    labels: Annotated[int | None, typer.Option(min=2, help="Label budget.")] = None,
    scheme: Annotated[str, typer.Option(help="random, official, or a published split.")] = "random",
    data_root: DataRoot = None,
) -> None:
    """Write a dataset's splits as CSV, one file for each repeat, each with its digest."""
    from bench.data import housekeeping

    written = housekeeping.export_splits(
        name, range(repeats), out, _roots(data_root), seed=seed, labels=labels, scheme=scheme
    )
    for split in written:
        counts = f"{split.train} train, {split.val} val, {split.test} test"
        typer.echo(f"{split.path}: {counts}, digest {split.digest}")


def _roots(paths: list[Path] | None) -> list[Path] | None:
    return list(paths) if paths else None
