"""`bench gmad`: methods against each other on stored predictions; heavy imports are lazy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.data import DataRoot
from bench.util.errors import UsageError, unknown

if TYPE_CHECKING:
    from bench.analysis.gmad_pools import Pool

Names = Annotated[str, typer.Option(help="Labels or names of methods, comma-separated.")]
SPACINGS = ("quantile", "uniform")


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(gmad)


def gmad(
    results: Annotated[Path, typer.Argument(help="Results folder.")],
    attacker: Names = "",
    defender: Names = "",
    one_way: Annotated[
        bool, typer.Option("--one-way", help="Leave out the swapped roles.")
    ] = False,
    protocol: Annotated[str | None, typer.Option(help="Protocol of the runs.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="The pool: the dataset that is predicted.")
    ] = None,
    train: Annotated[str | None, typer.Option(help="The training dataset.")] = None,
    budget: Annotated[str | None, typer.Option(help="50, 20%, all or zero-shot.")] = None,
    selection: Annotated[str | None, typer.Option(help="last, val or best_test.")] = None,
    repeat: Annotated[int, typer.Option(min=0, max=10_000, help="The split, from 0.")] = 0,
    levels: Annotated[
        int | None,
        typer.Option(min=2, max=1_000, help="Quality levels; default: the protocol's, or 10."),
    ] = None,
    pairs: Annotated[
        int | None,
        typer.Option(min=1, max=1_000, help="Pairs in each level; default: the protocol's, or 1."),
    ] = None,
    spacing: Annotated[
        str | None, typer.Option(help="Levels of equal size (quantile) or equal width (uniform).")
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Difference of labels that counts as equal; default: range / levels."),
    ] = None,
    all_levels: Annotated[
        bool, typer.Option("--all-levels", help="Show all levels, not only worst and best.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Output folder; default: RESULTS/gmad/POOL.")
    ] = None,
    data_root: DataRoot = None,
) -> None:
    """Find image pairs on which two methods disagree most: one attacks, one defends (gMAD)."""
    from rich.console import Console

    from bench.analysis import gmad_pools
    from bench.protocol import GmadEntry
    from bench.reports import gmad as reporting
    from bench.reports.gmad.terminal import table
    from bench.store import Store, manifest
    from bench.store import table as runs_table

    if spacing is not None and spacing not in SPACINGS:
        raise unknown("spacing", spacing, SPACINGS)
    store = Store(results)
    protocols = [protocol for protocol, _ in manifest.tables(store)]
    pool = gmad_pools.choose(
        gmad_pools.pools(runs_table.load(store), protocols),
        protocol=protocol,
        test=dataset,
        train=train,
        budget=budget,
        selection=selection,
    )
    roles = _roles(pool, attacker, defender, one_way)
    labels = [label for label in pool.labels if any(label in pair for pair in roles)]
    changes: dict[str, Any] = {"levels": levels, "pairs": pairs, "spacing": spacing}
    settings = (pool.protocol.gmad or GmadEntry()).model_copy(
        update={key: value for key, value in changes.items() if value is not None}
    )
    contest = reporting.hold(
        gmad_pools.read(store, pool, labels, repeat), settings, roles, tolerance
    )
    folder = out or results / "gmad" / reporting.name(contest)
    written = reporting.write(contest, folder, data_root or None, ends=not all_levels)
    Console().print(table(written.found))
    for note in written.notes:
        typer.echo(f"left out: {note}", err=True)
    for path in written.paths:
        typer.echo(str(path))


def _roles(pool: Pool, attacker: str, defender: str, one_way: bool) -> list[tuple[str, str]]:
    """(attacker, defender) of every match: those asked for, then the same with roles swapped."""
    from bench.analysis import gmad_pools

    attackers = gmad_pools.names(pool, _split(attacker), "--attacker")
    defenders = gmad_pools.names(pool, _split(defender), "--defender")
    roles = [(one, other) for one in attackers for other in defenders if one != other]
    if not roles:
        raise UsageError(
            f"gMAD needs two methods with predictions on {pool.name}; there is "
            f"{', '.join(dict.fromkeys([*attackers, *defenders]))}; to add one: "
            f"{gmad_pools.command(pool, 'METHOD')}"
        )
    swapped = [(other, one) for one, other in roles]
    if one_way and set(swapped) <= set(roles):
        raise UsageError(
            "--one-way: --attacker and --defender name the same methods, which leaves both ways"
        )
    swapped = [] if one_way else swapped
    return list(dict.fromkeys([*roles, *swapped]))


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
