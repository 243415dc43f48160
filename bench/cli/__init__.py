"""The command line: parse, call, print. No logic; heavy imports stay inside the commands."""

from __future__ import annotations

import io
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from bench.cli import audit as cli_audit
from bench.cli import data as cli_data
from bench.cli import gmad as cli_gmad
from bench.cli import leaderboard as cli_leaderboard
from bench.cli import options
from bench.cli import results as cli_results
from bench.cli import scoring as cli_scoring
from bench.cli import sharing as cli_sharing
from bench.cli.data import DataRoot, FutureDataRoot, existing_roots
from bench.cli.options import Options, Uncontaminated
from bench.cli.refusals import refuse, refuse_empty
from bench.util import atomic
from bench.util.errors import INTERRUPTED, BenchError, StoreError, UsageError

INTERNAL = 70
"""Exit code for a bug in the program (EX_SOFTWARE of sysexits.h)."""


class Commands(typer.core.TyperGroup):
    """All commands; Ctrl-C ends each in the same way, whatever it was doing.

    Files are written whole or not at all (`bench.util.atomic`), so there is nothing to undo. Left
    to itself, typer says nothing, and ends a command that asked something with 1.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, typer.Abort):
            print("interrupted", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
cli_data.register(app)
cli_scoring.register(app)
cli_results.register(app)
cli_gmad.register(app)
cli_audit.register(app)
cli_leaderboard.register(app)
cli_sharing.register(app)

Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", help="KEY=VALUE for every method that has it, or METHOD.KEY=VALUE."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]


def _version(asked: bool) -> None:
    if asked:
        import bench
        from bench.util.environment import checkout

        commit, dirty = checkout()
        where = f" (commit {commit[:10]}{' with changes' * dirty})" if commit else ""
        typer.echo(f"iqa-bench {bench.__version__}{where}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_version,
            is_eager=True,
            help="Print the version, in a clone also the commit, and exit.",
        ),
    ] = False,
) -> None:
    """Benchmark methods of blind image quality assessment."""


@app.command()
@options.command
def run(
    asked: Options,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, run nothing.")] = False,
    no_report: Annotated[
        bool,
        typer.Option("--no-report", help="Compute only; `bench report` writes the report later."),
    ] = False,
    log: Annotated[
        list[str] | None,
        typer.Option(
            help="Also log losses and results to tensorboard, wandb or mlflow; may be repeated."
        ),
    ] = None,
) -> int:
    """Run a protocol: compute what is not done yet, then report."""
    from bench.cli import commands

    if dry_run:
        return commands.plan(asked, log or ())
    return commands.run(asked, reports=not no_report, log=log or ())


@app.command()
def get(
    protocol: Annotated[str, typer.Argument(help="Protocol file, or the name of one.")] = "",
    methods: Annotated[options.Names, options.METHODS] = options.NONE,
    datasets: Annotated[options.Names, options.DATASETS] = options.NONE,
    assignments: Assignments = None,
    data_root: FutureDataRoot = None,
    to: Annotated[
        Path | None, typer.Option(help="Data root to put databases into; default: the first one.")
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(help="Method whose released checkpoint to get: grmp or promptiqa."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Accept the terms without being asked; for scripts.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be downloaded, and download nothing.")
    ] = False,
) -> None:
    """Download everything that a protocol needs: databases, corpora, backbones, other weights."""
    from rich.console import Console

    from bench.cli import fetching_all

    if bool(weights) == bool(protocol):
        raise UsageError("give a protocol, or --weights METHOD")
    if weights:
        refuse(
            "for a protocol; --weights takes --to and --dry-run alone",
            methods=methods,
            datasets=datasets,
            set=assignments,
            data_root=data_root,
            yes=yes,
        )
        raise typer.Exit(fetching_all.weights(weights, to, dry_run, Console()))
    # The folder that databases are put into may be made by this command.
    there = [root for root in data_root or () if root != to or root.is_dir()]
    roots = existing_roots(there)
    asked = Options(protocol, methods, datasets, assignments=assignments, data_root=roots)
    raise typer.Exit(fetching_all.protocol(asked, to, yes, dry_run, Console()))


@app.command()
@options.command
def plan(asked: Options) -> int:
    """Show which runs are done, which are to do, and their likely time (as run --dry-run)."""
    from bench.cli import commands

    return commands.plan(asked)


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="Results folder.")],
    out: Annotated[
        Path | None, typer.Option(help="Where to write; default RESULTS/report.")
    ] = None,
    published: Annotated[
        bool, typer.Option(help="Show printed numbers in grey beside ours, with the difference.")
    ] = True,
    data_root: DataRoot = None,
    exclude_contaminated: Uncontaminated = False,
    image_intervals: Annotated[
        bool,
        typer.Option(help="Compute intervals over images from all predictions; they are cached."),
    ] = True,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=VALUE: leave out rows that cost more. parameters, gmacs, ms, memory, "
            "fit_seconds or tokens."
        ),
    ] = None,
) -> None:
    """Render tables, figures and pages from stored results only."""
    from bench.cli import commands

    code = commands.report(
        results,
        out,
        data_root or [],
        published=published,
        exclude_contaminated=exclude_contaminated,
        image_intervals=image_intervals,
        limits=limit or (),
    )
    raise typer.Exit(code)


@app.command()
def conform(
    method: Annotated[str, typer.Argument(help="Method, with its argument where it takes one.")],
    assignments: Assignments = None,
) -> None:
    """Check that a method keeps the contract: one line per rule, exit code 1 if one is broken."""
    from bench.cli import commands

    raise typer.Exit(commands.conform(method, assignments or []))


@app.command("list")
def list_(
    what: Annotated[
        str, typer.Argument(help="methods, datasets, protocols, backbones or results.")
    ],
    results: Annotated[
        Path | None, typer.Option(help="Results folder, for results; default: results.")
    ] = None,
) -> None:
    """List what is available; for results, the runs of each method by code version."""
    from bench.cli import list_command

    if what == "results":
        rows = list_command.stored(results or Path("results"))
    else:
        refuse(f"for `bench list results`, not for {what}", results=results)
        rows = list_command.rows(what)
    for name, summary in rows:
        typer.echo(f"{name:24} {summary}")


@app.command()
def describe(
    name: Annotated[
        str, typer.Argument(help="A method, dataset, protocol, backbone, or 'protocol'.")
    ],
) -> None:
    """Describe one method (with its settings), dataset, protocol or backbone."""
    from bench.cli import list_command

    typer.echo(list_command.describe(name))


@app.command()
def speed(
    quick: Annotated[
        bool, typer.Option("--quick", help="Measure faster and less accurately.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    cpu_time: Annotated[
        bool, typer.Option("--cpu-time", help="Measure CPU time on one thread, for a busy machine.")
    ] = False,
    device: Device = "auto",
) -> None:
    """Measure this machine: decoding, CLIP, PromptIQA, statistics, a report."""
    from rich.console import Console

    from bench.cli import machine
    from bench.cli.machine.timing import effort
    from bench.util.environment import resolve_device

    chosen = effort(resolve_device(device), quick, cpu_time)
    raise typer.Exit(machine.run(chosen, as_json, Console()))


@app.command("exec", hidden=True)
def exec_(
    job: Annotated[Path, typer.Argument(help="Job file.")],
    attended: Annotated[
        bool, typer.Option("--attended", help="End when standard input ends.")
    ] = False,
) -> None:
    """Execute one job file (what `run` starts for each group of runs)."""
    from bench.runs.worker import run_job

    raise typer.Exit(run_job(job, attended))


def main() -> None:
    """Entry point: errors that a user can act on are printed without a traceback.

    Anything else is a fault of the program and ends with `INTERNAL`, which no command means
    anything else by.
    """
    _print_anything()
    try:
        refuse_empty(sys.argv[1:])
        app()
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Exception as error:
        if isinstance(error, OSError) and (error.errno in atomic.FULL or error.filename):
            # The system names the file where it is opened, not where it grows.
            verb = "write" if error.errno in atomic.FULL else "use"
            place = f" '{error.filename}'" if error.filename else ""
            print(f"error: cannot {verb}{place}: {error.strerror}", file=sys.stderr)
            sys.exit(StoreError.exit_code)
        traceback.print_exc()
        print("error: this is a fault of iqa-bench; please report it", file=sys.stderr)
        sys.exit(INTERNAL)


def _print_anything() -> None:
    """Replace letters that the terminal cannot show."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
