"""From a plan to finished records: which jobs there are, in which order, and what others are at."""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.data import datasets
from bench.model.jobs import Job, Pretraining, RunJob
from bench.model.records import RunSpec
from bench.runs.dispatch import Dispatcher
from bench.runs.dispatch.executors import Desk
from bench.runs.dispatch.supervise import Outcome
from bench.store.claims import POLL, Claims

if TYPE_CHECKING:
    from bench.cli.options import Options
    from bench.runs.dispatch.progress import Display
    from bench.runs.plan import Plan
    from bench.store import Store


@dataclass
class Sweep:
    """One command's work on one plan."""

    plan: Plan
    store: Store
    options: Options
    desk: Desk
    dispatcher: Dispatcher
    display: Display
    outcomes: list[Outcome] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def run(self) -> list[Outcome]:
        """Compute all that is to do; wait for what other processes are at, and do what they leave.

        Returns when every run has a record, has failed to get one, or the user stopped it.
        """
        states = self.plan.states
        queue = {run_id for run_id, state in states.items() if state == "todo"}
        elsewhere = {run_id for run_id, state in states.items() if state == "elsewhere"}
        while queue or elsewhere:
            elsewhere |= self._dispatch(queue)
            if self.desk.level:
                break
            queue = self._wait(elsewhere)
        return self.outcomes

    def _dispatch(self, queue: Collection[str]) -> set[str]:
        """Run jobs; returns the runs that turned out to be another process's."""
        names = (f"{self.desk.session}-{number}" for number in self._numbers)
        ended: list[Outcome] = []
        for phase in phases(jobs_of(self.plan, self.store, self.options, queue, names)):
            ended += self.dispatcher.run(phase)
        self.outcomes += ended
        return {run_id for outcome in ended for run_id in outcome.elsewhere}

    def _wait(self, elsewhere: set[str]) -> set[str]:
        """Wait for other processes' runs: returns those that they left without a record."""
        claims = Claims(self.store.root)
        told = ""
        while elsewhere and not self.desk.level:
            holders = {run_id: claims.holder(run_id) for run_id in elsewhere}
            # Looked for after the claims: a run's record is there before its claim is gone.
            there = [run_id for run_id in elsewhere if self._recorded(run_id)]
            elsewhere.difference_update(there)
            self.display.elsewhere(len(there))
            free = {run_id for run_id in elsewhere if holders[run_id] is None}
            if free:
                elsewhere -= free
                return free
            hosts = sorted({holder.host for holder in holders.values() if holder is not None})
            text = f"waiting for {len(elsewhere)} runs at work on {', '.join(hosts)}"
            if elsewhere and text != told:
                self.display.say(told := text)
            time.sleep(POLL if elsewhere else 0)
        return set()

    def _recorded(self, run_id: str) -> bool:
        spec = self.plan.runs[run_id]
        self.store.refresh(spec)
        return self.store.settled(spec) is not None


def jobs_of(
    plan: Plan,
    store: Store,
    options: Options,
    queue: Collection[str],
    names: Iterator[str],
) -> list[Job]:
    """The jobs for the runs in `queue`: one a method and dataset, pre-trainings first.

    Groups that another process is at work on come last, so that two commands on one folder start
    at different ends.
    """
    common: dict[str, Any] = {
        "results": store.root.absolute(),
        "data_roots": [path.absolute() for path in datasets.data_roots(options.data_root)],
        "batch_size": options.batch_size,
        "deterministic": options.deterministic,
        "cuda_graphs": options.cuda_graphs,
        "keep": list(plan.protocol.keep),
        "time_limit": options.time_limit or plan.protocol.time_limit,
    }
    variants = {run.run_id: cell.variant for cell in plan.cells for run in cell.runs}
    groups: dict[str, list[RunJob]] = {}
    shared: set[str] = set()
    for runs in plan.fits.values():
        variant = variants[runs[0].run_id]
        title = _title(variant.title, runs)
        if any(plan.states[run.run_id] == "elsewhere" for run in runs):
            shared.add(title)
        tests = [run.tested for run in runs]
        groups.setdefault(title, []).extend(
            RunJob(spec=run, settings=variant.raw, tests=tests, replaces=_failed(store, run))
            for run in runs
            if run.run_id in queue
        )
    groups = {title: works for title, works in groups.items() if works}
    needed = {work.spec.fit.pretrained for works in groups.values() for work in works}
    jobs = [
        Job(
            title=f"{job.variant.title} pre-training",
            group=next(names),
            pretraining=_pretraining(plan, key),
            **common,
        )
        for key, job in plan.pretrains.items()
        if key in needed and not store.pretrained_file(job.spec.method, key).exists()
    ]
    for title in sorted(groups, key=lambda title: title in shared):
        jobs.append(Job(title=title, group=next(names), runs=groups[title], **common))
    return jobs


def phases(jobs: Sequence[Job]) -> list[list[Job]]:
    """What can start at once, and what needs a pre-training of the former."""
    pretrainings = {job.pretraining.spec.key for job in jobs if job.pretraining is not None}
    first: list[Job] = []
    later: list[Job] = []
    for job in jobs:
        waits = any(work.spec.fit.pretrained in pretrainings for work in job.runs)
        (later if waits else first).append(job)
    return [phase for phase in (first, later) if phase]


def _failed(store: Store, spec: Any) -> str:
    record = store.get(spec)
    return record.created if record is not None and record.status == "failed" else ""


def _title(label: str, runs: Sequence[RunSpec]) -> str:
    """A method on what its fit learns from and is tested on; all tests of a fit are one job's."""
    task = runs[0].task
    if len(runs) == 1:
        return f"{label} on {task.title}"
    return f"{label} on {task.train or 'nothing'} → {len(runs)} sets"


def _pretraining(plan: Plan, key: str) -> Pretraining:
    job = plan.pretrains[key]
    return Pretraining(
        spec=job.spec,
        method=job.variant.method,
        settings=job.variant.raw,
        tasks=list(job.tasks),
        split=plan.protocol.split_rule(),
        repeat=job.repeat,
        split_corpora=plan.protocol.split_corpora,
    )
