"""Protocol × methods → the runs that make it up, what they need, and which are done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bench.data.data_cache import DataCache
from bench.model.contamination import saw_test_labels
from bench.model.records import PretrainSpec, RunSpec, Task
from bench.protocol import Protocol
from bench.protocol.variants import Variant
from bench.runs.plan.pretraining import pretrain_spec
from bench.store import Store, artifacts
from bench.store.claims import Claims
from bench.store.manifest import CellEntry
from bench.util.errors import UsageError
from bench.util.gc_paused import gc_paused

STATES = ("done", "failed", "elsewhere", "todo")
"""'elsewhere': another process is computing it at this moment."""


@dataclass(frozen=True)
class Cell:
    """One cell of the result: a method on a task, over all repeats."""

    variant: Variant
    task: Task
    runs: tuple[RunSpec, ...]


@dataclass(frozen=True)
class PretrainJob:
    """A pre-trained state that some runs need."""

    spec: PretrainSpec
    variant: Variant
    task: Task
    """The first task that needs it: its test images are left out of the corpora."""
    repeat: int


@dataclass
class Plan:
    """Everything a command will do."""

    protocol: Protocol
    cells: list[Cell]
    pretrains: dict[str, PretrainJob]
    """By key; those that some run of the plan needs, present or not."""
    states: dict[str, str] = field(default_factory=dict)
    """run_id -> one of `STATES`."""
    contaminated: list[tuple[Variant, Task]] = field(default_factory=list)
    """Cells that were left out because the method had seen labels of the test dataset."""

    @cached_property
    def runs(self) -> dict[str, RunSpec]:
        """All runs by id; cells may share runs."""
        return {run.run_id: run for cell in self.cells for run in cell.runs}

    def entries(self, store: Store) -> list[CellEntry]:
        """The cells as a manifest lists them."""
        return [
            CellEntry(
                label=cell.variant.title,
                method=cell.variant.method,
                task=cell.task,
                selection=self.protocol.selection,
                runs=tuple(store.path(run).relative_to(store.root).as_posix() for run in cell.runs),
            )
            for cell in self.cells
        ]

    def left_out(self) -> list[str]:
        """A line for each row and dataset that is left out as contaminated."""
        lines = (
            f"left out: {variant.title} on {task.title}: contaminated, its weights have seen "
            f"labels of {task.test.partition('@')[0]}"
            for variant, task in self.contaminated
        )
        return list(dict.fromkeys(lines))

    def counts(self) -> Counter[str]:
        """How many runs are in each state."""
        return Counter(self.states.values())


class Planner:
    """Builds plans. Datasets and splits are read once however many methods share them."""

    def __init__(self, protocol: Protocol, data_cache: DataCache) -> None:
        self.protocol = protocol
        self.data_cache = data_cache
        self.rule = protocol.split_rule()

    @gc_paused()
    def plan(
        self,
        variants: Sequence[Variant],
        store: Store,
        retry_failed: bool = False,
        exclude_contaminated: bool = False,
    ) -> Plan:
        """The plan for these rows; failed runs count as to do when they are to be retried."""
        cells: list[Cell] = []
        pretrains: dict[str, PretrainJob] = {}
        left_out: list[tuple[Variant, Task]] = []
        for row in map(_Row, variants):
            variant = row.variant
            for task in self.protocol.tasks():
                if exclude_contaminated and contaminated(variant, task, self.protocol):
                    left_out.append((variant, task))
                    continue
                runs = tuple(
                    self._run(row, task, repeat, pretrains)
                    for repeat in range(self.protocol.repeats)
                )
                cells.append(Cell(variant, task, runs))
        plan = Plan(self.protocol, cells, pretrains, contaminated=left_out)
        plan.states = run_states(plan, store, retry_failed)
        return plan

    def _run(
        self, row: _Row, task: Task, repeat: int, pretrains: dict[str, PretrainJob]
    ) -> RunSpec:
        _, split_digest = self.data_cache.split(task, self.rule, repeat)
        pretrained = None
        if row.corpora:
            spec, pretrained = row.pretrain(self._corpora(row, task, repeat))
            if pretrained not in pretrains:
                pretrains[pretrained] = PretrainJob(spec, row.variant, task, repeat)
        protocol = self.protocol
        annotations = None
        if row.reads_annotations and not task.zero_shot:
            annotations = self.data_cache.annotations(task, self.rule, repeat)
        return RunSpec(
            task=task,
            split=self.rule,
            split_digest=split_digest,
            repeat=repeat,
            annotations=annotations,
            method=row.variant.method,
            method_version=row.variant.cls.version,
            settings=row.settings,
            weights=row.weights,
            pretrained=pretrained,
            selection=protocol.selection,
            evaluate_every=protocol.evaluate_every,
            normalise=protocol.normalise,
        )

    def _corpora(self, row: _Row, task: Task, repeat: int) -> dict[str, str]:
        digests = self.data_cache.corpus_digests(
            row.corpora, task, self.rule, repeat, split_alike=self.protocol.split_corpora
        )
        if not digests:
            raise UsageError(
                f"{row.variant.title} on {task.title}: the budget leaves nothing of its corpora "
                f"({', '.join(row.corpora)}) to pre-train on"
            )
        return digests


@dataclass
class _Row:
    """What all runs of a variant share, worked out once and not for each of thousands."""

    variant: Variant
    _states: dict[tuple[tuple[str, str], ...], tuple[PretrainSpec, str]] = field(
        default_factory=dict
    )

    @cached_property
    def settings(self) -> dict[str, Any]:
        return self.variant.identity()

    @cached_property
    def weights(self) -> dict[str, str]:
        return self.variant.weights()

    @cached_property
    def corpora(self) -> Sequence[str]:
        return self.variant.build().corpora()

    @cached_property
    def reads_annotations(self) -> bool:
        return self.variant.build().reads_annotations()

    def pretrain(self, corpora: dict[str, str]) -> tuple[PretrainSpec, str]:
        """The pre-trained state on these rows of corpora, and its key."""
        known = tuple(corpora.items())
        if known not in self._states:
            spec = pretrain_spec(self.variant, corpora)
            self._states[known] = spec, spec.key
        return self._states[known]


def contaminated(variant: Variant, task: Task, protocol: Protocol) -> bool:
    """Whether the weights a method starts from have seen labels that one of the repeats tests."""
    seen, rule = variant.build().trained_on(), protocol.split_rule()
    return any(saw_test_labels(seen, task, rule, repeat) for repeat in range(protocol.repeats))


def run_states(plan: Plan, store: Store, retry_failed: bool) -> dict[str, str]:
    """run_id -> one of `STATES`."""
    found: dict[str, str] = dict(store.states(plan.runs))
    states = {run_id: found.get(run_id, "todo") for run_id in plan.runs}
    for run_id, state in states.items():
        if state == "failed" and retry_failed:
            states[run_id] = "todo"
    _reopen(plan, store, states)
    for run_id in Claims(store.root).holders().keys() & states.keys():
        if states[run_id] == "todo":
            states[run_id] = "elsewhere"
    return states


def _reopen(plan: Plan, store: Store, states: dict[str, str]) -> None:
    """A run that is done but did not keep what the protocol now asks for is to do again."""
    if not plan.protocol.keep:
        return
    methods = {run.run_id: cell.variant.cls for cell in plan.cells for run in cell.runs}
    for run_id, run in plan.runs.items():
        whole = artifacts.complete(
            store, run, artifacts.able(methods[run_id]) & set(plan.protocol.keep)
        )
        if states[run_id] == "done" and not whole:
            states[run_id] = "todo"
