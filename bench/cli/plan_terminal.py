"""The output of `bench plan`: which runs are done and to do, and their estimated time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.runs.plan import STATES
from bench.runs.plan.estimate import Estimate, Guess, estimate
from bench.util.durations import readable
from bench.util.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from bench.cli.options import Options
    from bench.data.data_cache import DataCache
    from bench.runs.plan import Plan
    from bench.store import Store

TITLES = {"done": "done", "failed": "failed", "elsewhere": "running", "todo": "to do"}


def show(
    plan: Plan, store: Store, data_cache: DataCache, options: Options, console: Console
) -> None:
    """Print a plan."""
    from bench.util.text_table import add_row, say, text_table

    found = estimate(plan, store, data_cache)
    titles = [TITLES[state] for state in STATES]
    table = text_table(left=("method", "dataset", "labels"), right=(*titles, "time"))
    for cell, guess in zip(plan.cells, found.cells, strict=True):
        states = [plan.states[run.run_id] for run in cell.runs]
        counts = [str(states.count(state)) for state in STATES]
        time = _time(guess) if "todo" in states else ""
        add_row(table, (cell.variant.title, cell.task.title, cell.task.budget, *counts, time))
    console.print(table)
    cannot = [f"cannot run: {line}" for line in plan.without_weights]
    lines = [*cannot, *plan.left_out(), *_pretrainings(plan, store, found)]
    counts_all = plan.counts()
    text = f"{counts_all['done']} done, {counts_all['failed']} failed, {counts_all['todo']} to do"
    if counts_all["elsewhere"]:
        text += f", {counts_all['elsewhere']} at work in another process"
    if len(plan.fits) < len(plan.runs):
        text += f"; {len(plan.fits)} fits serve {len(plan.runs)} runs"
    lines += [text, *plan.older_code(store)]
    lines += _forecasts(plan, data_cache)
    if found.guesses:
        lines += [_total(found, options), _basis(found.guesses)]
    if found.unknown:
        lines.append(f"no stored timings yet, not estimated: {', '.join(found.unknown)}")
    lines += [f"set aside: {problem}" for problem in dict.fromkeys(store.problems)]
    for line in lines:
        say(console, line)


def _pretrainings(plan: Plan, store: Store, found: Estimate) -> list[str]:
    """The pre-trainings, one line for all that only differ in the images left out."""
    groups: dict[str, list[str]] = {}
    for key, job in plan.pretrains.items():
        text = f"pre-training of {job.variant.title} on {', '.join(job.spec.corpora)}"
        groups.setdefault(text, []).append(key)
    lines = []
    for text, keys in groups.items():
        left = [
            key
            for key in keys
            if not store.pretrained_file(plan.pretrains[key].spec.method, key).exists()
        ]
        line = f"{text}: {len(keys) - len(left)} done, {len(left)} to do"
        guesses = [guess for key in left if (guess := found.pretrainings.get(key)) is not None]
        if guesses:
            line += f", about {readable(sum(guess.seconds for guess in guesses))}"
        lines.append(line)
    return lines


def _forecasts(plan: Plan, data_cache: DataCache) -> list[str]:
    """The forecasts of methods, e.g. requests to a service."""
    from bench.api import Context

    lines: dict[tuple[str, str], str] = {}
    for cell in plan.cells:
        key = (cell.variant.title, cell.task.test)
        if key in lines or not any(plan.states[run.run_id] == "todo" for run in cell.runs):
            continue
        images = len(data_cache.dataset(cell.task.test))
        lines[key] = cell.variant.build(Context()).forecast(images)
    return [f"{title} on {test}: {text}" for (title, test), text in lines.items() if text]


def _time(guess: Guess | None) -> str:
    return f"about {readable(guess.seconds)}" if guess else "unknown"


def _total(found: Estimate, options: Options) -> str:
    parts = [f"estimate: {readable(found.seconds)} of computing"]
    if found.gpu_hours:
        parts.append(f"{found.gpu_hours:.1f} GPU hours")
    count = _slots(options)
    if count:
        parts.append(f"{readable(found.elapsed(count))} on {count} workers at once")
    return ", ".join(parts)


def _basis(guesses: list[Guess]) -> str:
    devices = sorted({guess.device or "an unknown device" for guess in guesses})
    scaled = sum(guess.scaled for guess in guesses)
    text = f"(from stored timings on {', '.join(devices)}"
    if scaled:
        text += f"; {scaled} of {len(guesses)} scaled from other images or settings: rough"
    return f"{text})"


def _slots(options: Options) -> int | None:
    """The number of workers that would run at once; None if a cluster decides."""
    if options.jobs:
        return options.jobs
    if options.executor != "local":
        return None
    from bench.runs.slots import Machine
    from bench.util.environment import resolve_device

    try:
        device = resolve_device(options.device)
    except UsageError:  # a plan for another machine, which has such a GPU
        return None
    return Machine.here(device).places
