"""`bench run` and `bench plan`: from a protocol and options to finished records and a report."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import protocol as protocols
from bench.cli.options import Options
from bench.cli.refusals import refuse as without_effect
from bench.data import datasets
from bench.data.data_cache import DataCache
from bench.model.resources import Resources
from bench.protocol import DEMO, DEMO_SUITE, SPLITS_OF_FILES, Protocol, checks
from bench.protocol.variants import Variant, apply_assignments, choose, parse_assignments
from bench.runs import dispatch
from bench.runs.dispatch import executors
from bench.runs.dispatch.progress import Display
from bench.runs.dispatch.supervise import JobOutcome
from bench.runs.plan import STATES, Plan, Planner, needs
from bench.runs.sweep import Sweep
from bench.runs.trackers import Command, require, telling
from bench.store import Store, manifest
from bench.util.environment import resolve_device
from bench.util.errors import DataError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from bench.model.jobs import Event, Job


@dataclass
class Finished:
    """How a command ended."""

    plan: Plan
    interrupted: bool = False
    errors: list[str] = field(default_factory=list)
    failed: int = 0


def prepare(options: Options) -> tuple[Plan, Store, DataCache]:
    """Validate everything, then plan: nothing runs before everything is known to be valid.

    Raises `UsageError` for wrong names and settings, `DataError` listing every missing database.
    """
    executors.check(options)
    if options.exact or options.deterministic:
        without_effect(
            "--exact and --deterministic keep frozen encoders as they are", compile=options.compiled
        )
    roots = list(datasets.data_roots(options.data_root))
    chosen, asked = resolve(options, roots)
    variants, without_weights = _with_weights(asked)
    data_cache = DataCache(roots)
    if not chosen.tasks():
        raise UsageError(f"{chosen.name} has nothing to run: it names no datasets (--datasets)")
    cells = needs.needs(chosen, variants, options.exclude_contaminated)
    lacking = needs.lacks(cells, data_cache)
    unmet = {(cell.variant.title, cell.task): lacking.why_not(cell) for cell in cells}
    if not options.available or all(unmet.values()):
        _refuse_missing(chosen, options, lacking, cells)
    store = Store(options.results)
    planner = Planner(chosen, data_cache, options.accept_code or ())
    plan = planner.plan(
        variants,
        store,
        options.retry_failed,
        options.exclude_contaminated,
        lambda variant, task: unmet.get((variant.title, task), ""),
    )
    plan.without_weights = without_weights
    codes = {run.fit.code for run in plan.runs.values()}
    accepted = options.accept_code or ()
    if accepted and not codes & set(accepted):
        raise UsageError(
            f"--accept-code {', '.join(accepted)}: no stored run of these rows was computed by "
            f"this code; `bench list results --results {store.root}` says by which"
        )
    if plan.omitted and not plan.cells:
        raise UsageError(
            "--exclude-contaminated leaves nothing to run: every method has seen labels of every "
            "dataset it is tested on"
        )
    return plan, store, data_cache


def refuse(options: Options, plan: Plan) -> None:
    """Raise `UsageError` that names every row of a plan which the executor can never run."""
    executors.refuse(options, _to_do(plan))


def _to_do(plan: Plan) -> dict[str, Resources]:
    """The needs of the rows that still have something to compute here."""
    return {
        cell.variant.title: cell.variant.needs
        for cell in plan.cells
        if any(plan.states[run.run_id] == "todo" for run in cell.runs)
    }


def run(options: Options, console: Console, log: Sequence[str] = ()) -> Finished:
    """Compute what is not done yet, and report it to the trackers `log`.

    Ctrl-C ends after the current epochs, a second one at once.
    """
    require(log)
    if options.executor == "local":
        resolve_device(options.device)
    plan, store, data_cache = prepare(options)
    refuse(options, plan)
    for line in manifest.otherwise(store, plan.protocol):
        text = (
            f"warning: '{store.root}' holds {plan.protocol.name} with {line}; numbers of this "
            "command cannot be compared with those, and get a separate table"
        )
        console.print(text, markup=False, highlight=False, style="yellow", soft_wrap=True)
    manifest.add(store, plan.protocol, plan.entries(store))
    finished = Finished(plan)
    _announce(console, plan, store)
    if _left(plan):
        seconds = _seconds(plan, store, data_cache) if options.bundle else {}
        outcomes = _compute(plan, store, options, console, log, seconds)
        finished.interrupted = any(outcome.interrupted for outcome in outcomes)
        finished.errors = [error for outcome in outcomes for error in outcome.errors]
    finished.failed = _count_failed(plan, store)
    return finished


def _compute(
    plan: Plan,
    store: Store,
    options: Options,
    console: Console,
    log: Sequence[str],
    seconds: Mapping[str, float],
) -> list[JobOutcome]:
    with Display(console, _left(plan)) as display:
        session = dispatch.Session(store.root, display.show, display.say)
        command = Command(store.root / "logs", session.name, _about(plan))
        with (
            telling(log, command, display.say) as tell,
            closing(executors.make(options, session)) as executor,
            dispatch.stopping_on_signals(session),
        ):
            if log:
                session.listen = _both(display.show, tell)
            outcomes = Sweep(plan, store, options, session, executor, display, seconds).run()
        if session.level and not any(outcome.interrupted for outcome in outcomes):
            outcomes.append(JobOutcome(interrupted=_unfinished(plan, store)))
    return outcomes


def _both(
    first: Callable[[Job, Event], None], second: Callable[[Job, Event], None]
) -> Callable[[Job, Event], None]:
    def listen(job: Job, event: Event) -> None:
        first(job, event)
        second(job, event)

    return listen


def _about(plan: Plan) -> dict[str, str]:
    """Facts on the command that trackers store."""
    return {
        "protocol": plan.protocol.name,
        "methods": ", ".join(dict.fromkeys(cell.variant.title for cell in plan.cells)),
        "datasets": ", ".join(dict.fromkeys(cell.task.title for cell in plan.cells)),
        "repeats": str(plan.protocol.repeats),
    }


def _left(plan: Plan) -> int:
    """How many runs have no record yet."""
    return sum(state in ("todo", "elsewhere") for state in plan.states.values())


def _seconds(plan: Plan, store: Store, data_cache: DataCache) -> dict[str, float]:
    """Estimated seconds of runs, by id, as far as stored records allow."""
    from bench.runs.plan.estimate import by_run, estimate

    return by_run(plan, estimate(plan, store, data_cache))


def _unfinished(plan: Plan, store: Store) -> bool:
    return len(store.states(plan.runs)) < len(plan.runs)


def resolve(options: Options, roots: list[Path]) -> tuple[Protocol, list[Variant]]:
    """The protocol as changed by options, and its rows. Raises `UsageError`; reads no data."""
    chosen, settings = changed(options, roots)
    variants = choose(chosen, options.methods, settings)
    checks.check_settings(variants, roots)
    return chosen, variants


def changed(options: Options, roots: list[Path]) -> tuple[Protocol, dict[str, Any]]:
    """The protocol as changed by options, and the assignments for methods."""
    loaded = protocols.load(options.protocol)
    checks.check_file(options.protocol, roots)
    chosen, settings = apply_assignments(loaded, parse_assignments(options.assignments or ()))
    changes: dict[str, Any] = {}
    if options.datasets:
        changes.update(_datasets(options.datasets, chosen))
        if DEMO in options.datasets and chosen.split == loaded.split in SPLITS_OF_FILES:
            changes["split"] = "random"
    if options.repeats is not None:
        changes["repeats"] = options.repeats
    if options.seed is not None:
        changes["seed"] = options.seed
    if changes:
        chosen = protocols.override(chosen, changes)
    checks.check(chosen, roots)
    return chosen, settings


def _datasets(names: Sequence[str], chosen: Protocol) -> dict[str, Any]:
    """`--datasets`: 'A' is trained and tested on, 'A:B' trained on A and tested on B.

    'demo' stands for the rendered sets that suit the protocol.
    """
    if chosen.test:
        return _suite(names, chosen)
    named = [one for name in names for one in (chosen.demo_sets() if name == DEMO else [name])]
    parts = [name.split(":") for name in dict.fromkeys(named)]
    for part in parts:
        if len(part) > 2 or not all(part):
            raise UsageError(f"--datasets {':'.join(part)}: expected DATASET, or TRAIN:TEST")
    return {
        "datasets": [part[0] for part in parts if len(part) == 1],
        "pairs": [part for part in parts if len(part) == 2],
    }


def _suite(names: Sequence[str], chosen: Protocol) -> dict[str, Any]:
    """`--datasets` of a protocol with `test`: the test sets; 'demo' also learns from rendered ones.

    A zero-shot suite stays one.
    """
    if DEMO not in names:
        # The option may leave too few sets for a mean, which is not an error of the protocol.
        return {
            "test": list(dict.fromkeys(names)),
            "split_tests": [name for name in chosen.split_tests if name in names],
            "means": chosen.means if chosen.averages(chosen.means, names) else [],
        }
    if set(names) != {DEMO}:
        raise UsageError(
            f"--datasets {','.join(names)}: '{DEMO}' also replaces what protocol '{chosen.name}' "
            "learns from, and cannot be combined with another database"
        )
    tests: dict[str, Any] = {"trainings": {}, "test": list(DEMO_SUITE)}
    if any(chosen.source_lists()):
        return {**tests, "train": [DEMO_SUITE[0]], "split_tests": [DEMO_SUITE[-1]]}
    return {**tests, "train": []}


def _with_weights(variants: Sequence[Variant]) -> tuple[list[Variant], list[str]]:
    """The rows whose backbone's weights file exists, and a line for each other one.

    Raises `DataError` if no row is left.
    """
    present, problems = [], []
    for variant in variants:
        try:
            variant.weights()
        except DataError as error:
            problems.append(str(error))
        else:
            present.append(variant)
    if problems and not present:
        raise DataError("\n".join(problems))
    return present, problems


def _refuse_missing(
    chosen: Protocol, options: Options, lacking: needs.Lacks, cells: list[needs.CellNeeds]
) -> None:
    """Raise `DataError` if a database or an image is missing, before anything runs."""
    if not lacking:
        return
    lines = [
        *needs.explain(lacking, cells),
        f"Download what is available: {_get_command(options)} (--dry-run lists sizes only).",
        "Run the rows and datasets that do not need them: --available.",
        f"To try the protocol without any of them: bench run {chosen.name} --datasets {DEMO} "
        "--set backbone=tiny",
    ]
    raise DataError("\n".join(lines))


def _get_command(options: Options) -> str:
    """`bench get` for what the user asked to run."""
    parts = ["bench get", options.protocol]
    parts += [f"--methods {','.join(options.methods)}"] if options.methods else []
    parts += [f"--datasets {','.join(options.datasets)}"] if options.datasets else []
    parts += [f"--set {shlex.quote(text)}" for text in options.assignments or ()]
    return " ".join(parts)


def _announce(console: Console, plan: Plan, store: Store) -> None:
    counts = plan.counts()
    parts = [f"{counts[state]} {state}" for state in STATES if counts[state]]
    text = f"{plan.protocol.name}: {_counted(plan)} ({', '.join(parts)}), results in {store.root}"
    console.print(text, markup=False, highlight=False)
    for line in [*plan.left_out(), *plan.older_code(store)]:
        console.print(line, markup=False, highlight=False)
    for line in plan.without_weights:
        console.print(f"cannot run: {line}", markup=False, highlight=False, style="red")
    for problem in store.problems:
        console.print(f"set aside: {problem}", markup=False, highlight=False, style="yellow")


def _counted(plan: Plan) -> str:
    """The number of runs, and that of fits if some serve several runs."""
    runs, fits = len(plan.runs), len(plan.fits)
    return f"{runs} runs of {fits} fits" if fits < runs else f"{runs} runs"


def _count_failed(plan: Plan, store: Store) -> int:
    return sum(status == "failed" for status in store.states(plan.runs).values())
