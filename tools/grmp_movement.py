"""How far GRMP-IQA's pre-training moves the prompts: the released loop beside Eq. 4-6 as printed.

`python -m tools.grmp_movement` pre-trains the tiny backbone on `demo_pretrain` by each recipe and
prints the loss of the first and the last epoch, ‖θ − θ₀‖ / ‖θ₀‖, the correlation with the labels
trained on before and after, and SRCC on both demo sets without any label of theirs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from bench.api import Context, ImagePolicy, LabelledSet
from bench.data import selection
from bench.data.data_cache import DataCache
from bench.methods.grmp.method import GRMP
from bench.methods.grmp.recipes import RecipeName
from bench.methods.grmp.settings import GrmpSettings
from bench.metrics import plcc, srcc
from bench.runs.execute.labels import normalise
from tools import command_line

CORPUS = "demo_pretrain"
TESTS = ("demo_authentic", "demo_synthetic")


def whole(cache: DataCache, name: str, policy: ImagePolicy) -> LabelledSet:
    """All of a database, labels in 0-1."""
    dataset = cache.dataset(name)
    rows = np.arange(len(dataset))
    scores = normalise(dataset.quality, rows, "minmax_train", dataset)
    return selection.labelled(dataset, rows, cache.images(name, policy), scores)


def line(recipe: RecipeName, options: argparse.Namespace, cache: DataCache) -> str:
    """One recipe's row."""
    settings = GrmpSettings(
        backbone="tiny",
        recipe=recipe,
        n_prompts=options.prompts,
        types_per_corpus=options.types,
        meta_epochs=options.epochs,
        corpus_kernel="pillow",
    )
    method = GRMP(settings, Context(seed=options.seed))
    corpus = whole(cache, CORPUS, method.corpus_policy)
    shown = whole(cache, CORPUS, method.policy)
    before = plcc(method.predict(shown.images), shown.scores)
    epochs = list(method.pretrain([corpus]))
    after = plcc(method.predict(shown.images), shown.scores)
    tests = [whole(cache, name, method.policy) for name in TESTS]
    found = [srcc(method.predict(one.images), one.scores) for one in tests]
    moved = epochs[-1].diagnostics["moved"]
    return (
        f"{recipe:9s} loss {epochs[0].loss:.4f} -> {epochs[-1].loss:.4f}  moved {moved:.4f}  "
        f"PLCC on its corpus {before:.3f} -> {after:.3f}  "
        + "  ".join(f"{name} {value:.3f}" for name, value in zip(TESTS, found, strict=True))
    )


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = command_line("grmp_movement", __doc__)
    parser.add_argument("--types", type=int, default=5, help="distortion types to pre-train on")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--prompts", type=int, default=8, help="visual tokens a layer")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--recipes", nargs="+", default=["paper", "default"])
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Print a line for each recipe."""
    options, cache = parse(arguments), DataCache([])
    for recipe in options.recipes:
        print(line(recipe, options, cache), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
