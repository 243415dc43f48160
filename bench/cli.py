"""The command line: parse, call, print. No logic; heavy imports stay inside the commands."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Annotated

import typer

from bench import cli_data, cli_gmad, cli_results
from bench.cli_data import DataRoot
from bench.errors import BenchError, StoreError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Benchmark blind image quality assessment, honestly.",
)
cli_data.register(app)
cli_results.register(app)
cli_gmad.register(app)

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
"""A full or read-only disk, wherever it is met: no fault of the program's."""

Results = Annotated[Path, typer.Option(help="Results folder.")]
Methods = Annotated[str, typer.Option(help="Methods, comma-separated, instead of the protocol's.")]
Datasets = Annotated[
    str,
    typer.Option(help="Datasets, or TRAIN:TEST pairs, comma-separated, instead of the protocol's."),
]
Repeats = Annotated[int | None, typer.Option(min=1, help="Number of seeded splits.")]
Seed = Annotated[int | None, typer.Option(help="Seed of the splits.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", help="KEY=VALUE for every method that has it, or METHOD.KEY=VALUE."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Worker processes at once.")]
Uncontaminated = Annotated[
    bool,
    typer.Option(
        "--exclude-contaminated",
        help="Leave out methods on datasets whose labels their weights have seen.",
    ),
]


@app.command()
def run(
    protocol: Annotated[str, typer.Argument(help="Protocol file, or the name of one.")],
    methods: Methods = "",
    datasets: Datasets = "",
    repeats: Repeats = None,
    assignments: Assignments = None,
    results: Results = Path("results"),
    seed: Seed = None,
    data_root: DataRoot = None,
    device: Device = "auto",
    jobs: Jobs = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images per inference batch.")] = 64,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, run nothing.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run failed runs again.")
    ] = False,
    exclude_contaminated: Uncontaminated = False,
) -> None:
    """Run a protocol: compute what is not done yet, then report."""
    from bench import commands
    from bench.session import Options

    options = Options(
        protocol=protocol,
        methods=_names(methods),
        datasets=_names(datasets),
        repeats=repeats,
        seed=seed,
        assignments=tuple(assignments or ()),
        results=results,
        data_roots=tuple(data_root or ()),
        device=device,
        jobs=jobs,
        batch_size=batch_size,
        retry_failed=retry_failed,
        exclude_contaminated=exclude_contaminated,
    )
    raise typer.Exit(commands.plan(options) if dry_run else commands.run(options))


@app.command()
def plan(
    protocol: Annotated[str, typer.Argument(help="Protocol file, or the name of one.")],
    methods: Methods = "",
    datasets: Datasets = "",
    repeats: Repeats = None,
    assignments: Assignments = None,
    results: Results = Path("results"),
    seed: Seed = None,
    data_root: DataRoot = None,
    exclude_contaminated: Uncontaminated = False,
) -> None:
    """Show which runs are done, failed and to do (the same as run --dry-run)."""
    from bench import commands
    from bench.session import Options

    options = Options(
        protocol=protocol,
        methods=_names(methods),
        datasets=_names(datasets),
        repeats=repeats,
        seed=seed,
        assignments=tuple(assignments or ()),
        results=results,
        data_roots=tuple(data_root or ()),
        exclude_contaminated=exclude_contaminated,
    )
    raise typer.Exit(commands.plan(options))


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="Results folder.")],
    out: Annotated[
        Path | None, typer.Option(help="Where to write; default RESULTS/report.")
    ] = None,
    published: Annotated[
        bool, typer.Option(help="Set printed numbers in grey beside ours, with the difference.")
    ] = True,
    data_root: DataRoot = None,
    exclude_contaminated: Uncontaminated = False,
) -> None:
    """Render tables, figures and pages from stored results alone."""
    from bench import commands

    code = commands.report(
        results,
        out,
        data_root or [],
        published=published,
        exclude_contaminated=exclude_contaminated,
    )
    raise typer.Exit(code)


@app.command()
def predict(
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    method: Annotated[str, typer.Option(help="Method, with its argument where it takes one.")],
    prompt: Annotated[
        Path | None, typer.Option(help="CSV (image, score): the pairs that promptiqa scores by.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Fitted weights of the method; default: pre-trained ones.")
    ] = None,
    out: Annotated[Path, typer.Option(help="CSV to write.")] = Path("scores.csv"),
    assignments: Assignments = None,
    results: Results = Path("results"),
    data_root: DataRoot = None,
    device: Device = "auto",
) -> None:
    """Score your own images with a method; higher is better."""
    from bench import commands

    raise typer.Exit(
        commands.predict(
            images,
            method=method,
            prompt=prompt,
            weights=weights,
            out=out,
            assignments=assignments or [],
            results=results,
            data_roots=data_root or [],
            device=device,
        )
    )


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="methods, datasets, protocols or backbones.")],
) -> None:
    """List what there is."""
    from bench import catalogue

    for name, summary in catalogue.rows(what):
        typer.echo(f"{name:24} {summary}")


@app.command()
def describe(
    name: Annotated[
        str, typer.Argument(help="A method, dataset, protocol, backbone, or 'protocol'.")
    ],
) -> None:
    """Describe one method (with its settings), dataset, protocol or backbone."""
    from bench import catalogue

    typer.echo(catalogue.describe(name))


@app.command("exec", hidden=True)
def exec_(job: Annotated[Path, typer.Argument(help="Job file.")]) -> None:
    """Execute one job file (what `run` starts for each group of runs)."""
    from bench.worker import run_job

    raise typer.Exit(run_job(job))


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def main() -> None:
    """Entry point: errors that a user can act on are printed without a traceback."""
    try:
        app()
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in _DISK:
            raise
        print(f"error: cannot write '{error.filename}': {error.strerror}", file=sys.stderr)
        sys.exit(StoreError.exit_code)
