"""`bench run` and `bench plan`: from a protocol and options to finished records and a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import datasets, manifest, names
from bench import protocol as protocols
from bench.api import OWN
from bench.dispatch import Dispatcher, Interrupt, Outcome, slots
from bench.environment import resolve_device
from bench.errors import DataError, UsageError
from bench.image_files import find_files
from bench.jobs import Event, Job, Pretraining, Work
from bench.library import Library
from bench.plan import Plan, Planner
from bench.progress import Display
from bench.protocol import Protocol
from bench.store import Store
from bench.variants import Variant, apply_assignments, choose, parse_assignments

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Options:
    """What a command line asks for."""

    protocol: str
    methods: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    repeats: int | None = None
    seed: int | None = None
    assignments: tuple[str, ...] = ()
    results: Path = Path("results")
    data_roots: tuple[Path, ...] = ()
    device: str = "auto"
    jobs: int | None = None
    batch_size: int = 64
    retry_failed: bool = False
    exclude_contaminated: bool = False


@dataclass
class Finished:
    """How a command ended."""

    plan: Plan
    interrupted: bool = False
    errors: list[str] = field(default_factory=list)
    failed: int = 0


def prepare(options: Options) -> tuple[Plan, Store]:
    """Validate everything, then plan: nothing runs before all of it is known to be sound.

    Raises `UsageError` for wrong names and settings, `DataError` listing every missing database.
    """
    roots = list(datasets.data_roots(options.data_roots or None))
    chosen, variants = _resolve(options, roots)
    library = Library(roots)
    _refuse_missing(chosen, variants, library)
    store = Store(options.results)
    planner = Planner(chosen, library)
    plan = planner.plan(variants, store, options.retry_failed, options.exclude_contaminated)
    if plan.contaminated and not plan.cells:
        raise UsageError(
            "--exclude-contaminated leaves nothing to run: every method has seen labels of every "
            "dataset it is tested on"
        )
    return plan, store


def run(options: Options, console: Console) -> Finished:
    """Compute what is not done yet. Ctrl-C ends after the current epochs, a second one at once."""
    device = resolve_device(options.device)
    plan, store = prepare(options)
    manifest.update(store, plan)
    finished = Finished(plan)
    todo = [run_id for run_id, state in plan.states.items() if state == "todo"]
    _announce(console, plan, store)
    if todo:
        _compute(plan, store, options, device, console, finished)
    finished.failed = _count_failed(plan, store)
    return finished


def _resolve(options: Options, roots: list[Path]) -> tuple[Protocol, list[Variant]]:
    loaded = protocols.load(options.protocol)
    names.check_file(options.protocol, roots)
    chosen, settings = apply_assignments(loaded, parse_assignments(options.assignments))
    changes: dict[str, Any] = {}
    if options.datasets:
        changes.update(_datasets(options.datasets))
    if options.repeats is not None:
        changes["repeats"] = options.repeats
    if options.seed is not None:
        changes["seed"] = options.seed
    if changes:
        chosen = protocols.override(chosen, changes)
    names.check(chosen, roots)
    return chosen, choose(chosen, options.methods, settings)


def _datasets(names: Sequence[str]) -> dict[str, Any]:
    """`--datasets`: 'A' is trained and tested on, 'A:B' trained on A and tested on B."""
    parts = [name.split(":") for name in names]
    for part in parts:
        if len(part) > 2 or not all(part):
            raise UsageError(f"--datasets {':'.join(part)}: expected DATASET, or TRAIN:TEST")
    return {
        "datasets": [part[0] for part in parts if len(part) == 1],
        "pairs": [part for part in parts if len(part) == 2],
    }


def _refuse_missing(chosen: Protocol, variants: Sequence[Variant], library: Library) -> None:
    """A protocol whose databases are not all there, image by image, runs none of it by halves."""
    wanted = dict.fromkeys(chosen.specs())
    for variant in variants:
        corpora = variant.build().corpora()
        wanted.update(dict.fromkeys(name for name in corpora if name != OWN))
    absent = datasets.missing(wanted, library.data_roots)
    problems = [datasets.describe_missing(absent)] if absent else []
    gone = {item.spec for item in absent}
    problems += filter(
        None, (_missing_images(name, library) for name in wanted if name not in gone)
    )
    if problems:
        names = ",".join(name for name in chosen.specs() if name.startswith("demo_"))
        if chosen.pairs and not chosen.datasets:
            names = "demo_synthetic:demo_authentic"
        problems.append(
            f"To try the protocol without any of them: bench run {chosen.name} --datasets "
            f"{names or 'demo_authentic'} --set backbone=tiny"
        )
        raise DataError("\n".join(problems))


def _missing_images(name: str, library: Library) -> str:
    dataset = library.dataset(name)
    images = list(dataset.table["image"])
    files = find_files(dataset.root, images)
    gone = [image for image, file in zip(images, files, strict=True) if file is None]
    if not gone:
        return ""
    return (
        f"{name}: {len(gone):,} of {len(images):,} image files are missing under {dataset.root}, "
        f"e.g. {gone[0]}; get them from {dataset.info.homepage or 'where the table came from'}"
    )


def _announce(console: Console, plan: Plan, store: Store) -> None:
    counts = plan.counts()
    parts = [f"{counts[state]} {state}" for state in ("done", "failed", "todo") if counts[state]]
    text = (
        f"{plan.protocol.name}: {len(plan.runs)} runs ({', '.join(parts)}), results in {store.root}"
    )
    console.print(text, markup=False, highlight=False)
    for line in left_out(plan):
        console.print(line, markup=False, highlight=False)
    for problem in store.problems:
        console.print(f"set aside: {problem}", markup=False, highlight=False, style="yellow")


def left_out(plan: Plan) -> list[str]:
    """A line for each row and dataset that the plan leaves out as contaminated."""
    lines = (
        f"left out: {variant.title} on {task.title}: contaminated, its weights have seen labels of "
        f"{task.test.partition('@')[0]}"
        for variant, task in plan.contaminated
    )
    return list(dict.fromkeys(lines))


def _compute(
    plan: Plan, store: Store, options: Options, device: str, console: Console, finished: Finished
) -> None:
    before, after = jobs_of(plan, store, options)
    total = sum(len(job.runs) for job in after)
    with Display(console, total) as display:
        dispatcher = Dispatcher(store, slots(device, options.jobs), display.show)
        with Interrupt(dispatcher):
            outcomes = dispatcher.run(before)
            outcomes += dispatcher.run(after)
    finished.interrupted = any(outcome.interrupted for outcome in outcomes)
    finished.errors = [error for outcome in outcomes for error in outcome.errors]


def jobs_of(plan: Plan, store: Store, options: Options) -> tuple[list[Job], list[Job]]:
    """The pre-trainings to compute first, and then the runs, one job a method and dataset."""
    common: dict[str, Any] = {
        "results": store.root.absolute(),
        "data_roots": [path.absolute() for path in datasets.data_roots(options.data_roots or None)],
        "batch_size": options.batch_size,
        "keep": list(plan.protocol.keep),
    }
    groups: dict[tuple[str, str, str], list[Work]] = {}
    needed: set[str] = set()
    queued: set[str] = set()
    for cell in plan.cells:
        key = (cell.variant.title, cell.task.train, cell.task.test)
        for spec in cell.runs:
            if plan.states[spec.run_id] != "todo" or spec.run_id in queued:
                continue
            queued.add(spec.run_id)
            needed.add(spec.pretrained or "")
            groups.setdefault(key, []).append(Work(spec=spec, settings=cell.variant.raw))
    before = [
        Job(
            title=f"{job.variant.title} pre-training", pretraining=_pretraining(plan, key), **common
        )
        for key, job in plan.pretrains.items()
        if key in needed and not store.pretrained_file(job.spec.method, key).exists()
    ]
    after = [Job(title=_title(*key), runs=works, **common) for key, works in groups.items()]
    return before, after


def _title(label: str, train: str, test: str) -> str:
    return f"{label} on {test}" if train == test else f"{label} on {train} → {test}"


def _pretraining(plan: Plan, key: str) -> Pretraining:
    job = plan.pretrains[key]
    return Pretraining(
        spec=job.spec,
        method=job.variant.method,
        settings=job.variant.raw,
        task=job.task,
        split=plan.protocol.split_rule(),
        repeat=job.repeat,
        split_corpora=plan.protocol.split_corpora,
    )


def _count_failed(plan: Plan, store: Store) -> int:
    records = (store.get(run) for run in plan.runs.values())
    return sum(record is not None and record.status == "failed" for record in records)


__all__ = ["Event", "Finished", "Options", "Outcome", "jobs_of", "left_out", "prepare", "run"]
