"""The tiny recipe trains a network that follows its prompt on a database that it has not seen."""

from __future__ import annotations

import numpy as np
import pytest

from bench.api import Context, LabelledSet
from bench.data import selection
from bench.data.data_cache import DataCache
from bench.data.splits import make_split
from bench.methods.promptiqa.method import PromptIQA
from bench.methods.promptiqa.settings import PromptIQASettings
from bench.metrics import compute
from bench.runs.execute.labels import normalise

UNSEEN = "demo_synthetic"
SEEN = ("demo_authentic", "demo_pretrain")


def labelled(cache: DataCache, name: str, rows: selection.Rows, method: PromptIQA) -> LabelledSet:
    dataset = cache.dataset(name)
    scores = normalise(dataset.quality, rows, "minmax_train", dataset)[rows]
    return selection.labelled(dataset, rows, cache.images(name, method.policy), scores)


@pytest.mark.slow
def test_inverting_the_prompt_turns_the_ranking_of_an_unseen_database() -> None:
    cache = DataCache([])
    split = make_split(cache.dataset(UNSEEN), repeat=0)
    settings = PromptIQASettings.model_validate({"backbone": "tiny"})
    trained = PromptIQA(settings, Context(seed=3))
    whole = {name: np.arange(len(cache.dataset(name))) for name in SEEN}
    list(trained.pretrain([labelled(cache, name, rows, trained) for name, rows in whole.items()]))
    train = labelled(cache, UNSEEN, split.train, trained)
    images = cache.images(UNSEEN, trained.policy).subset(split.test)
    quality = cache.dataset(UNSEEN).quality[split.test]
    found = {}
    for kind in ("none", "inverted"):
        changed = settings.model_copy(update={"perturbation": kind})
        prompted = PromptIQA(changed, Context(seed=3))
        prompted._loaded = trained._loaded
        list(prompted.fit(train))
        found[kind] = compute(["srcc"], prompted.predict(images), quality)["srcc"]
    assert found["none"] > 0.15
    assert found["inverted"] < -0.15
