"""`bench audit`: whether a method predicts from images and training labels only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.data import DataRoot

if TYPE_CHECKING:
    from bench.model.audits import Property


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("audit")(audit)


def audit(
    method: Annotated[str, typer.Argument(help="Method, with its argument where it takes one.")],
    protocol: Annotated[
        str, typer.Option(help="Protocol whose budget, split and scaling are used.")
    ] = "few_shot",
    datasets: Annotated[str, typer.Option(help="The database to audit on.")] = "demo_authentic",
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE, or METHOD.KEY=VALUE.")
    ] = None,
    results: Annotated[Path, typer.Option(help="Results folder for the finding.")] = Path(
        "results"
    ),
    data_root: DataRoot = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Check that test labels, file names, order and batches do not change a method's predictions.

    Exit code 0 when every property holds, 1 when one does not or the method fails.
    """
    from bench import protocol as protocols
    from bench.data import datasets as databases
    from bench.protocol import checks
    from bench.protocol.variants import apply_assignments, choose, parse_assignments
    from bench.runs import audit as auditing
    from bench.util.environment import resolve_device

    chosen, settings = apply_assignments(
        protocols.load(protocol), parse_assignments(assignments or ())
    )
    chosen = protocols.override(chosen, {"methods": (), "datasets": [datasets], "pairs": []})
    (variant,) = choose(chosen, (method,), settings)
    checks.check_settings([variant], list(databases.data_roots(data_root)))

    def show(item: Property) -> None:
        mark = "holds" if item.holds else "FAILS"
        typer.echo(f"{mark}  {item.name}" + (f": {item.detail}" if item.detail else ""))

    found = auditing.audit(
        variant,
        datasets,
        chosen,
        list(databases.data_roots(data_root)),
        results,
        resolve_device(device),
        show,
    )
    verdict = "passed" if found.passed else "failed"
    typer.echo(f"{variant.title} {verdict} the audit (code {found.code})")
    raise typer.Exit(0 if found.passed else 1)
