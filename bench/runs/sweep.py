"""Turns a plan into jobs, runs them, and waits for runs that other processes compute."""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.api import BUDGET_VARIABLES
from bench.data import datasets
from bench.metrics import USUAL
from bench.model.jobs import Job, Pretraining, RunJob
from bench.runs import dispatch
from bench.runs.dispatch.supervise import JobOutcome
from bench.store.claims import POLL, Claims

if TYPE_CHECKING:
    from bench.cli.options import Options
    from bench.model.records import RunSpec
    from bench.protocol.variants import Variant
    from bench.runs.dispatch.progress import Display
    from bench.runs.plan import Plan
    from bench.store import Store


@dataclass
class Sweep:
    """One command's work on one plan."""

    plan: Plan
    store: Store
    options: Options
    session: dispatch.Session
    executor: dispatch.Executor
    display: Display
    seconds: Mapping[str, float] = field(default_factory=dict)
    """run_id -> estimated seconds, if they are known and asked for."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def run(self) -> list[JobOutcome]:
        """Compute the runs to do; wait for those of other processes, and compute what they leave.

        Returns when each run has a record or an error, or the user has stopped the work.
        """
        states = self.plan.states
        queue = {run_id for run_id, state in states.items() if state == "todo"}
        elsewhere = {run_id for run_id, state in states.items() if state == "elsewhere"}
        outcomes: list[JobOutcome] = []
        while (queue or elsewhere) and not self.session.level:
            for jobs in self._phases(queue):
                for outcome in dispatch.run(jobs, self.executor, self.session).values():
                    outcomes.append(outcome)
                    elsewhere.update(outcome.elsewhere)
            # Another process may stop or die: what it leaves without a record is computed here.
            queue = self._wait(elsewhere)
        return outcomes

    def _phases(self, queue: Collection[str]) -> tuple[list[Job], list[Job]]:
        """Jobs that can start at once, and those that need a pre-training among them first."""
        first, later = self._pretrainings(queue), list[Job]()
        keys = {job.pretraining.spec.key for job in first if job.pretraining}
        for job in self._groups(queue):
            waits = any(work.spec.fit.pretrained in keys for work in job.runs)
            (later if waits else first).append(job)
        return first, later

    def _pretrainings(self, queue: Collection[str]) -> list[Job]:
        """A job for each missing pre-trained state that runs in `queue` need."""
        needed = {self.plan.runs[run_id].fit.pretrained for run_id in queue}
        protocol = self.plan.protocol
        return [
            self._job(
                f"{item.variant.title} pre-training",
                item.variant,
                pretraining=Pretraining(
                    spec=item.spec,
                    method=item.variant.method,
                    settings=item.variant.raw,
                    tasks=list(item.tasks),
                    split=item.rule,
                    repeat=item.repeat,
                    split_corpora=protocol.split_corpora,
                ),
            )
            for key, item in self.plan.pretrains.items()
            if key in needed and not self.store.pretrained_file(item.spec.method, key).exists()
        ]

    def _groups(self, queue: Collection[str]) -> list[Job]:
        """A job for each method and database learnt from, with its runs in `queue`.

        All tests of a fit belong to one job. Groups that another process is at work on come last,
        so that two commands on one folder start at different ends.
        """
        plan = self.plan
        variants = {run.run_id: cell.variant for cell in plan.cells for run in cell.runs}
        groups: dict[str, list[RunJob]] = {}
        rows: dict[str, Variant] = {}
        shared: set[str] = set()
        for runs in plan.fits.values():
            variant = variants[runs[0].run_id]
            title = _title(variant.title, runs)
            rows[title] = variant
            if any(plan.states[run.run_id] == "elsewhere" for run in runs):
                shared.add(title)
            tests = [run.tested for run in runs]
            groups.setdefault(title, []).extend(
                RunJob(spec=run, settings=variant.raw, tests=tests, replaces=self._failed(run))
                for run in runs
                if run.run_id in queue
            )
        titles = sorted(filter(groups.get, groups), key=lambda title: title in shared)
        return [self._job(title, rows[title], groups[title]) for title in titles]

    def _failed(self, spec: RunSpec) -> str:
        """When the run's failed record was written; '' without one."""
        record = self.store.get(spec)
        return record.created if record is not None and record.status == "failed" else ""

    def _job(
        self,
        title: str,
        row: Variant,
        runs: Sequence[RunJob] = (),
        pretraining: Pretraining | None = None,
    ) -> Job:
        options = self.options
        known = [self.seconds.get(work.spec.run_id) for work in runs]
        return Job(
            title=title,
            # Unique on all machines: claims and logs carry it.
            group=f"{self.session.name}-{next(self._numbers)}",
            needs=row.needs,
            estimate=None if None in known or not known else sum(filter(None, known)),
            environment=self._budget(),
            results=self.store.root.absolute(),
            data_roots=[path.absolute() for path in datasets.data_roots(options.data_root)],
            batch_size=options.batch_size,
            deterministic=options.deterministic,
            cuda_graphs=options.cuda_graphs,
            compiled=options.compiled,
            exact=options.exact,
            keep=list(self.plan.protocol.keep),
            metrics=[name for name in self.plan.protocol.metrics if name not in USUAL],
            time_limit=options.time_limit or self.plan.protocol.time_limit,
            runs=list(runs),
            pretraining=pretraining,
        )

    def _budget(self) -> dict[str, str]:
        """Limits for vision-language models, and the file in which processes add up their
        spending."""
        limits = (self.options.max_tokens, self.options.max_cost)
        if limits == (None, None):
            return {}
        ledger = self.store.root.absolute() / "logs" / f"{self.session.name}.spent"
        values = (*("" if limit is None else str(limit) for limit in limits), str(ledger))
        return dict(zip(BUDGET_VARIABLES, values, strict=True))

    def _wait(self, elsewhere: set[str]) -> set[str]:
        """Wait for other processes' runs: returns those that they left without a record."""
        claims = Claims(self.store.root)
        told = ""
        while elsewhere and not self.session.level:
            # Read claims before records: a process writes the record before it releases the claim.
            holders = {run_id: claims.holder(run_id) for run_id in elsewhere}
            there = {run_id for run_id in elsewhere if self._recorded(run_id)}
            elsewhere -= there
            self.display.elsewhere(len(there))
            free = {run_id for run_id in elsewhere if holders[run_id] is None}
            if free or not elsewhere:
                elsewhere -= free
                return free
            hosts = sorted({holder.host for holder in holders.values() if holder is not None})
            text = f"waiting for {len(elsewhere)} runs at work on {', '.join(hosts)}"
            if text != told:
                self.session.say(told := text)
            time.sleep(POLL)
        return set()

    def _recorded(self, run_id: str) -> bool:
        spec = self.plan.runs[run_id]
        self.store.refresh(spec)
        return self.store.settled(spec) is not None


def _title(label: str, runs: Sequence[RunSpec]) -> str:
    """The method with its training and test data."""
    task = runs[0].task
    if len(runs) == 1:
        return f"{label} on {task.title}"
    return f"{label} on {task.train or 'nothing'} → {len(runs)} sets"
