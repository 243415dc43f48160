"""`bench get`: lists everything that a command needs, with sizes, and downloads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bench.cli import fetching
from bench.cli.options import Options
from bench.data import datasets
from bench.data.data_cache import DataCache
from bench.data.fetch import authors_checkpoints, place, sources
from bench.data.fetch.hub import OF_DATA
from bench.data.fetch.place import Order
from bench.runs.plan.needs import CellNeeds, Why, in_order, lacks, needs
from bench.runs.plan.weights import weights_of
from bench.util.errors import BenchError, DataError, UsageError
from bench.util.text_table import add_row, say, text_table

if TYPE_CHECKING:
    from rich.console import Console

    from bench.protocol.variants import Variant


@dataclass(frozen=True)
class Item:
    """One database or file to download."""

    name: str
    why: str
    """The rows that need it, and why."""
    size: int | None
    """Size in bytes; None if no source states it."""
    where: str
    order: Order | None = None
    """Set for a database."""
    fetch: Callable[[], object] | None = None
    """Set for anything else."""
    refusal: str = ""
    """Why it is not available."""


def weights(methods: Sequence[str], to: Path | None, dry_run: bool, console: Console) -> int:
    """Get methods' released checkpoints, and say how to use them."""
    for method in methods:
        source = authors_checkpoints.source_of(method)
        say(console, f"{method}: {source.hub}, {source.file}: {source.what}")
        if dry_run:
            continue
        with fetching.progress(console) as hears:
            got = authors_checkpoints.get(method, to, hears)
        say_checkpoint(got, console)
    return 0


def say_checkpoint(got: authors_checkpoints.AuthorsCheckpoint, console: Console) -> None:
    """Print a checkpoint's path, its training data, and how to use it."""
    if got.arrived is None:
        say(console, f"{got.method}: there already")
    else:
        arrived = got.arrived
        say(console, f"{got.method}: {arrived.size:,} bytes, sha256 {arrived.sha256}")
        say(console, f"  checked: {arrived.checked}")
    say(console, f"  has seen labels of {', '.join(got.source.seen)}: cells on them get a dagger")
    say(console, f"  use it: --set {got.assignment}")


def protocol(options: Options, to: Path | None, yes: bool, dry_run: bool, console: Console) -> int:
    """Get what a protocol's rows need. Returns 0 if all of it is there afterwards, else 3."""
    from bench.cli import session

    roots = list(datasets.data_roots(options.data_root))
    chosen, variants = session.resolve(options, roots)
    cells = needs(chosen, variants)
    items = [*_databases(cells, DataCache(roots), to), *_weights(variants, cells)]
    _list(items, console)
    for line in _instead(variants, items):
        say(console, line)
    refused = [item for item in items if item.refusal]
    wanted = [item for item in items if not item.refusal]
    failures = {item.name: item.refusal for item in refused}
    if wanted and not dry_run:
        orders = [item.order for item in wanted if item.order]
        if orders:
            for order in orders:
                fetching.show_terms(order, console)
            fetching.agree(yes)
        failures |= fetching.fulfil(orders, console)
        failures |= _fetch([item for item in wanted if item.fetch], console)
    for text in failures.values():
        say(console, f"not available: {text}")
    return fetching.UNAVAILABLE if failures else 0


def _databases(cells: Sequence[CellNeeds], data_cache: DataCache, to: Path | None) -> list[Item]:
    lacking = lacks(cells, data_cache)
    specs = [missing.spec for missing in lacking.absent] + list(lacking.imageless)
    names = dict.fromkeys(spec.partition("@")[0] for spec in specs)
    root = fetching.root_of(to or next(iter(data_cache.data_roots), None)) if names else Path()
    return [_database(name, root, _why(name, cells)) for name in names]


def _why(name: str, cells: Sequence[CellNeeds]) -> str:
    """The rows that need a database, and why."""
    found: dict[str, set[Why]] = {}
    for cell in cells:
        for need in cell.needs:
            if need.spec.partition("@")[0] == name:
                found.setdefault(cell.variant.title, set()).add(need.why)
    rows: dict[str, list[str]] = {}
    for title, whys in found.items():
        rows.setdefault(", ".join(in_order(whys)), []).append(title)
    return "; ".join(f"{', '.join(titles)}: {whys}" for whys, titles in rows.items())


def _database(name: str, root: Path, why: str) -> Item:
    try:
        order = place.order(name, root)
    except (DataError, UsageError) as error:
        text = str(error).removeprefix(f"{name}: ")
        return Item(name, why, None, "", refusal=f"{name}: {text}")
    assert order.source is not None
    known = [file.rough_size for file in order.source.files]
    size = sum(one.bytes for one in known if one) or None
    first = order.source.files[0]
    where = first.hub.removeprefix(OF_DATA) or urlsplit(first.url).netloc
    return Item(name, why, size, f"{order.source.origin}: {where}", order=order)


def _weights(variants: Sequence[Variant], cells: Sequence[CellNeeds]) -> list[Item]:
    items = []
    for title, (found, rows) in weights_of(variants, cells).items():
        if not found.here:
            why = f"{', '.join(rows)}: weights"
            items.append(Item(title, why, found.size(), found.where, fetch=found.fetch))
    return items + _checkpoints(variants)


def _checkpoints(variants: Sequence[Variant]) -> list[Item]:
    """The authors' files that a setting names and that are not where it says."""
    items = {}
    for variant in variants:
        method, setting = variant.cls.name, variant.cls.pretrained_setting
        released = sources.known().weights.get(method)
        path = getattr(variant.settings, setting, None) if setting else None
        if released is None or path is None or path.exists() or path.name != released.file:
            continue
        items[path] = Item(
            name=str(path),
            why=f"{variant.title}: the authors' checkpoint",
            size=None,
            where=released.hub,
            fetch=partial(authors_checkpoints.get, method, path.parent),
        )
    return list(items.values())


def _list(items: Sequence[Item], console: Console) -> None:
    """Print all downloads with sizes and the total."""
    if not items:
        say(console, "Everything is there.")
        return
    table = text_table(left=("what", "why", "from"), right=("size",))
    for item in items:
        size = sources.readable(item.size) if item.size else "unknown"
        where = item.where or "not available"
        add_row(table, (item.name, item.why, where, "" if item.refusal else size))
    console.print(table)
    wanted = [item for item in items if not item.refusal]
    total = sum(item.size for item in wanted if item.size)
    unknown = sum(item.size is None for item in wanted)
    text = f"{len(wanted)} to get, {sources.readable(total)}"
    say(console, text + (f" and {unknown} of unknown size" if unknown else ""))


def _instead(variants: Sequence[Variant], items: Sequence[Item]) -> list[str]:
    """A line for each method whose released checkpoint could replace corpora in the list."""
    names = {item.name for item in items}
    lines = []
    for variant in variants:
        method, setting = variant.cls.name, variant.cls.pretrained_setting
        corpora = [name for name in variant.build().corpora() if name.partition("@")[0] in names]
        if setting and corpora and method in sources.known().weights:
            lines.append(
                f"{variant.title} pre-trains on {', '.join(corpora)}; bench get --weights {method} "
                f"and --set {method}.{setting}=FILE take the authors' checkpoint instead"
            )
    return lines


def _fetch(items: Sequence[Item], console: Console) -> dict[str, str]:
    failures = {}
    for item in items:
        assert item.fetch is not None
        say(console, f"{item.name} ...")
        try:
            item.fetch()
        except BenchError as error:
            failures[item.name] = f"{item.name}: {error}"
    return failures
