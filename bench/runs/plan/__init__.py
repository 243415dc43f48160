"""Protocol × methods → the plan: all runs, the pre-trained states they need, and which are done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from bench import source
from bench.data.data_cache import DataCache
from bench.model.contamination import saw_test_labels
from bench.model.records import JOINT, FitSpec, PretrainSpec, RunSpec, SplitRule, Task
from bench.protocol import Protocol
from bench.protocol.measures import measure_of
from bench.protocol.variants import Variant
from bench.runs.plan import measurable
from bench.runs.plan.pretraining import pretrain_spec
from bench.store import Store, artifacts
from bench.store.claims import Claims
from bench.store.manifest import CellEntry
from bench.util.errors import UsageError
from bench.util.gc_paused import gc_paused

LEAST = 3
"""Test images below which metrics are undefined (`bench.metrics.inputs.finite_pair`)."""
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
    tasks: tuple[Task, ...]
    """The tests of the first fit that needs it, whose images the corpora leave out."""
    rule: SplitRule
    """How they are split."""
    repeat: int


@dataclass
class Plan:
    """Everything a command will do."""

    protocol: Protocol
    cells: list[Cell]
    pretrains: dict[str, PretrainJob]
    """All pre-trained states that the plan's runs need, by key, whether or not they exist."""
    states: dict[str, str] = field(default_factory=dict)
    """run_id -> one of `STATES`."""
    without_weights: list[str] = field(default_factory=list)
    """Rows that cannot run, each with the missing file and where to get it."""
    omitted: list[tuple[Variant, Task, str]] = field(default_factory=list)
    """Cells that were left out on purpose, and why."""
    undefined: list[str] = field(default_factory=list)
    """A line for each metric that a task cannot have."""

    @cached_property
    def runs(self) -> dict[str, RunSpec]:
        """All runs by id; cells may share runs."""
        return {run.run_id: run for cell in self.cells for run in cell.runs}

    def entries(self, store: Store) -> list[CellEntry]:
        """The cells as a manifest lists them."""
        return [
            CellEntry(
                label=self._label(cell),
                method=cell.variant.method,
                task=cell.task,
                selection=self.protocol.selection,
                measure=measure_of(self.protocol),
                runs=tuple(store.path(run).relative_to(store.root).as_posix() for run in cell.runs),
            )
            for cell in self.cells
        ]

    def older_code(self, store: Store) -> list[str]:
        """A line for each method with stored runs of other code."""
        found: Counter[tuple[str, str]] = Counter()
        for run in self.runs.values():
            if self.states[run.run_id] == "done":
                continue
            for record in store.siblings(run):
                current = record.spec.learning(code=run.fit.code, pretrained=run.fit.pretrained)
                if record.spec.fit.code != run.fit.code and current == run:
                    found[run.method, record.spec.fit.code] += 1
        return [
            f"{count} runs of an older version of {method} stay stored (code {code}); "
            f"--accept-code {code} takes them as they are"
            for (method, code), count in found.items()
        ]

    def _label(self, cell: Cell) -> str:
        """The row's name in tables: the method's, with the name of the training if there are
        several."""
        named = {JOINT.join(sources): name for name, sources in self.protocol.trainings.items()}
        training = named.get(cell.task.train)
        return f"{cell.variant.title} ({training})" if training else cell.variant.title

    @cached_property
    def fits(self) -> dict[str, list[RunSpec]]:
        """The runs of every fit, by fit id; the first one is evaluated during training."""
        found: dict[str, list[RunSpec]] = {}
        for run in self.runs.values():
            found.setdefault(run.fit.fit_id, []).append(run)
        return found

    def left_out(self) -> list[str]:
        """A line for each omitted row and dataset, and for each metric that a task cannot have."""
        lines = (
            f"left out: {variant.title} on {task.title}: {why}"
            for variant, task, why in self.omitted
        )
        return [*dict.fromkeys(lines), *self.undefined]

    def counts(self) -> Counter[str]:
        """How many runs are in each state."""
        return Counter(self.states.values())


class Planner:
    """Builds plans. Datasets and splits are read once for all methods."""

    def __init__(
        self, protocol: Protocol, data_cache: DataCache, accepted: Sequence[str] = ()
    ) -> None:
        self.protocol = protocol
        self.accepted = tuple(accepted)
        """Digests of older code whose stored runs count as runs of the present code."""
        self.data_cache = data_cache
        self.rule = protocol.split_rule()

    @gc_paused()
    def plan(
        self,
        variants: Sequence[Variant],
        store: Store,
        retry_failed: bool = False,
        exclude_contaminated: bool = False,
        why_not: Callable[[Variant, Task], str] = lambda variant, task: "",
    ) -> Plan:
        """The plan for these rows; failed runs count as to do when they are to be retried.

        `why_not` gives the reason for leaving a cell out, "" for none.
        """
        self._store = store

        def asked(task: Task) -> bool:
            """Whether any row has this task: databases of other tasks may be missing."""
            for one in variants:
                seen = exclude_contaminated and contaminated(
                    one.on(task.train), task, self.protocol
                )
                if not (seen or why_not(one, task)):
                    return True
            return False

        tasks = [task for task in self.protocol.tasks() if asked(task)]
        undefined = measurable.check(self.protocol, tasks, self.data_cache.dataset)
        cells: list[Cell] = []
        pretrains: dict[str, PretrainJob] = {}
        omitted: list[tuple[Variant, Task, str]] = []
        for chosen in variants:
            rows: dict[str, _Row] = {}
            for training in self.protocol.trainings_of_tasks():
                row = rows.setdefault(training[0].train, _Row(chosen.on(training[0].train)))
                self._refuse_unfitted(row.variant, training[0])
                reasons = {task: why_not(row.variant, task) for task in training}
                for task in training if exclude_contaminated else ():
                    if contaminated(row.variant, task, self.protocol):
                        reasons[task] = _contamination(task)
                planned = tuple(task for task in training if not reasons[task])
                omitted += [(row.variant, task, why) for task, why in reasons.items() if why]
                if not planned:
                    continue
                # By all tests, also those that this row leaves out: all rows share their splits.
                rule = self.protocol.split_rule(training)
                fits = [
                    self._fit(row, planned, rule, repeat, pretrains)
                    for repeat in range(self.protocol.repeats)
                ]
                cells += [self._cell(row.variant, task, fits) for task in planned]
        plan = Plan(self.protocol, cells, pretrains, omitted=omitted, undefined=undefined)
        plan.states = run_states(plan, store, retry_failed)
        return plan

    def _refuse_unfitted(self, variant: Variant, task: Task) -> None:
        if task.zero_shot and variant.build().needs_fit():
            raise UsageError(
                f"{variant.title} needs labels to learn from, and {self.protocol.name} gives none "
                "(zero_shot, or an empty 'train'); leave it out with --methods"
            )

    def _cell(self, variant: Variant, task: Task, fits: Sequence[FitSpec]) -> Cell:
        runs = []
        for repeat, fit in enumerate(fits):
            rows, tested = self.data_cache.tested(task, self.rule, repeat)
            if len(rows) < LEAST and self.data_cache.dataset(task.test).info.labelled:
                raise UsageError(
                    f"{task.test}: {len(rows)} images to test on; a correlation needs at least "
                    f"{LEAST}"
                )
            run = RunSpec(fit=fit, test=task.test, side=task.side, test_digest=tested)
            runs.append(self._stored(run) or run)
        return Cell(variant, task, tuple(runs))

    def _stored(self, run: RunSpec) -> RunSpec | None:
        """The same run by older code, if that code is accepted and the run has a record."""
        for record in self._store.siblings(run) if self.accepted else ():
            current = record.spec.learning(code=run.fit.code, pretrained=run.fit.pretrained)
            if record.spec.fit.code in self.accepted and current == run:
                return record.spec
        return None

    def _fit(
        self,
        row: _Row,
        tasks: tuple[Task, ...],
        rule: SplitRule,
        repeat: int,
        pretrains: dict[str, PretrainJob],
    ) -> FitSpec:
        task, protocol = tasks[0], self.protocol
        _, split_digests = self.data_cache.sources(task, rule, repeat)
        pretrained = None
        if row.corpora:
            spec, pretrained = row.pretrain(self._corpora(row, tasks, rule, repeat))
            if pretrained not in pretrains:
                pretrains[pretrained] = PretrainJob(spec, row.variant, tasks, rule, repeat)
        annotations = None
        if row.reads_annotations and not task.zero_shot:
            annotations = self.data_cache.annotations(task, rule, repeat)
        settings = row.settings
        return FitSpec(
            train=task.train,
            learn=task.learn,
            labels=task.labels,
            ratio=task.ratio,
            zero_shot=task.zero_shot,
            sampling=protocol.sampling,
            split=rule,
            split_digests=split_digests,
            repeat=repeat,
            annotations=annotations,
            method=row.variant.method,
            method_version=row.variant.cls.version,
            code=row.code,
            settings=settings,
            weights=row.weights,
            pretrained=pretrained,
            image_policy=row.policy,
            selection=protocol.selection,
            # A test set that selects the epoch defines the result; one that is only drawn does not.
            monitored=task.test if protocol.selection == "best_test" and len(tasks) > 1 else None,
            evaluate_every=protocol.evaluate_every,
            normalise=row.normalise or protocol.normalise,
        )

    def _corpora(
        self, row: _Row, tasks: tuple[Task, ...], rule: SplitRule, repeat: int
    ) -> dict[str, str]:
        digests = self.data_cache.corpus_digests(
            row.corpora, tasks, rule, repeat, split_alike=self.protocol.split_corpora
        )
        if not digests:
            raise UsageError(
                f"{row.variant.title} on {tasks[0].title}: its tests and budget leave nothing of "
                f"its corpora ({', '.join(row.corpora)}) to pre-train on"
            )
        return digests


@dataclass
class _Row:
    """What all runs of a variant share, computed once instead of for each of thousands."""

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
    def code(self) -> str:
        return source.digest(self.variant.cls.name)

    @cached_property
    def policy(self) -> str:
        return str(self.variant.build().policy)

    @cached_property
    def corpora(self) -> Sequence[str]:
        return self.variant.build().corpora()

    @cached_property
    def normalise(self) -> Literal["minmax_train", "range", "none"] | None:
        return self.variant.build().fit_normalise

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


def _contamination(task: Task) -> str:
    return f"contaminated, its weights have seen labels of {task.test.partition('@')[0]}"


def contaminated(variant: Variant, task: Task, protocol: Protocol) -> bool:
    """Whether the method's initial weights have seen labels of test images of some repeat."""
    seen, rule = variant.build().all_trained_on(), protocol.split_rule()
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
        # A claim outlives its record for a moment: a run that is done stays done.
        if states[run_id] == "todo":
            states[run_id] = "elsewhere"
    return states


def _reopen(plan: Plan, store: Store, states: dict[str, str]) -> None:
    """Mark done runs as to do if they lack artefacts that the protocol now keeps."""
    if not plan.protocol.keep:
        return
    methods = {run.run_id: cell.variant.cls for cell in plan.cells for run in cell.runs}
    for run_id, run in plan.runs.items():
        whole = artifacts.complete(
            store, run, artifacts.able(methods[run_id]) & set(plan.protocol.keep)
        )
        if states[run_id] == "done" and not whole:
            states[run_id] = "todo"
