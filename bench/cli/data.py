"""Commands about databases and splits: `bench data ...` and `bench splits ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.util.errors import UsageError

data = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
splits = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

DataRoot = Annotated[
    list[Path] | None,
    typer.Option(help="Folder that holds databases; several may be given. Default: $IQA_DATA."),
]
KERNELS = ("pillow", "pillow_bilinear", "cv2", "skimage")
Name = Annotated[str, typer.Argument(help="Dataset, as NAME or NAME@VERSION.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(data, name="data", help="Databases on this machine.")
    app.add_typer(splits, name="splits", help="Train and test splits.")


@data.command()
def status(data_root: DataRoot = None) -> None:
    """Which databases are found, where, and how complete they are."""
    from rich.console import Console

    from bench.data import tools
    from bench.util.text_table import add_row, text_table

    table = text_table(left=("dataset", "state", "images", "where", "note"))
    for line in tools.status(_roots(data_root)):
        images = f"{line.images:,} of {line.expected or line.samples:,}"
        note = line.problem.splitlines()[0] if line.problem else ""
        add_row(table, (line.name, line.state, images, str(line.root or ""), note))
    Console().print(table)


@data.command()
def verify(name: Name, data_root: DataRoot = None) -> None:
    """Check a database: every file there and decodable, counts, score range, duplicates."""
    from bench.data import tools

    found = tools.verify(name, _roots(data_root))
    for check in found.checks:
        typer.echo(f"{'ok  ' if check.good else 'FAIL'} {check.what}: {check.detail}")
    if found.digest:
        typer.echo(f"digest {found.digest}")
    raise typer.Exit(0 if found.good else 3)


@data.command()
def prepare(
    name: Name,
    data_root: DataRoot = None,
    resize: Annotated[str, typer.Option(help="none, squash or short_side.")] = "none",
    size: Annotated[int | None, typer.Option(min=1, help="Pixels, with a resize.")] = None,
    kernel: Annotated[
        str, typer.Option(help="pillow, pillow_bilinear, cv2 or skimage.")
    ] = "pillow",
) -> None:
    """Decode a database into the cache, so that the first run does not have to."""
    from bench.api import ImagePolicy
    from bench.data import tools

    if resize not in ("none", "squash", "short_side"):
        raise UsageError(f"--resize {resize}: expected none, squash or short_side")
    if kernel not in KERNELS:
        raise UsageError(f"--kernel {kernel}: expected one of {', '.join(KERNELS)}")
    try:
        policy = ImagePolicy(resize, size, kernel)  # type: ignore[arg-type]  # checked above
    except ValueError as error:
        raise UsageError(str(error)) from None
    ready = tools.prepare(name, policy, _roots(data_root))
    typer.echo(
        f"{ready.spec}: {ready.images:,} images, {ready.bytes / 2**20:,.0f} MiB in {ready.folder} "
        f"({ready.seconds:.1f} s), digest {ready.digest}"
    )


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
    yes: Annotated[bool, typer.Option("--yes", help="Agree to the terms; for scripts.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Ask every address whether it answers; get nothing.")
    ] = False,
) -> None:
    """Download databases, check, unpack and verify them; shows their terms and asks first."""
    from rich.console import Console

    from bench.cli import fetching

    if check:
        raise typer.Exit(fetching.answers(names or [], Console()))
    if not names:
        raise UsageError("name the datasets to get; `bench list datasets` lists them")
    raise typer.Exit(fetching.databases(names, to, from_ or [], yes, Console()))


@splits.command()
def export(
    name: Name,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("splits"),
    repeats: Annotated[int, typer.Option(min=1, help="Number of splits.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the splits.")] = 0,
    labels: Annotated[int | None, typer.Option(min=2, help="Label budget.")] = None,
    scheme: Annotated[str, typer.Option(help="random, official, or a published split.")] = "random",
    data_root: DataRoot = None,
) -> None:
    """Write a dataset's splits as CSV, one file a repeat, each with its digest."""
    from bench.data import tools

    written = tools.export_splits(
        name, range(repeats), out, _roots(data_root), seed=seed, labels=labels, scheme=scheme
    )
    for split in written:
        counts = f"{split.train} train, {split.val} val, {split.test} test"
        typer.echo(f"{split.path}: {counts}, digest {split.digest}")


def _roots(paths: list[Path] | None) -> list[Path] | None:
    return list(paths) if paths else None
