"""What keeping frozen computation saves in GRMP-IQA's few-shot fine-tuning.

`python -m tools.grmp_cost` times, side by side in one process on random images and
weights: a training epoch with nothing kept and with each saving added, an evaluation pass over a
fixed test view, and from these a whole fit with a large test set watched every few epochs
(`--run-whole` runs that fit instead of adding it up). It also prints how far the numbers of the two
ways are apart, and exits 1 where that is more than 1e-4.

Ways are timed in turns and the least of `--rounds` counts, so that a busy machine disturbs all
alike. `--steps N` times N batches of an epoch and scales up.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bench.api import Context, LabelledSet
from bench.methods.grmp.engine import GrmpEngine
from bench.methods.grmp.method import GRMP
from bench.methods.grmp.reuse import NOTHING, Reuse
from bench.methods.grmp.settings import GrmpSettings
from bench.methods.kit.trainer import At
from bench.model.images import ArrayImages
from tools import command_line

KONIQ_TEST = 2015
TOLERANCE = 1e-4
LADDER: tuple[tuple[str, dict[str, bool]], ...] = (
    ("nothing kept, a forward for each gradient", {}),
    ("nothing kept, one forward for both", {"shared_forward": True}),
    ("+ frozen image blocks once a view", {"prefix": True}),
    ("+ teacher once a view", {"teacher": True}),
    ("+ frozen text blocks once", {"texts": True}),
    ("+ without token outputs nobody reads", {"skip_unread": True}),
)
BASE = dataclasses.replace(NOTHING, shared_forward=True)
"""What the ratios are against: the same computation without reuse."""


@dataclass
class Way:
    """One way of computing the same thing, ready to be timed."""

    title: str
    engine: GrmpEngine
    train: LabelledSet
    steps: int
    """Batches timed of an epoch."""

    def __post_init__(self) -> None:
        self.finetuner = self.engine.finetuner(self.train)

    def epoch(self) -> float:
        """Seconds of a training epoch, scaled up from the timed batches."""
        trainer = self.finetuner.trainer
        batches = trainer.batches(0)[: self.steps]
        start = now()
        for number, batch in enumerate(batches):
            trainer.step(batch, At(0, number))
        return (now() - start) * len(self.train) / sum(len(batch) for batch in batches)

    def first_epoch(self) -> float:
        """Seconds of a training epoch in which every view is new."""
        self.finetuner = self.engine.finetuner(self.train)
        return self.epoch()

    def evaluation(self, images: ArrayImages) -> float:
        """Seconds to score images."""
        start = now()
        self.engine.score(images)
        return now() - start


def now() -> float:
    """A clock that waits for the GPU; on one CPU thread the process's own time, which other
    processes of a busy machine do not lengthen."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    elif torch.get_num_threads() == 1:
        return time.process_time()
    return time.perf_counter()


def noise(count: int, side: int) -> ArrayImages:
    """Random images of one size."""
    rng = np.random.default_rng(0)
    return ArrayImages(list(rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)))


def engine_of(reuse: Reuse, options: argparse.Namespace, **settings: Any) -> GrmpEngine:
    """A model of random weights that keeps what `reuse` says."""
    own = {"backbone": options.backbone, "recipe": "default", "pretraining": False, **settings}
    context = Context(device=options.device, seed=0, batch_size=options.batch)
    return GrmpEngine(GrmpSettings(**own), context, reuse)


def side_of(backbone: str) -> int:
    """Pixels of the squashed images."""
    method = GRMP(GrmpSettings(backbone=backbone, recipe="default"), Context())
    assert isinstance(method.policy.size, int)
    return method.policy.size


def ways(rungs: Sequence[tuple[str, Reuse]], count: int, options: argparse.Namespace) -> list[Way]:
    """A trainer for each rung on the same images and batches."""
    train = labelled(noise(count, side_of(options.backbone)))
    steps = options.steps or count
    return [Way(title, engine_of(reuse, options, views=1), train, steps) for title, reuse in rungs]


def ladder() -> list[tuple[str, Reuse]]:
    """Savings added one after the other."""
    reuse, rungs = NOTHING, []
    for title, change in LADDER:
        reuse = dataclasses.replace(reuse, **change)
        rungs.append((title, reuse))
    return rungs


def least(found: Sequence[Way], timed: Callable[[Way], float], rounds: int) -> list[float]:
    """The least seconds of each way, timed in turns."""
    seconds = [[timed(each) for each in found] for _ in range(rounds)]
    return [min(column) for column in zip(*seconds, strict=True)]


def show(titles: Sequence[str], seconds: Sequence[float], against: float) -> None:
    """One line a way, with how many times faster than `against` it is."""
    for title, value in zip(titles, seconds, strict=True):
        print(f"  {title:44s} {value:9.2f} s   x {against / value:5.2f}", flush=True)


def training(
    count: int, rungs: Sequence[tuple[str, Reuse]], options: argparse.Namespace
) -> tuple[list[float], float]:
    """Print seconds an epoch with views that are kept already, and the last way's first epoch.

    Returns the seconds of every way, and those of an epoch in which every view is new.
    """
    found = ways(rungs, count, options)
    fresh = found[-1].first_epoch()
    for each in found[:-1]:
        each.epoch()
    seconds = least(found, Way.epoch, options.rounds)
    against = seconds[1] if len(rungs) == len(LADDER) else seconds[0]
    print(f"training epoch, {count} images")
    show([each.title for each in found], seconds, against)
    show(["the last one where every view is new"], [fresh], against)
    return seconds, fresh


def evaluation(options: argparse.Namespace) -> tuple[float, float, float]:
    """Print seconds to score the test images; (nothing kept, first pass, later passes)."""
    images = noise(options.eval_images, side_of(options.backbone))
    base, kept = ways([("nothing kept", BASE), ("kept", Reuse())], 2, options)
    base.evaluation(images)
    first = kept.evaluation(images)
    without, later = least([base, kept], lambda each: each.evaluation(images), options.rounds)
    print(f"evaluation pass, {options.eval_images} images, one fixed view")
    show(["nothing kept", "the first pass", "later passes"], [without, first, later], without)
    return without, first, later


def whole(
    epoch: tuple[float, float, float],
    judged: tuple[float, float, float],
    options: argparse.Namespace,
) -> None:
    """Add up a 50-shot fit: `epoch` and `judged` are seconds (nothing kept, new views, kept)."""
    passes = -(-options.epochs // options.every)
    scale = options.test / options.eval_images
    new = min(options.views, options.epochs)
    base = options.epochs * epoch[0] + passes * scale * judged[0]
    kept = new * epoch[1] + (options.epochs - new) * epoch[2]
    kept += scale * (judged[1] + (passes - 1) * judged[2])
    print(
        f"whole fit, 50 images, {options.epochs} epochs, {options.views} views, "
        f"{options.test} test images every {options.every} epochs (added up)"
    )
    show(["nothing kept", "everything kept"], [base, kept], base)


def run_whole(options: argparse.Namespace) -> None:
    """The same, run from start to end."""
    side = side_of(options.backbone)
    train, test = labelled(noise(50, side)), noise(options.test, side)
    seconds = []
    for reuse in (BASE, Reuse()):
        engine = engine_of(reuse, options, views=options.views, epochs=options.epochs)
        start = now()
        for number, _ in enumerate(engine.fit(train), start=1):
            if number % options.every == 0:
                engine.score(test)
        seconds.append(now() - start)
    print(f"whole fit, 50 images, {options.epochs} epochs, {options.test} test images (run)")
    show(["nothing kept", "everything kept"], seconds, seconds[0])


def labelled(images: ArrayImages) -> LabelledSet:
    """Random images with labels."""
    n = len(images)
    nothing = (None,) * n
    return LabelledSet(
        "noise", images, np.linspace(0, 1, n), nothing, nothing, nothing, nothing, ("noise",) * n
    )


def difference(options: argparse.Namespace) -> float:
    """Largest gap between the two ways: losses, KL and scores after two small epochs."""
    images = noise(8, side_of(options.backbone))
    rows = []
    for reuse in (NOTHING, Reuse()):
        engine = engine_of(reuse, options, epochs=2, warmup_epochs=0, autocast="off")
        epochs = list(engine.fit(labelled(images)))
        numbers = [value for epoch in epochs for value in (epoch.loss, epoch.diagnostics["kl"])]
        rows.append(np.concatenate([numbers, engine.score(images)]))
    return float(np.abs(rows[0] - rows[1]).max())


def parse() -> argparse.Namespace:
    parser = command_line("grmp_cost", __doc__)
    parser.add_argument("--backbone", default="ViT-B-16:random")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: torch's choice")
    parser.add_argument("--images", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--steps", type=int, default=0, help="batches timed of an epoch; 0: all")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32, help="images an inference batch")
    parser.add_argument("--eval-images", type=int, default=64)
    parser.add_argument("--test", type=int, default=KONIQ_TEST)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--views", type=int, default=8)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--run-whole", action="store_true")
    return parser.parse_args()


def main() -> int:
    """Time everything and print it; 1 where the numbers differ."""
    options = parse()
    if options.threads:
        torch.set_num_threads(options.threads)
    print(f"{options.backbone} on {options.device}, {torch.get_num_threads()} threads")
    gap = difference(options)
    print(f"largest difference between keeping nothing and everything: {gap:.1e}")
    short = [("nothing kept, one forward for both", BASE), ("everything kept", Reuse())]
    first: tuple[list[float], float] | None = None
    for count in options.images:
        measured = training(count, short if first else ladder(), options)
        first = first or measured
    judged = evaluation(options)
    if first:
        whole((first[0][1], first[1], first[0][-1]), judged, options)
    if options.run_whole:
        run_whole(options)
    return int(gap > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
