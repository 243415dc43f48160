"""What `bench speed` measures on the processor: images, statistics, a report."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.cli.machine.timing import Effort, Timing, timed

if TYPE_CHECKING:
    import PIL.Image

    from bench.model.records import Task
    from bench.store import Store

SIZE = (1024, 768)
"""Of the images that are decoded, as KonIQ-10k's."""
TESTED = 2000
"""Images of a test set, for statistics."""
RESAMPLES = 1000
METHODS = ("one", "two", "three", "four")
LABELS = (50, 100)
REPEATS = 10
IMAGES = 232
"""Of the runs that are reported: of each, its test images."""


def images(effort: Effort, folder: Path) -> Iterator[Timing]:
    """Decoding JPEG files under a size policy, and reading them back from the cache."""
    from bench.api import ImagePolicy
    from bench.data.images import open_images
    from bench.data.images.decode import decode

    names = [f"{index:03}.jpg" for index in range(effort.images)]
    root = folder / "images"
    root.mkdir()
    for index, name in enumerate(names):
        _photograph(index).save(root / name, quality=90)
    policy = ImagePolicy("short_side", 384)

    def decode_all() -> int:
        for name in names[:16]:
            decode(root / name, policy)
        return 16

    rate, seconds = timed(decode_all, effort)
    yield Timing("decode JPEG 1024 x 768 to 512 x 384", rate, "images/s, one thread", seconds)
    cached = open_images(root, names, policy, folder / "cache")

    def read_all() -> int:
        for _ in range(8):
            cached.batch(np.arange(len(names)))
        return 8 * len(names)

    rate, seconds = timed(read_all, effort)
    yield Timing("the same from the cache", rate, "images/s", seconds)


def statistics(effort: Effort) -> Iterator[Timing]:
    """All metrics of one test set, and a bootstrap interval of its SRCC."""
    from bench.metrics import METRICS, compute
    from bench.stats import image_interval, side

    rng = np.random.default_rng(0)
    quality = rng.normal(size=TESTED)
    prediction = quality + rng.normal(size=TESTED)

    def judge() -> int:
        # Others every time: the same ones' curve would not be fitted again.
        compute(tuple(METRICS), quality + rng.normal(size=TESTED), quality)
        return 1

    def resample() -> int:
        image_interval([side(prediction, quality)], resamples=RESAMPLES)
        return 1

    rate, seconds = timed(judge, effort)
    yield Timing(f"all metrics of {TESTED:,} images", rate, "test sets/s", seconds)
    rate, seconds = timed(resample, effort)
    yield Timing(f"interval by {RESAMPLES:,} resamples", rate, "intervals/s", seconds)


def report(effort: Effort, folder: Path) -> Timing:
    """Tables, figures and pages of 80 runs."""
    from bench.reports.render import render

    store, runs = _results(folder / "results")

    def render_all() -> int:
        render(store, folder / "report")
        return runs

    rate, seconds = timed(render_all, effort, warm_up=False)
    return Timing(f"report of {runs} runs", rate, "runs/s", seconds)


def _photograph(seed: int) -> PIL.Image.Image:
    """Smooth shapes with a little noise: compresses about as photographs do."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize(SIZE, Image.Resampling.BICUBIC), dtype=np.float64)
    grain = rng.normal(0, 6, smooth.shape)
    return Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8))


def _results(root: Path) -> tuple[Store, int]:
    """A results folder of made-up runs, and how many there are."""
    from bench.model.records import Task
    from bench.protocol import Protocol
    from bench.store import Store
    from bench.store.manifest import CellEntry, Manifest
    from bench.util.atomic import write_text

    store, cells, rng = Store(root), [], np.random.default_rng(0)
    for method in METHODS:
        for labels in LABELS:
            task = Task(train="livec", test="livec", labels=labels)
            paths = tuple(_run(store, method, task, repeat, rng) for repeat in range(REPEATS))
            cells.append(
                CellEntry(label=method, method=method, task=task, selection="last", runs=paths)
            )
    protocol = Protocol(name="speed", datasets=("livec",), labels=LABELS)
    manifest = Manifest(protocol=protocol, cells=cells)
    write_text(root / "protocols" / "speed.json", manifest.model_dump_json())
    return store, len(METHODS) * len(LABELS) * REPEATS


def _run(store: Store, method: str, task: Task, repeat: int, rng: np.random.Generator) -> str:
    """Write one run; its record's path under the store's folder."""
    import pandas as pd

    from bench.metrics import compute
    from bench.model.records import Record, RunSpec, SplitRule

    split = hashlib.sha256(f"{task.budget} {repeat}".encode()).hexdigest()
    spec = RunSpec.of(
        task, split, split=SplitRule(), split_digests=(split,), repeat=repeat, method=method,
        method_version="1", code="", settings={},
    )  # fmt: skip
    quality = rng.normal(size=IMAGES)
    values = quality + rng.normal(size=IMAGES)
    metrics: dict[str, float | None] = {**compute(("srcc", "plcc"), values, quality)}
    record = Record(run_id=spec.run_id, status="done", spec=spec, metrics={"last": metrics})
    columns = {"quality": quality, "prediction": values, "prediction_last": values}
    names = [f"{index}.png" for index in range(IMAGES)]
    path = store.write(record, pd.DataFrame({"image": names, **columns}))
    return path.relative_to(store.root).as_posix()
