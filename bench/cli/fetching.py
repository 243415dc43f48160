"""`bench data get` and `bench get`: list downloads with terms and sizes, and make them."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bench.data import datasets, housekeeping
from bench.data.fetch import place, sources
from bench.util.errors import BenchError, DataError, UsageError, unknown
from bench.util.text_table import say

if TYPE_CHECKING:
    from rich.console import Console

    from bench.data.fetch.download import Progress
    from bench.data.fetch.place import Got, Order

UNAVAILABLE = DataError.exit_code


def databases(
    names: Sequence[str], to: Path | None, wanted: Sequence[str], yes: bool, console: Console
) -> int:
    """Get databases, each once. Returns 0 if all can be used, else 3."""
    if wanted and len(names) > 1 and wanted[0] not in ("mirror", "home"):
        raise UsageError("--from with an address or a file goes with one database")
    root = root_of(to)
    orders, failures = [], {}
    for name in dict.fromkeys(name.partition("@")[0] for name in names):
        there = housekeeping.status_of(name, [to] if to is not None else None)
        if there.state == "complete":
            say(console, f"{name}: there already, in {there.root}")
            place.tidy(name, root)
            continue
        try:
            orders.append(place.order(name, root, wanted))
        except DataError as error:
            if len(names) == 1:
                raise
            failures[name] = str(error)
    for order in orders:
        show_terms(order, console)
    if orders:
        agree(yes)
    failures |= fulfil(orders, console)
    for text in failures.values():
        say(console, f"not available: {text}")
    return UNAVAILABLE if failures else 0


def root_of(to: Path | None) -> Path:
    """The data root for new databases. Raises `UsageError` if none is given."""
    roots = datasets.data_roots([to] if to is not None else None)
    if not roots:
        raise UsageError("no data root: give one with --to FOLDER, or set IQA_DATA")
    return roots[0]


def show_terms(order: Order, console: Console) -> None:
    """Title, size, licence and what the terms ask for, before anything is downloaded."""
    info = datasets.info(order.name)
    listed = sources.of_database(order.name)
    asks = f"; asks for: {', '.join(listed.asks)}" if listed.asks else ""
    lines = [f"{order.name}: {info.title}, {info.size:,} images"]
    if order.own:
        lines += [f"  from {path}" for path in order.own]
    else:
        size = sources.published_size(order.source.files) if order.source else "unknown size"
        whose = f"{order.source.origin}, seen {order.source.evidenced}" if order.source else "yours"
        lines += [f"  from {file.url}" for file in order.files]
        lines += [f"  {size} to download ({whose}), about twice that on the disk meanwhile"]
    lines += [
        f"  licence: {info.licence}{asks}",
        f"  into {order.folder}; its terms: {info.homepage}",
    ]
    if listed.note and order.source:
        lines.append(f"  note: {listed.note}")
    for line in lines:
        say(console, line)


def agree(yes: bool) -> None:
    """Ask once. Raises `UsageError` without a terminal, and `BenchError` if the user declines."""
    if yes:
        return
    terms = "The databases stay under their authors' terms, whoever hands them out; several forbid"
    typer.echo(f"{terms} redistribution.")
    if not sys.stdin.isatty():
        raise UsageError("no terminal to ask for agreement to the terms: give --yes in a script")
    if not typer.confirm("Get them under these terms?"):
        raise BenchError("nothing was downloaded: you did not agree to the terms")


def fulfil(orders: Sequence[Order], console: Console) -> dict[str, str]:
    """Get everything that is available. Returns what is not, by name, with the reason."""
    failures = {}
    for order in orders:
        try:
            with progress(console) as hears:
                got = place.get(order, hears)
        except BenchError as error:
            failures[order.name] = f"{order.name}: {error}"
            continue
        say_got(got, console)
        if not got.good:
            failures[order.name] = f"{order.name}: it came, and did not verify (see above)"
    return failures


def say_got(got: Got, console: Console) -> None:
    """Print the outcome of one order."""
    name = got.order.name
    if got.there is not None:
        say(console, f"{name}: there already, in {got.there.root}")
        return
    for one in got.arrived:
        say(console, f"{name}: {one.path.name}, {one.size:,} bytes, sha256 {one.sha256}")
        say(console, f"  checked: {one.checked}")
    say(console, f"{name}: {got.files:,} files in {got.order.folder}")
    assert got.verified is not None
    for check in got.verified.checks:
        say(console, f"  {'ok  ' if check.good else 'FAIL'} {check.what}: {check.detail}")
    for path in got.kept:
        say(console, f"  the archive stays at {path}")


def answers(names: Sequence[str], console: Console) -> int:
    """Send HEAD to every listed address. Returns 0 if all answer as expected, else 3."""
    from bench.data.fetch.url_check import ask_all
    from bench.util.text_table import add_row, text_table

    known = {**sources.known().databases, **sources.known().weights}
    for name in names:
        if name not in known:
            raise unknown("source", name, known)
    replies = ask_all(names)
    table = text_table(left=("name", "", "answer", "address"))
    for reply in replies:
        add_row(table, (reply.name, "ok" if reply.good else "FAIL", reply.said, reply.url))
    console.print(table)
    for name, listed in sources.known().databases.items():
        if listed.apply and name in (names or datasets.names()):
            say(console, f"{name}: {sources.how_to_apply(name)}")
    return 0 if all(reply.good for reply in replies) else UNAVAILABLE


@contextlib.contextmanager
def progress(console: Console) -> Iterator[Progress]:
    """On a terminal a bar for each download, elsewhere one line for each."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    tasks: dict[str, object] = {}
    lock = threading.Lock()

    def hears(what: str, done: int, total: int | None) -> None:
        with lock:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
                if not console.is_terminal:
                    say(console, f"{what} ...")
            bars.update(tasks[what], completed=done, total=total)  # type: ignore[arg-type]

    with bars:
        yield hears
