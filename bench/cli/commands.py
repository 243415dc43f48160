"""The work of the commands, once they are parsed. Each function returns an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.cli.options import Options
from bench.store import Store
from bench.util.errors import INTERRUPTED, StoreError

FAILED = 1


def run(options: Options, *, reports: bool = True, log: Sequence[str] = ()) -> int:
    """Compute, then report. Returns 1 if runs failed or the report cannot be trusted, 130 if the
    user stopped it."""
    from bench.cli import session

    console = Console()
    finished = session.run(options, console, log)
    for error in finished.errors:
        console.print(f"error: {error}", style="red", markup=False, highlight=False)
    if finished.interrupted:
        done = len(Store(options.results).states(finished.plan.runs))
        console.print(
            f"interrupted; {done} of {len(finished.plan.runs)} runs are done. "
            "Run the same command again to continue."
        )
        return INTERRUPTED
    code = 0
    if reports:
        code = report(
            options.results,
            None,
            options.data_root or (),
            exclude_contaminated=options.exclude_contaminated,
        )
    if finished.failed:
        console.print(
            f"{finished.failed} runs failed; see {options.results / 'logs'} and the records. "
            "Retry them with --retry-failed.",
            style="red",
            highlight=False,
        )
        return FAILED
    return FAILED if finished.errors or finished.plan.without_weights else code


def plan(options: Options, log: Sequence[str] = ()) -> int:
    """Print what a run with the trackers `log` would do, and how long it would take.

    Raises `UsageError` after that for rows that the executor can never run: this machine may be
    another than the one that runs them, and the plan is of use all the same.
    """
    from bench.cli import plan_terminal, session
    from bench.runs.trackers import require

    require(log)

    planned, store, data_cache = session.prepare(options)
    plan_terminal.show(planned, store, data_cache, options, Console())
    session.refuse(options, planned)
    return 0


def report(
    results: Path,
    out: Path | None,
    data_roots: Sequence[Path] = (),
    *,
    published: bool = True,
    exclude_contaminated: bool = False,
    image_intervals: bool = True,
    limits: Sequence[str] = (),
) -> int:
    """Render everything from the store. Returns 1 if sanity rows show that the table is wrong."""
    from bench.analysis.costs import Limits
    from bench.reports.render import render
    from bench.reports.terminal import leaderboard

    console = Console()
    if not results.is_dir():
        raise StoreError(f"no results folder '{results}'")
    rendered = render(
        Store(results),
        out or results / "report",
        data_roots,
        published=published,
        exclude_contaminated=exclude_contaminated,
        with_images=image_intervals,
        limits=Limits.parse(limits),
    )
    leaderboard(rendered.summary, console, rendered.printed)
    for note in rendered.notes:
        console.print(f"left out: {note}", style="dim", markup=False, highlight=False)
    for path in rendered.paths:
        if path.suffix in (".html", ".tex", ".csv") and path.parent == (out or results / "report"):
            console.print(str(path), highlight=False, markup=False, soft_wrap=True)
    for warning in rendered.warnings:
        console.print(f"do not trust: {warning}", style="red", markup=False, highlight=False)
    return FAILED if rendered.warnings else 0


def conform(method: str, assignments: Sequence[str]) -> int:
    """Check a method, one line for each rule of the contract. Returns 1 if a rule is broken."""
    from bench import registry
    from bench.protocol.variants import parse_assignments
    from bench.runs.conformance import conform as asked

    own = f"{registry.split_name(registry.full_name(method))[0]}."
    settings = {
        key.removeprefix(own): value for key, value in parse_assignments(assignments).items()
    }
    marks = {"holds": "ok", "broken": "BROKEN", "inapplicable": "-"}
    broken = 0
    for outcome in asked(method, settings):
        why = f": {outcome.why}" if outcome.why else ""
        print(f"{marks[outcome.verdict]:8}{outcome.rule}{why}", flush=True)
        broken += outcome.verdict == "broken"
    return FAILED if broken else 0
