"""How a results folder grows: reading tables, planning and resuming with 1k, 10k and 100k records.

`python -m tools.store_scale` writes folders of records as a sweep leaves them (curves of
50 epochs, 20 tasks, 10 repeats; with `--page` 12 databases, one task each, and predictions of 232
images) and times, each in a process of its own:

tables   `bench.store.table.load`: every run of every cell as a row
summary  `bench.analysis.summarise`: medians and intervals of every cell
resume   run ids of all planned runs, and which of them are done
plan     the same for a protocol of 200 runs inside the large folder
report   with `--page`: `bench report`, figures and pages included

Each shows seconds, seconds of CPU (what a busy machine leaves alone), those per thousand records
(the same in every row where growth is linear) and peak memory. The files have just been written,
so they come from the operating system's cache.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bench.model.records import CurvePoint, Record, RunSpec, SplitRule, Task
from bench.protocol import Protocol
from bench.store import Store
from bench.store.manifest import CellEntry, Manifest
from bench.util.environment import Environment
from bench.util.gc_paused import gc_paused
from tools import command_line

PAGE = (
    *("livec", "koniq10k", "spaq", "kadid10k", "agiqa3k", "bid", "tid2013", "live", "csiq"),
    *("cid2013", "uhdiqa", "biq2021"),
)
DATASETS = ("livec", "koniq10k", "spaq", "kadid10k", "agiqa3k")
BUDGETS = (50, 100, 200, 500)
REPEATS = 10
IMAGES = 232
METRICS = ("srcc", "plcc", "plcc_logistic4", "plcc_logistic5", "krcc", "rmse")


def main() -> None:
    """Print the table; `--measure` is what it starts in processes of their own."""
    parser = command_line("store_scale", __doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--epochs", type=int, default=50, help="length of the curves")
    parser.add_argument("--folder", type=Path, help="where to write; default a temporary folder")
    parser.add_argument("--only", choices=MEASURES, nargs="+", default=list(USUAL))
    parser.add_argument("--page", action="store_true", help="12 databases, with predictions")
    parser.add_argument("--measure", choices=MEASURES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        _measure(options.measure, options.folder, options.page)
        return
    print(f"{'records':>8} {'MB':>6}", *(f"{name:>34}" for name in options.only))
    for size in options.sizes:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            _row(Path(folder), size, options.epochs, options.only, options.page)


def _row(folder: Path, size: int, epochs: int, measures: Sequence[str], page: bool) -> None:
    methods = max(1, size // (len(_tasks(page)) * REPEATS))
    written = write(folder, methods, epochs, page)
    total = sum(path.stat().st_size for path in folder.rglob("*.json"))
    cells = []
    for name in measures:
        command = [sys.executable, "-m", "tools.store_scale", "--measure", name]
        command += ["--folder", str(folder), *(["--page"] if page else [])]
        text = subprocess.check_output(command, text=True)
        found = json.loads(text)
        each = found["cpu"] / written * 1e3
        cells.append(
            f"{found['seconds']:.2f} s {found['cpu']:.2f} s {each:.3f} {found['mib']:.0f} MiB"
        )
    print(f"{written:>8} {total / 1e6:>6.0f}", *(f"{cell:>34}" for cell in cells), flush=True)


def write(folder: Path, methods: int, epochs: int, page: bool = False) -> int:
    """Write records and a manifest; returns their number. Without fsync: that is not measured."""
    store, cells, count = Store(folder), [], 0
    curve = _curve(epochs)
    for cell, specs in _cells(methods, page):
        paths = []
        for spec in specs:
            path = store.path(spec)
            path.parent.mkdir(parents=True, exist_ok=True)
            if page:
                _predictions(spec).to_parquet(path.with_suffix(".parquet"), index=False)
            path.write_text(_record(spec, curve).model_dump_json(indent=1) + "\n")
            paths.append(path.relative_to(store.root).as_posix())
        count += len(paths)
        cells.append(cell.model_copy(update={"runs": tuple(paths)}))
    datasets = PAGE if page else DATASETS
    manifest = Manifest(protocol=Protocol(name="sweep", datasets=datasets), cells=cells)
    (folder / "protocols").mkdir()
    (folder / "protocols" / "sweep.json").write_text(manifest.model_dump_json(indent=1))
    return count


def _tasks(page: bool) -> list[Task]:
    if page:
        return [Task(train=name, test=name) for name in PAGE]
    return [Task(train=name, test=name, labels=count) for name in DATASETS for count in BUDGETS]


def _predictions(spec: RunSpec) -> pd.DataFrame:
    """Of the test images of a run, as `Store.write` has them."""
    rng = np.random.default_rng(spec.repeat)
    quality = rng.normal(size=IMAGES)
    values = quality + rng.normal(size=IMAGES)
    names = [f"{index}.png" for index in range(IMAGES)]
    return pd.DataFrame(
        {"image": names, "quality": quality, "prediction": values, "prediction_last": values}
    )


def _cells(methods: int, page: bool) -> Iterator[tuple[CellEntry, list[RunSpec]]]:
    for number in range(methods):
        name = f"method_{number}"
        settings = {f"setting_{index}": index * 0.1 + number for index in range(20)}
        for task in _tasks(page):
            cell = CellEntry(label=name, method=name, task=task, selection="last", runs=())
            yield cell, [_spec(task, name, settings, repeat) for repeat in range(REPEATS)]


def _spec(task: Task, method: str, settings: dict[str, float], repeat: int) -> RunSpec:
    text = f"{task.train} {task.labels} {repeat}"
    return RunSpec.of(
        task,
        test_digest=hashlib.sha256(text.encode()).hexdigest(),
        split=SplitRule(),
        split_digests=(hashlib.sha256(text.encode()).hexdigest(),),
        repeat=repeat,
        method=method,
        method_version="1",
        code="c0de",
        settings=settings,
        evaluate_every=5,
    )


def _record(spec: RunSpec, curve: list[CurvePoint]) -> Record:
    values: dict[str, float | None] = {name: random.random() for name in METRICS}
    return Record(
        run_id=spec.run_id,
        status="done",
        spec=spec,
        metrics={"last": values, "best_test": values},
        chosen_epoch={"last": 50, "best_test": 45},
        curve=curve,
        sizes={"train": spec.task.labels or 0, "val": 0, "test": 232},
        seconds={"fit": 10.5, "predict": 1.5, "total": 12.5},
        digests={spec.test: spec.split_digest},
        environment=Environment(packages={f"package_{index}": "1.2.3" for index in range(10)}),
    )


def _curve(epochs: int) -> list[CurvePoint]:
    return [
        CurvePoint(
            epoch=epoch,
            loss=random.random(),
            diagnostics={"angle": 90 * random.random()},
            seconds=epoch * 0.2,
            test={"srcc": random.random(), "plcc": random.random()} if epoch % 5 == 0 else None,
        )
        for epoch in range(1, epochs + 1)
    ]


def _tables(folder: Path, page: bool) -> object:
    from bench.store import table as runs_table

    return runs_table.load(folder)


def _summary(folder: Path, page: bool) -> object:
    from bench.analysis import load

    return load(folder).summary


def _resume(folder: Path, page: bool) -> object:
    datasets = PAGE if page else DATASETS
    return _states(folder, len(list((folder / "records").glob("*/*"))) // len(datasets), page)


def _plan(folder: Path, page: bool) -> object:
    return _states(folder, 1, page)


def _report(folder: Path, page: bool) -> object:
    from bench.reports.render import render

    return render(Store(folder))


def _states(folder: Path, methods: int, page: bool) -> object:
    with gc_paused():  # as `bench.runs.plan` does
        runs = {spec.run_id: spec for _, specs in _cells(methods, page) for spec in specs}
        found = Store(folder).states(runs)
    if set(found.values()) != {"done"} or len(found) != len(runs):
        sys.exit("the folder does not hold the runs that were written")
    return runs, found  # a plan holds them to its end: throwing them away is not its time


MEASURES: dict[str, Callable[[Path, bool], object]] = {
    "tables": _tables,
    "summary": _summary,
    "resume": _resume,
    "plan": _plan,
    "report": _report,
}
USUAL = ("tables", "summary", "resume", "plan")


def _measure(name: str, folder: Path, page: bool) -> None:
    start, used = time.perf_counter(), time.process_time()
    result = MEASURES[name](folder, page)
    seconds, cpu = time.perf_counter() - start, time.process_time() - used
    del result
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "mib": peak}))


if __name__ == "__main__":
    main()
