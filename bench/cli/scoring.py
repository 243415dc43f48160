"""`bench fit` and `bench predict`: a method on your own labels and images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.data import DataRoot
from bench.cli.refusals import refuse
from bench.util.errors import INTERRUPTED, DataError, UsageError, unknown

if TYPE_CHECKING:
    from rich.console import Console

    from bench.model.jobs import Event
    from bench.protocol import Protocol
    from bench.runs.execute.scoring import Scoring

BROKEN = 1
NO_CSV = (".xlsx", ".xls", ".ods", ".parquet", ".json")
"""Suffixes that a CSV must not have."""

Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", help="KEY=VALUE for every method that has it, or METHOD.KEY=VALUE."),
]
Results = Annotated[Path, typer.Option(help="Results folder; it keeps pre-trained states.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Batch = Annotated[int, typer.Option(min=1, max=65_536, help="Images per inference batch.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(fit)
    app.command()(predict)


def fit(
    source: Annotated[str, typer.Argument(help="Protocol (file or name), or a dataset.")],
    method: Annotated[str, typer.Option(help="Method, with its argument where it takes one.")],
    out: Annotated[Path, typer.Option(help="File of weights to write (.safetensors).")],
    datasets: Annotated[
        str, typer.Option(help="Datasets of the protocol to learn from together, comma-separated.")
    ] = "",
    assignments: Assignments = None,
    results: Results = Path("results"),
    data_root: DataRoot = None,
    device: Device = "auto",
    batch_size: Batch = 64,
) -> None:
    """Fit a method on all labels of a dataset, and write weights for `bench predict`.

    A protocol says how labels are scaled and which settings hold; its splits do not count.
    """
    from rich.console import Console

    from bench.data import datasets as databases
    from bench.data.data_cache import DataCache
    from bench.protocol import checks
    from bench.protocol.variants import apply_assignments, choose, parse_assignments
    from bench.runs.execute.whole import WholeFit
    from bench.store import Store
    from bench.util.atomic import require_writable
    from bench.util.environment import resolve_device

    console = Console()
    given = parse_assignments(assignments or ())
    _refuse_without_effect(given)
    roots = list(databases.data_roots(data_root))
    chosen, sources = _asked(source, _names(datasets), roots)
    chosen, settings = apply_assignments(chosen, given)
    checks.check(chosen, roots)
    rows = choose(chosen, [method], settings)
    if len(rows) > 1:
        titles = ", ".join(f"'{row.title}'" for row in rows)
        raise UsageError(f"--method {method}: {chosen.name} has several rows of it: {titles}")
    checks.check_settings(rows, roots)
    variant = rows[0].on("+".join(sources))
    where = resolve_device(device)
    work = WholeFit(variant, chosen, sources, Store(results), DataCache(roots), where, batch_size)
    work.check()
    require_writable(out)
    with _epochs(console, variant.title) as show:
        work.emit = show
        note = work.write(out)
    console.print(
        f"{out}: {variant.title} fitted on {note.images:,} labelled images of {', '.join(sources)}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    for line in [f"its weights have seen labels of {', '.join(note.trained_on)}", *note.notes]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def predict(
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    method: Annotated[
        str | None,
        typer.Option(help="Method, with its argument; default: the one of the weights."),
    ] = None,
    prompt: Annotated[
        Path | None, typer.Option(help="CSV (image, score): the prompt pairs of promptiqa.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Fitted weights (`bench fit`); default: pre-trained ones.")
    ] = None,
    out: Annotated[Path, typer.Option(help="CSV to write.")] = Path("scores.csv"),
    assignments: Assignments = None,
    results: Results = Path("results"),
    data_root: DataRoot = None,
    device: Device = "auto",
    batch_size: Batch = 64,
) -> None:
    """Score your own images with a method; higher is better.

    Exit 1: some images have no score; they are named, and the others' scores are written. The same
    command goes on where a stopped one was.
    """
    from rich.console import Console

    from bench.data import datasets
    from bench.data.data_cache import DataCache
    from bench.protocol import checks
    from bench.protocol.variants import parse_assignments
    from bench.runs.execute import predicting
    from bench.runs.execute.ready import Ready
    from bench.runs.execute.scoring import Scoring
    from bench.store import Store
    from bench.util.atomic import require_writable
    from bench.util.environment import resolve_device

    console = Console()
    ready = Ready.of(method, parse_assignments(assignments or ()), weights, prompt is not None)
    data_cache = DataCache(datasets.data_roots(list(data_root) if data_root else None))
    checks.check_settings([ready.variant], data_cache.data_roots)
    paths, left_out = predicting.expand(images)
    for note in left_out:
        console.print(f"left out of {note}", style="dim", markup=False, highlight=False)
    pairs = None if prompt is None else predicting.read_prompt(prompt, ready.variant.build())
    if out.suffix.lower() in NO_CSV:
        raise UsageError(f"--out {out}: scores are written as CSV; name it {out.stem}.csv")
    require_writable(out)
    where = resolve_device(device)
    scoring = Scoring(ready.variant.build(), paths, out, ready.identity(pairs))
    scoring.inspect()
    if len(scoring.broken) == len(paths):
        raise DataError(f"none of {len(paths)} images can be read: {_some(scoring)}")
    for remark in ready.remarks():
        console.print(remark, style="dim", highlight=False, markup=False, soft_wrap=True)
    scoring.method = ready.build(where, batch_size, Store(results), data_cache)
    if pairs is not None:
        scoring.method.set_prompt(*pairs)
        scoring.method.learnt = True
    try:
        with _bar(len(paths)) as scoring.advance:
            scoring.run()
    except KeyboardInterrupt:
        console.print(
            f"interrupted; {len(scoring.scores)} of {len(paths)} images are scored. "
            "Run the same command again to continue."
        )
        raise typer.Exit(INTERRUPTED) from None
    scoring.finish()
    title = ready.variant.method
    console.print(
        f"{len(scoring.scores)} images scored by {title}: {out}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    for path, reason in scoring.broken.items():
        typer.echo(f"no score: {path}: {reason}", err=True)
    if scoring.broken:
        typer.echo(f"{len(scoring.broken)} of {len(paths)} images have no score", err=True)
        raise typer.Exit(BROKEN)


def _asked(source: str, named: tuple[str, ...], roots: list[Path]) -> tuple[Protocol, list[str]]:
    """The protocol, and the datasets to learn from together."""
    from bench import protocol as protocols
    from bench.data import datasets
    from bench.model.records import JOINT
    from bench.protocol import Protocol, checks

    known = datasets.names(roots)
    parts = source.split(JOINT)
    if all(part.partition("@")[0] in known for part in parts):
        refuse(f"for a protocol; {source} says already what is learnt from", datasets=named)
        return Protocol(name=source, datasets=tuple(parts)), parts
    bare = not Path(source).exists() and "/" not in source and Path(source).suffix == ""
    if bare and source not in protocols.available():
        raise unknown("protocol or dataset", source, [*protocols.available(), *known])
    chosen = protocols.load(source)
    checks.check_file(source, roots)
    if named:
        for name in named:
            if name.partition("@")[0] not in known:
                raise unknown("dataset", name, known, "--datasets")
        return chosen, list(named)
    lists = dict.fromkeys(task.train for task in chosen.tasks() if task.train)
    if len(lists) != 1:
        several = f"learns from {', '.join(lists)}, each apart" if lists else "learns from none"
        raise UsageError(f"{chosen.name} {several}; choose with --datasets NAME")
    return chosen, next(iter(lists)).split(JOINT)


def _refuse_without_effect(given: Mapping[str, Any]) -> None:
    """Raise `UsageError` for a key of protocols that a fit on all labels ignores."""
    from bench.protocol import Protocol
    from bench.runs.execute.whole import HEARD

    for key in given:
        if key in Protocol.model_fields and key not in HEARD:
            raise UsageError(
                f"--set {key}: without effect; `bench fit` learns from all labels once and tests "
                f"nothing. Of a protocol's keys it uses {', '.join(HEARD)}"
            )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _some(scoring: Scoring) -> str:
    first = list(scoring.broken.items())[:3]
    more = f" and {len(scoring.broken) - 3} more" if len(scoring.broken) > 3 else ""
    return "; ".join(f"'{path}': {reason}" for path, reason in first) + more


@contextmanager
def _bar(total: int) -> Iterator[Any]:
    """A progress bar on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (BarColumn(bar_width=40), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("images", total=total)
        yield lambda count: progress.advance(task, count)


@contextmanager
def _epochs(console: Console, title: str) -> Iterator[Any]:
    """Show the current epoch on a terminal, and a method's messages as lines."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None)

        def show(event: Event) -> None:
            if event.kind == "epoch":
                progress.update(task, completed=event.epoch, total=event.total)
            elif event.title:
                console.print(f"{title}: {event.title}", highlight=False, markup=False)

        yield show
