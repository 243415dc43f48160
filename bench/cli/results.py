"""Commands on stored results; heavy imports are lazy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.data import existing_roots
from bench.cli.power import power
from bench.cli.refusals import refuse
from bench.cli.tables import Only, Results, Roots, export, latex, name_unreadable
from bench.util.errors import StoreError, UsageError, unknown

if TYPE_CHECKING:
    from rich.console import Console

INCOMPARABLE = 3


Metric = Annotated[str, typer.Option(help="Metric, e.g. srcc, plcc, krcc, rmse.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    kept = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="Baselines: results stored in git."
    )
    kept.command("save")(baseline_save)
    app.add_typer(kept, name="baseline")
    inspecting = (check, compare, power, export, validate, latex)
    commands: tuple[Callable[..., None], ...] = (*inspecting, merge, upgrade)
    for command in commands:
        app.command()(command)


def check(
    new: Annotated[Path, typer.Argument(help="Results folder to check.")],
    against: Annotated[str, typer.Option(help="Results folder, baseline file or baseline name.")],
    tolerance: Annotated[float, typer.Option(help="Largest accepted drop of the mean.")] = 0.005,
    reference: Annotated[
        str | None, typer.Option(help="Compare every method with this method of the baseline.")
    ] = None,
    metric: Metric = "srcc",
    protocol: Only = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for check.json, .xml and .md; default: NEW/check.")
    ] = None,
    data_root: Roots = None,
) -> None:
    """Compare with stored results. Exit 0: fine, 1: regression, 2: usage, 3: incomplete."""
    from bench.analysis import check as checking
    from bench.analysis.check.terminal import show
    from bench.store import baseline

    console = _console()
    try:
        report = checking.check(
            new,
            baseline.find(against),
            metric=metric,
            tolerance=tolerance,
            reference=reference,
            protocol=protocol,
            data_roots=data_root or [],
        )
        paths = checking.write(report, out or new / "check")
    except StoreError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(INCOMPARABLE) from error
    show(report, console)
    for path in paths:
        typer.echo(str(path))
    raise typer.Exit(report.exit_code)


def baseline_save(
    name: Annotated[str, typer.Argument(help="Name of the baseline.")],
    results: Annotated[Path, typer.Option(help="Results folder.")] = Path("results"),
    folder: Annotated[Path, typer.Option(help="Folder of the baselines.")] = Path("baselines"),
) -> None:
    """Store a results folder as one small file for git, which `check` reads."""
    from bench.store import Store, baseline

    store = Store(results)
    try:
        path, kept = baseline.save(store, name, folder)
    except StoreError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(INCOMPARABLE) from error
    name_unreadable(store)
    runs = sum(len(cell.runs) for cell in kept.cells)
    missing = sum(cell.missing for cell in kept.cells)
    typer.echo(f"{path}: {runs} runs of {len(kept.cells)} cells")
    if missing:
        typer.echo(f"{missing} runs were missing or failed and are not in it", err=True)


def compare(
    results: Results,
    other: Annotated[
        Path | None,
        typer.Argument(help="Second results folder: compare the cells of the first with these."),
    ] = None,
    methods: Annotated[str, typer.Option(help="Labels, comma-separated; default: all.")] = "",
    reference: Annotated[
        str | None, typer.Option(help="Compare this method with every other one only.")
    ] = None,
    metric: Metric = "srcc",
    protocol: Only = None,
    csv: Annotated[Path | None, typer.Option(help="Write all comparisons to this file.")] = None,
    images: Annotated[
        bool, typer.Option(help="Also compare over images, from stored predictions.")
    ] = True,
    p1401: Annotated[
        bool, typer.Option("--p1401", help="Add the tests of errors and pairs of ITU-T P.1401.")
    ] = False,
    data_root: Roots = None,
    html: Annotated[
        Path | None, typer.Option(help="With two folders: write a page of the differences here.")
    ] = None,
) -> None:
    """Compare methods over the same splits, over images and across datasets.

    With a second folder: each cell of the first with the same cell there. Exit 3: nothing
    comparable.
    """
    from bench.analysis import compare as comparing
    from bench.analysis import error_tests, over_images
    from bench.analysis.stored_predictions import StoredPredictions
    from bench.cli.compare_terminal import show, show_errors
    from bench.data.at_hand import AtHand
    from bench.store import Store, manifest
    from bench.store import table as exporting
    from bench.util.atomic import write_text

    if other is not None:
        within = "within one results folder, not between two"
        refuse(within, methods=methods, csv=csv, p1401=p1401, no_images=not images)
        _differences(results, other, metric, reference, protocol, html, data_root)
        return
    if html is not None:
        raise UsageError("--html compares two results folders; give both")
    store = Store(results)
    runs = exporting.load(store, metrics=[metric])
    several = manifest.apart(store) if protocol is None and runs["protocol"].any() else []
    if several:
        tables = ", ".join(f"'{name}'" for name in dict.fromkeys(runs["protocol"]) if name)
        raise UsageError(f"{'; '.join(several)}. Choose one with --protocol: {tables}")
    if protocol is not None:
        known = {str(name) for name in runs["protocol"]} - {""}
        runs = runs[runs["protocol"] == protocol]
        if runs.empty:
            raise unknown(f"protocol of '{results}'", protocol, known)
    names = [name.strip() for name in methods.split(",") if name.strip()]
    tested = StoredPredictions(store, AtHand(data_root or []))
    inside = comparing.within(runs, metric, names, reference, tested)
    over = comparing.across(runs, metric, names)
    by_image = over_images.compare(runs, tested, metric, names, reference) if images else []
    name_unreadable(store)
    show(inside, over, by_image, metric, _console())
    if p1401:
        chosen = runs[runs["label"].isin(names)] if names else runs
        show_errors(error_tests.compare(chosen, tested, reference), _console())
    if csv is not None:
        write_text(csv, comparing.table(inside, by_image).to_csv(index=False))
    if not inside and not over and not any(item.pairs for item in by_image):
        typer.echo("nothing comparable: two complete methods on two common splits are needed")
        raise typer.Exit(INCOMPARABLE)


def _differences(
    before: Path,
    now: Path,
    metric: str,
    reference: str | None,
    protocol: str | None,
    html: Path | None,
    data_roots: list[Path] | None,
) -> None:
    """Compare two result sets cell by cell, by the rules of `bench check`."""
    from bench.analysis import check as checking
    from bench.analysis.check.terminal import show
    from bench.reports import difference
    from bench.store import baseline

    against = baseline.find(str(before))
    report = checking.check(
        now,
        against,
        metric=metric,
        reference=reference,
        protocol=protocol,
        data_roots=data_roots or [],
    )
    show(report, _console())
    if html is not None:
        found = difference.Difference(report, against, now, data_roots)
        typer.echo(str(difference.write(found, html)[0]))
        for note in found.notes:
            typer.echo(f"left out: {note}", err=True)
    if not any(cell.n for cell in report.cells):
        raise typer.Exit(INCOMPARABLE)


def merge(
    sources: Annotated[list[Path], typer.Argument(help="Results folders.")],
    into: Annotated[Path, typer.Option(help="Results folder to copy into.")],
    keep_first: Annotated[
        bool, typer.Option("--keep-first", help="In a conflict keep the first file.")
    ] = False,
) -> None:
    """Merge results folders. Exit 1: they contradict each other."""
    from bench.store.merge import merge as merging

    merged = merging(sources, into, keep_first)
    for problem in merged.problems:
        typer.echo(f"left behind: {problem}", err=True)
    for conflict in merged.conflicts:
        typer.echo(f"conflict: {conflict}", err=True)
    if merged.conflicts and not keep_first:
        typer.echo("nothing was copied; remove one side of each conflict, or use --keep-first")
    else:
        typer.echo(f"{into}: {merged.copied} files copied, {merged.same} already the same")
    raise typer.Exit(1 if merged.conflicts else 0)


def validate(
    results: Results,
    data_root: Annotated[
        list[Path] | None,
        typer.Option(
            help="Databases for checking splits and labels; may be repeated.",
            callback=existing_roots,
        ),
    ] = None,
    audited: Annotated[
        bool, typer.Option("--audited", help="Require that every method passed `bench audit`.")
    ] = False,
) -> None:
    """Check a results folder. Exit 0: valid, 1: wrong, 2: usage, 3: incomplete or empty."""
    from bench.store.validate import validate as validating

    found = validating(results, data_root or [], audited=audited)
    for finding in found.findings:
        typer.echo(f"{finding.kind}: {finding.where}: {finding.what}")
    words = {0: "valid", 1: "not valid", 3: "incomplete"}
    counts = f"{found.done} done, {found.failed} failed, {found.expected} expected"
    typer.echo(f"{results}: {words[found.exit_code]} ({counts})")
    raise typer.Exit(found.exit_code)


def _console() -> Console:
    from rich.console import Console

    return Console()


def upgrade(
    results: Annotated[Path, typer.Argument(help="Results folder.")],
) -> None:
    """Rewrite a results folder of an older schema; it may be interrupted and run again."""
    from bench.store.upgrade import upgrade as rewrite

    done = rewrite(results)
    typer.echo(f"{done.records} records rewritten, {done.kept} were up to date")
    if done.newer:
        typer.echo(f"{done.newer} of a newer iqa-bench were left as they are", err=True)
    if done.records:
        typer.echo(
            "They keep version 1 of the splits, under which equal pictures could be on two sides, "
            "and unknown code: tables show them, and a protocol computes its runs anew."
        )
