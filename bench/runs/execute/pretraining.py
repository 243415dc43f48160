"""Pre-trained states: computed once per content, shared by every run that needs them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import LabelledSet
from bench.data import selection
from bench.data.data_cache import DataCache
from bench.model.jobs import Event, Pretraining
from bench.model.records import Task
from bench.protocol.variants import Variant
from bench.runs.execute.fitting import Interrupted
from bench.runs.execute.labels import normalise
from bench.runs.isolation import Facts, MethodProcess, Start
from bench.runs.plan.pretraining import pretrain_spec
from bench.store import Store
from bench.store.claims import Claims, Holder
from bench.util.atomic import replacing, write_json


def pretrain(
    work: Pretraining,
    store: Store,
    claims: Claims,
    data_cache: DataCache,
    device: str,
    emit: Callable[[Event], None],
    stopping: Callable[[], bool],
) -> None:
    """Compute and store a pre-trained state, unless it is there.

    A claim prevents two processes from computing the same state; after a kill, a method resumes
    from the checkpoints in its scratch folder. Raises `Interrupted` when asked to stop.
    """
    path = store.pretrained_file(work.spec.method, work.spec.key)

    def wait(holder: Holder) -> None:
        if stopping():
            raise Interrupted
        emit(Event(kind="waiting", run=work.spec.key, title=holder.host))

    with claims.holding(work.spec.key, path.exists, wait) as mine:
        if mine:
            _compute(work, path, data_cache, device, emit, stopping)


def _compute(
    work: Pretraining,
    path: Path,
    data_cache: DataCache,
    device: str,
    emit: Callable[[Event], None],
    stopping: Callable[[], bool],
) -> None:
    # In the results folder, not in a temporary one, so that another machine can continue.
    scratch = path.parent / f"partial-{work.spec.key}"
    scratch.mkdir(parents=True, exist_ok=True)
    begin = Start(work.method, work.settings, device, work.spec.seed, scratch=scratch)
    start = time.perf_counter()
    with MethodProcess(begin) as method:
        curve = _train(method, work, data_cache, emit, stopping)
        with replacing(path) as temporary:
            method.save_pretrained(temporary)
        account = method.account()
    card = {
        "spec": work.spec.model_dump(mode="json"),
        "seconds": round(time.perf_counter() - start, 2),
        "peak_memory_mb": account.peak_memory_mb,
        "curve": curve,
        "environment": account.environment.model_dump(mode="json"),
    }
    write_json(path.with_suffix(".json"), card)
    shutil.rmtree(scratch, ignore_errors=True)


def _train(
    method: MethodProcess,
    work: Pretraining,
    data_cache: DataCache,
    emit: Callable[[Event], None],
    stopping: Callable[[], bool],
) -> list[dict[str, Any]]:
    curve: list[dict[str, Any]] = []
    sets = corpora(method.facts, work, data_cache)
    for number, epoch in enumerate(method.pretrain(sets), start=1):
        loss = float(epoch.loss) if np.isfinite(epoch.loss) else None
        known = {name: float(value) for name, value in epoch.diagnostics.items()}
        finite = {name: value for name, value in known.items() if np.isfinite(value)}
        curve.append({"epoch": number, "loss": loss, "diagnostics": finite})
        emit(Event(kind="epoch", run=work.spec.key, epoch=number, total=epoch.total, loss=loss))
        if stopping():
            raise Interrupted
    return curve


def corpora(facts: Facts, work: Pretraining, data_cache: DataCache) -> list[LabelledSet]:
    """The labelled sets that a method pre-trains on, with labels scaled for each corpus."""
    sets = []
    for name in work.spec.corpora:
        dataset = data_cache.dataset(name)
        rows: selection.Rows = np.arange(len(dataset))
        if work.tasks:
            rows = data_cache.corpus_rows(
                name,
                work.tasks,
                work.split,
                work.repeat,
                alone=len(selection.corpus_names(facts.corpora, work.tasks[0])) == 1,
                split_alike=work.split_corpora,
            )
        scores = normalise(dataset.quality, rows, facts.corpus_normalise, dataset)[rows]
        images = data_cache.images(name, facts.corpus_policy)
        sets.append(selection.labelled(dataset, rows, images, scores))
    return sets


def pretrain_whole(
    variant: Variant,
    store: Store,
    data_cache: DataCache,
    device: str,
    emit: Callable[[Event], None],
    task: Task | None = None,
) -> Path:
    """The state pre-trained on the whole corpora, for predicting images outside any protocol.

    Computed on first use and kept in the store, as for runs. If a fit follows, its `task` says
    which databases `OWN` stands for.
    """
    spec = pretrain_spec(
        variant,
        {
            name: selection.rows_digest(dataset, np.arange(len(dataset)))
            for name in selection.corpus_names(variant.build().corpora(), task)
            for dataset in [data_cache.dataset(name)]
        },
    )
    work = Pretraining(spec=spec, method=variant.method, settings=variant.raw)
    pretrain(work, store, Claims(store.root), data_cache, device, emit, lambda: False)
    return store.pretrained_file(spec.method, spec.key)
