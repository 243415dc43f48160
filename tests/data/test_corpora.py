"""What pre-training may learn from: test images, budgets, shared mixtures, a run's own database."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import protocol as protocols
from bench.data import selection
from bench.data.data_cache import DataCache
from bench.model.records import SplitRule, Task
from bench.store import Store
from bench.util.errors import UsageError
from bench.util.validation import validated
from tests.conftest import Bench

RULE = SplitRule()


@pytest.fixture
def data_cache(toy_data: Path) -> DataCache:
    return DataCache([toy_data])


def rows(data_cache: DataCache, name: str, task: Task, **how: bool) -> set[str]:
    given = {"alone": False, "split_alike": False, **how}
    found = data_cache.corpus_rows(name, [task], RULE, 0, **given)
    return set(data_cache.dataset(name).table["image"].iloc[found])


def side(data_cache: DataCache, task: Task, part: str) -> set[str]:
    (source,), _ = data_cache.sources(task, RULE, 0)
    return set(source.dataset.table["image"].iloc[getattr(source, part)])


def test_all_but_the_test_images_where_all_labels_are_granted(data_cache: DataCache) -> None:
    task = Task(train="toy", test="toy")
    assert rows(data_cache, "toy", task) == side(data_cache, task, "train")
    assert len(rows(data_cache, "toy2", task)) == 40


def test_a_mixture_leaves_a_database_out_of_which_few_labels_are_granted(
    data_cache: DataCache,
) -> None:
    task = Task(train="toy", test="toy", labels=10)
    assert rows(data_cache, "toy", task) == set()
    assert len(rows(data_cache, "toy2", task)) == 40
    assert rows(data_cache, "toy", Task(train="toy", test="toy", zero_shot=True)) == set()


def test_a_training_ratio_leaves_its_images(data_cache: DataCache) -> None:
    task = Task(train="toy", test="toy", ratio=0.3)
    assert len(rows(data_cache, "toy", task)) == 18
    assert rows(data_cache, "toy", task) == side(data_cache, task, "train")


def test_the_runs_own_database_gives_its_labelled_images(data_cache: DataCache) -> None:
    task = Task(train="toy", test="toy", labels=10)
    assert rows(data_cache, "toy", task, alone=True) == side(data_cache, task, "train")
    assert selection.corpus_names(["own"], Task(train="a@fsim", test="a@fsim")) == ["a"]
    assert selection.corpus_names(["own", "a@7"], Task(train="a@7", test="b")) == ["a@7"]
    with pytest.raises(UsageError, match="the database of each run"):
        selection.corpus_names(["own"], None)


def test_corpora_split_alike_are_the_same_for_every_task(data_cache: DataCache) -> None:
    own, other = Task(train="toy", test="toy"), Task(train="toy2", test="toy2")
    assert rows(data_cache, "toy", other, split_alike=True) == side(data_cache, own, "train")
    names = ["toy", "toy2"]
    shared = [
        data_cache.corpus_digests(names, [t], RULE, 0, split_alike=True) for t in (own, other)
    ]
    assert shared[0] == shared[1]
    assert shared[0] != data_cache.corpus_digests(names, [own], RULE, 1, split_alike=True)
    apart = [data_cache.corpus_digests(names, [t], RULE, 0) for t in (own, other)]
    assert apart[0] != apart[1]
    few = Task(train="toy", test="toy", labels=10)
    assert list(data_cache.corpus_digests(names, [few], RULE, 0)) == ["toy2"]


def test_a_shared_mixture_must_not_reach_beyond_a_budget() -> None:
    values = {"datasets": ["tid2013", "tid2013@fsim"], "split_corpora": True}
    allowed = validated(protocols.Protocol, {**values, "labels": {"tid2013@fsim": [10]}})
    assert [task.budget for task in allowed.tasks()] == ["all", "10"]
    with pytest.raises(UsageError, match="beyond its budget"):
        validated(protocols.Protocol, {**values, "labels": [10]})
    with pytest.raises(UsageError, match="pairs are tested on whole datasets"):
        validated(protocols.Protocol, {**values, "pairs": [["live", "csiq"]]})


SHARED = """
datasets: [toy, toy2]
repeats: 2
split_corpora: true
methods: [{method: toy_pretrained, set: {corpus: toy}}]
"""


def test_one_pretraining_a_repeat_serves_every_dataset(bench: Bench) -> None:
    path = bench.protocol(SHARED)
    planned = bench("plan", path, "--results", bench.results).stdout
    assert "pre-training of toy_pretrained on toy: 0 done, 2 to do" in planned
    done = bench.run(path)
    assert done.returncode == 0, done.stdout + done.stderr
    records = list(Store(bench.results).records())
    assert len(records) == 4
    assert len(list((bench.results / "pretrained").glob("*.safetensors"))) == 2
    for record in records:
        state = f"pretrained/toy_pretrained-{record.spec.fit.pretrained}.safetensors"
        seen = np.load(bench.results / state).tobytes().decode().split("|")
        twins = [r for r in records if r.spec.fit.pretrained == record.spec.fit.pretrained]
        assert {r.spec.task.test for r in twins} == {"toy", "toy2"}
        tested = Store(bench.results).predictions(
            next(r.spec for r in twins if r.spec.task.test == "toy")
        )
        assert len(seen) == 48
        assert not set(tested["image"]) & set(seen)
    planned = bench("plan", path, "--results", bench.results).stdout
    assert "pre-training of toy_pretrained on toy: 2 done, 0 to do" in planned


def test_a_budget_that_leaves_nothing_to_pretrain_on_is_an_error(bench: Bench) -> None:
    text = "datasets: [toy]\nlabels: [10]\nmethods: [{method: toy_pretrained, set: {corpus: toy}}]"
    # Its only corpus is the database itself: the labelled images are what it may learn from.
    assert bench("plan", bench.protocol(text)).returncode == 0
    zero = (
        "datasets: [toy]\nzero_shot: true\nmethods: [{method: toy_pretrained, set: {corpus: toy}}]"
    )
    result = bench("plan", bench.protocol(zero))
    assert result.returncode != 0
    assert (
        "toy_pretrained on toy: its tests and budget leave nothing of its corpora (toy)"
        in result.stderr
    )
