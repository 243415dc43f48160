"""Methods against each other from stored results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.analysis.compare import across, table, within
from bench.stats import holm, nadeau_bengio, wilcoxon_signed_rank
from bench.store.table import load
from bench.util.errors import UsageError
from tests.conftest import run_cli
from tests.fake_results import FakeSweep

THREE = {"best": 0.3, "middle": 0.8, "worst": 2.0}
SIX = tuple(f"set_{index}" for index in range(6))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    root = tmp_path_factory.mktemp("results")
    return load(FakeSweep(root, noise=THREE, datasets=SIX).write())


def test_pairs_are_compared_over_their_common_splits(runs: pd.DataFrame) -> None:
    found = within(runs)
    assert [item.test for item in found] == list(SIX)
    first = found[0]
    assert first.n_splits == 10
    assert [(pair.first, pair.second) for pair in first.pairs] == [
        ("best", "middle"),
        ("best", "worst"),
        ("middle", "worst"),
    ]
    wide = runs[runs["test"] == SIX[0]].pivot(index="repeat", columns="label", values="srcc")
    tests = [nadeau_bengio(wide[pair.first] - wide[pair.second], 160, 40) for pair in first.pairs]
    assert [pair.corrected for pair in first.pairs] == tests
    assert [pair.corrected_holm for pair in first.pairs] == pytest.approx(
        holm([test.p_value for test in tests])
    )
    ranked = wilcoxon_signed_rank(wide["best"] - wide["middle"])
    assert first.pairs[0].signed_rank == ranked


def test_differences_are_counted_and_halved(runs: pd.DataFrame) -> None:
    pair = within(runs)[0].pairs[0]
    wide = runs[runs["test"] == SIX[0]].pivot(index="repeat", columns="label", values="srcc")
    differences = wide["best"] - wide["middle"]
    assert pair.median == pytest.approx(differences.median())
    assert (pair.higher, pair.lower) == ((differences > 0).sum(), (differences < 0).sum())


def test_the_same_test_images_at_every_repeat_are_said(runs: pd.DataFrame) -> None:
    assert not any(item.same_test for item in within(runs))
    assert all(item.same_test for item in within(runs.assign(train="pipal")))
    assert all(item.same_test for item in within(runs.assign(split_digest="official")))


def test_the_order_of_rows_does_not_matter(runs: pd.DataFrame) -> None:
    turned = runs.sample(frac=1, random_state=1)
    first = {
        pair.first + pair.second: pair for pair in within(turned[turned["test"] == SIX[0]])[0].pairs
    }
    for pair in within(runs)[0].pairs:
        other = first.get(pair.first + pair.second)
        if other is not None:
            assert other.corrected.mean == pytest.approx(pair.corrected.mean)


def test_all_against_one(runs: pd.DataFrame) -> None:
    found = within(runs, reference="middle")
    assert [(p.first, p.second) for p in found[0].pairs] == [
        ("middle", "best"),
        ("middle", "worst"),
    ]
    only = within(runs, methods=["best"], reference="middle")
    assert [(p.first, p.second) for p in only[0].pairs] == [("middle", "best")]
    with pytest.raises(UsageError, match="Did you mean 'middle'"):
        within(runs, methods=["midle"])
    with pytest.raises(UsageError, match="unknown metric"):
        within(runs, metric="midle")


def test_incomplete_methods_are_left_out_and_named(tmp_path: Path) -> None:
    factory = FakeSweep(tmp_path, noise=THREE, absent=frozenset({("worst", 1)}))
    runs = load(factory.write())
    found = within(runs)
    assert [(p.first, p.second) for p in found[0].pairs] == [("best", "middle")]
    assert found[0].left_out == {"worst": "9 of 10 runs have a value"}
    ranks = across(runs)[0]
    assert ranks.result.names == ("best", "middle")
    assert ranks.left_out == {"worst": "9 of 10 runs have a value on livec"}


def test_ranks_across_datasets(runs: pd.DataFrame) -> None:
    (found,) = across(runs)
    assert found.datasets == SIX
    assert found.result.names == ("best", "middle", "worst")
    assert found.result.ranks == (1.0, 2.0, 3.0)
    assert found.result.friedman is not None
    assert found.result.friedman.p_value == pytest.approx(np.exp(-6), rel=1e-6)
    (errors,) = across(runs, "rmse")
    assert errors.result.names == ("best", "middle", "worst")


def test_one_dataset_gives_no_ranks_and_one_method_no_pairs(runs: pd.DataFrame) -> None:
    assert across(runs[runs["test"] == SIX[0]]) == []
    alone = runs[runs["label"] == "best"]
    assert within(alone) == []
    assert across(alone) == []
    assert within(runs[runs["repeat"] == 0]) == []


def test_comparisons_as_rows(runs: pd.DataFrame) -> None:
    rows = table(within(runs))
    assert len(rows) == 18
    assert {"mean_difference", "low", "high", "p_holm", "wilcoxon_p_holm"} <= set(rows.columns)


def test_the_command(tmp_path: Path) -> None:
    root = tmp_path / "results"
    FakeSweep(root, noise=THREE, datasets=SIX).write()
    ended = run_cli("compare", root, "--csv", tmp_path / "pairs.csv", "--metric", "krcc")
    assert ended.returncode == 0
    assert "Nadeau–Bengio" in ended.text
    assert "Friedman p" in ended.text
    assert len(pd.read_csv(tmp_path / "pairs.csv")) == 18
    assert run_cli("compare", root, "--methods", "best").returncode == 3
    assert run_cli("compare", root, "--methods", "bst").returncode == 2
    assert run_cli("compare", root, "--protocol", "none").returncode == 2
