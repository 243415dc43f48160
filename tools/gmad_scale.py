"""How long gMAD takes once images are scored: by images in the pool and by methods.

`python -m tools.gmad_scale` writes predictions of made-up methods as runs leave them,
up to the 99,624 images of Waterloo Exploration, and times what `bench gmad` does with them:

read      stored predictions of all methods, brought to one order of images
compete   every ordered pair of methods, 10 levels, 5 pairs a level (`bench.analysis.gmad.compete`)
judge     the same with labels, as plain JSON (`bench.reports.gmad.document`)

Seconds, and seconds of CPU in brackets, which a busy machine leaves alone.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.gmad import compete
from bench.analysis.gmad_pools import Pool, choose, pools, read
from bench.model.records import Record, RunSpec, SplitRule, Task
from bench.protocol import GmadEntry, Protocol
from bench.reports.gmad import document, hold
from bench.store import Store
from bench.store import table as runs_table
from bench.store.manifest import CellEntry, Manifest, read_all
from tools import command_line

WATERLOO = 99_624
TASK = Task(train="live", test="waterloo")


def main() -> None:
    """Print the table."""
    parser = command_line("gmad_scale", __doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, WATERLOO])
    parser.add_argument("--methods", type=int, nargs="+", default=[2, 5, 10])
    options = parser.parse_args()
    print(f"{'images':>8} {'methods':>8} {'matches':>8} {'read':>16} {'compete':>16} {'judge':>16}")
    for size in options.sizes:
        for methods in options.methods:
            with tempfile.TemporaryDirectory() as folder:
                times = _times(write(Path(folder), size, methods))
            cells = " ".join(f"{wall:8.2f} ({cpu:5.2f})" for wall, cpu in times)
            print(f"{size:8,} {methods:8} {methods * (methods - 1):8} {cells}", flush=True)


def write(root: Path, images: int, methods: int) -> Store:
    """A results folder with predictions of one pool by so many methods."""
    store, rng = Store(root), np.random.default_rng(0)
    quality = rng.normal(size=images)
    names = [f"distorted_images/{index % 4 + 1}/{index:06}.bmp" for index in range(images)]
    cells = []
    for number in range(methods):
        spec = RunSpec.of(
            TASK,
            test_digest="made up",
            split=SplitRule(),
            split_digests=("made up",),
            repeat=0,
            method=f"method{number}",
            method_version="1",
            code="c0de",
            settings={},
        )
        prediction = quality + rng.normal(size=images)
        table = pd.DataFrame({"image": names, "quality": quality, "prediction": prediction})
        path = store.write(Record(run_id=spec.run_id, status="done", spec=spec), table)
        run = path.relative_to(store.root).as_posix()
        cells.append(
            CellEntry(
                label=spec.method, method=spec.method, task=TASK, selection="last", runs=(run,)
            )
        )
    manifest = Manifest(protocol=Protocol(name="gmad"), cells=cells)
    (root / "protocols").mkdir()
    (root / "protocols" / "gmad.json").write_text(manifest.model_dump_json(), encoding="utf-8")
    return store


def _times(store: Store) -> list[tuple[float, float]]:
    found, reading = _timed(lambda: choose(_pools(store)))
    scores, rest = _timed(lambda: read(store, found, found.labels))
    settings = GmadEntry(levels=10, pairs=5)
    _, competing = _timed(lambda: compete(scores.scores, levels=10, top=5))
    _, judging = _timed(lambda: document(hold(scores, settings)))
    return [(reading[0] + rest[0], reading[1] + rest[1]), competing, judging]


def _pools(store: Store) -> list[Pool]:
    protocols = [found.protocol for found in read_all(store)]
    return pools(runs_table.load(store), protocols)


def _timed(work: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    start, used = time.perf_counter(), time.process_time()
    value = work()
    return value, (time.perf_counter() - start, time.process_time() - used)


if __name__ == "__main__":
    main()
