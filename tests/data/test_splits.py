"""Splits: what holds for every dataset, checked on made-up ones; published splits on real files."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.datasets.base import Dataset, DatasetInfo, complete
from bench.data.selection import rows_digest
from bench.data.splits import Split, export, make_split
from bench.util.errors import DataError, UsageError


def dataset(
    images: int = 100, group_size: int = 1, name: str = "made_up", order: list[int] | None = None
) -> Dataset:
    """`images` samples in groups of `group_size` (1: no groups), rows permuted by `order`."""
    info = DatasetInfo(name, name, "user", "mos", 0, 1, images, "", "", "", (name,))
    table = pd.DataFrame({"image": [f"{i:04d}.png" for i in range(images)]})
    table["score"] = np.linspace(0, 1, images)
    if group_size > 1:
        table["reference"] = [f"ref{i // group_size}" for i in range(images)]
    if order is not None:
        table = table.iloc[order]
    return Dataset(info, Path(), complete(table, info))


def names(data: Dataset, rows: np.ndarray) -> set[str]:
    return set(data.table["image"].to_numpy()[rows])


def groups(data: Dataset, rows: np.ndarray) -> set[str]:
    return set(data.table["group"].to_numpy()[rows])


# -- properties -----------------------------------------------------------------------------------

shapes = st.tuples(st.integers(5, 120), st.integers(1, 6)).filter(lambda s: s[0] >= 4 * s[1])


@settings(max_examples=60, deadline=None)
@given(shapes, st.integers(0, 20), st.integers(0, 5), st.floats(0.1, 0.5), st.floats(0, 0.5))
def test_parts_are_disjoint_whole_and_tear_no_group(shape, repeat, seed, test, validation):
    data = dataset(*shape)
    split = make_split(data, repeat=repeat, seed=seed, test_fraction=test, validation=validation)
    rows = np.concatenate([split.train, split.val, split.test])
    assert sorted(rows) == list(range(len(data)))
    assert split.train.size
    assert split.test.size
    parts = [groups(data, part) for part in (split.train, split.val, split.test)]
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert bool(split.val.size) == (validation > 0)


@settings(max_examples=40, deadline=None)
@given(shapes, st.integers(0, 9), st.randoms(use_true_random=False), st.floats(0, 0.4))
def test_row_order_does_not_matter(shape, repeat, shuffle, validation):
    order = list(range(shape[0]))
    shuffle.shuffle(order)
    straight, mixed = dataset(*shape), dataset(*shape, order=order)
    first, second = (
        make_split(data, repeat=repeat, labels=2, validation=0) for data in (straight, mixed)
    )
    for part in ("train", "val", "test"):
        one = straight.table["image"].to_numpy()[getattr(first, part)]
        other = mixed.table["image"].to_numpy()[getattr(second, part)]
        assert one.tolist() == other.tolist()
    assert first.digest(straight) == second.digest(mixed)
    assert make_split(straight, repeat=repeat, validation=validation).digest(
        straight
    ) == make_split(mixed, repeat=repeat, validation=validation).digest(mixed)


@settings(max_examples=40, deadline=None)
@given(shapes, st.integers(0, 9), st.data())
def test_label_budgets_are_nested_and_in_the_pool(shape, repeat, draw):
    data = dataset(*shape)
    pool = make_split(data, repeat=repeat)
    small = draw.draw(st.integers(1, pool.train.size))
    large = draw.draw(st.integers(small, pool.train.size))
    few = make_split(data, repeat=repeat, labels=small)
    many = make_split(data, repeat=repeat, labels=large)
    assert few.train.size == small
    assert names(data, few.train) <= names(data, many.train) <= names(data, pool.train)
    assert few.test.tolist() == pool.test.tolist()


@settings(max_examples=40, deadline=None)
@given(shapes, st.integers(0, 9), st.floats(0.05, 0.75), st.floats(0.05, 0.75))
def test_training_ratios_are_nested_and_whole_groups(shape, repeat, one, other):
    data = dataset(*shape)
    low, high = sorted((one, other))
    few = make_split(data, repeat=repeat, ratio=low, test_fraction=0.2)
    many = make_split(data, repeat=repeat, ratio=high, test_fraction=0.2)
    assert names(data, few.train) <= names(data, many.train)
    table = data.table
    for group in groups(data, few.train):
        assert names(data, np.flatnonzero(table["group"] == group)) <= names(data, few.train)


def test_other_repeats_and_random_states_do_not_matter():
    data = dataset()
    alone = make_split(data, repeat=3)
    np.random.seed(1)  # noqa: NPY002  the global state must not matter
    make_split(data, repeat=2)
    assert make_split(data, repeat=3).test.tolist() == alone.test.tolist()


@pytest.mark.parametrize("group_size", [1, 3])
def test_equal_pictures_are_on_one_side_of_a_split(group_size):
    same = (("0001.png", "0010.png"), ("0010.png", "0020.png"), ("0030.png", "absent.png"))
    plain = dataset(60, group_size)
    data = replace(plain, duplicates=same)
    apart = 0
    for repeat in range(20):
        found, before = (
            make_split(item, repeat=repeat, validation=0.3, ratio=0.5) for item in (data, plain)
        )
        parts = [names(data, part) for part in (found.train, found.val, found.test)]
        for part in parts:
            assert len(part & {"0001.png", "0010.png", "0020.png"}) in (0, 3)
        torn = names(plain, before.test) & {"0001.png", "0010.png", "0020.png"}
        apart += len(torn) in (1, 2)
    assert apart  # without the list, they would be torn apart
    assert (set(data.units) == set(data.table["group"])) is False
    assert plain.units.tolist() == plain.table["group"].tolist()


def test_the_split_of_a_name_never_changes():
    split = make_split(dataset(10), repeat=0, labels=4, validation=0.25)
    assert [split.train.tolist(), split.val.tolist(), split.test.tolist()] == GOLDEN


GOLDEN = [[0, 5, 8], [9], [2, 3]]  # worked out by hand from the stated hash


@pytest.mark.parametrize("change", [{"repeat": 1}, {"repeat": 0, "seed": 1}])
def test_repeat_and_seed_change_the_split(change):
    data = dataset()
    assert make_split(data, repeat=0).digest(data) != make_split(data, **change).digest(data)


def test_another_name_is_another_split():
    one, other = dataset(name="a"), dataset(name="b")
    first, second = make_split(one, repeat=0), make_split(other, repeat=0)
    assert first.test.tolist() != second.test.tolist()


def test_label_versions_share_their_splits():
    data = dataset()
    info = DatasetInfo(
        "made_up", "", "user", "mos", 0, 1, 100, "", "", "", ("made_up",), version="v2"
    )
    other = Dataset(info, data.root, data.table)
    assert make_split(data, repeat=0).digest(data) == make_split(other, repeat=0).digest(other)


def test_names_are_ordered_by_the_hash_of_what_is_said():
    data = dataset(30)

    def key(name: str) -> bytes:
        text = json.dumps(["made_up", 4, 2, "test", name])
        return hashlib.sha256(text.encode()).digest()

    first = set(sorted(data.table["image"], key=key)[:6])
    assert names(data, make_split(data, repeat=2, seed=4).test) == first


def test_what_was_split_before_does_not_matter():
    used = dataset(60, 3)
    ways = [
        {"repeat": repeat, "seed": seed, "test_fraction": test, "labels": labels}
        for repeat in (0, 1)
        for seed in (0, 5)
        for test in (0.2, 0.4)
        for labels in (None, 5, 20)
    ]
    for way in [*ways, *reversed(ways)]:
        fresh = dataset(60, 3)
        assert make_split(used, **way).digest(used) == make_split(fresh, **way).digest(fresh)


def test_the_digest_of_rows_is_that_of_their_names_and_labels():
    data = dataset(12, order=[3, 1, 11, 0, 2, 5, 4, 10, 9, 8, 7, 6])
    rows = np.array([0, 4, 2])  # images 3, 2 and 11
    pairs = [[f"{i:04d}.png", format(i / 11, ".10g")] for i in (2, 3, 11)]
    text = json.dumps(["made_up", pairs], separators=(",", ":"))
    assert rows_digest(data, rows) == hashlib.sha256(text.encode()).hexdigest()


def test_eighty_twenty():
    split = make_split(dataset(1162), repeat=0)
    assert (split.train.size, split.test.size) == (930, 232)
    assert make_split(dataset(1162), repeat=0, ratio=0.8).train.size == 930


def test_validation_comes_out_of_the_labels():
    data = dataset()
    plain = make_split(data, repeat=0, labels=50)
    held = make_split(data, repeat=0, labels=50, validation=0.2)
    assert (held.train.size, held.val.size) == (40, 10)
    assert names(data, held.train) | names(data, held.val) == names(data, plain.train)


# -- cross-dataset and official -------------------------------------------------------------------


def test_cross_dataset():
    source, target = dataset(name="a"), dataset(40, name="b")
    train = make_split(source, repeat=0, validation=0.1, scheme="all")
    test = make_split(target, repeat=0, scheme="test")
    assert (train.train.size, train.val.size, train.test.size) == (90, 10, 0)
    assert (test.train.size, test.test.size) == (0, 40)


def test_official_split():
    data = dataset(10)
    data.table["official"] = ["train"] * 6 + ["val"] * 2 + ["test"] * 2
    split = make_split(data, repeat=4, scheme="official")
    assert [part.size for part in (split.train, split.val, split.test)] == [6, 2, 2]
    few = make_split(data, repeat=4, scheme="official", labels=3)
    assert names(data, few.train) < names(data, split.train)
    with pytest.raises(UsageError, match="no official split"):
        make_split(dataset(), repeat=0, scheme="official")


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": 81}, "budget of 81 labels, but the training pool has only 80"),
        ({"labels": 0}, "at least 1"),
        ({"ratio": 0.9}, "needs 90 groups, but the training pool has only 80 of 100"),
        ({"ratio": 1.5}, "at most at 1"),
        ({"labels": 5, "ratio": 0.1}, "not both"),
        ({"test_fraction": 1.0}, "between 0 and 1"),
        ({"validation": 1.0}, "below 1"),
        ({"validation": 0.5, "labels": 1}, "at least two groups"),
        ({"repeat": -1}, "count from 0"),
        ({"scheme": "offical"}, "Did you mean 'official'"),
        ({"scheme": "liqe"}, "needs the folder"),
        ({"scheme": "grmp", "labels": 81}, "only 80"),
    ],
)
def test_what_cannot_be_is_refused(settings, message, monkeypatch):
    monkeypatch.delenv("IQA_DATA", raising=False)
    monkeypatch.delenv("IQA_DATA_CONFIG", raising=False)
    with pytest.raises(UsageError, match=message):
        make_split(dataset(), **{"repeat": 0, **settings})


def test_too_few_groups_are_refused():
    with pytest.raises(UsageError, match="1 groups cannot be split"):
        make_split(dataset(8, 8), repeat=0)


# -- files ----------------------------------------------------------------------------------------


def test_export_and_back(tmp_path):
    data = dataset(60, 3)
    split = make_split(data, repeat=1, validation=0.2)
    digest = export(split, data, tmp_path / "out" / "split.csv")
    table = pd.read_csv(tmp_path / "out" / "split.csv", comment="#")
    assert table["part"].value_counts().to_dict() == {
        "train": split.train.size,
        "val": split.val.size,
        "test": split.test.size,
    }
    back = make_split(data, repeat=0, scheme="file", folder=tmp_path / "out" / "split.csv")
    assert back.digest(data) == digest == split.digest(data)
    assert digest in (tmp_path / "out" / "split.csv").read_text().splitlines()[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,side\na,train\n", "no column of parts"),
        ("image;part\na;train\n", "'a' is not an image"),
        ("image,part\nnone.png,train\n", "'none.png' is not an image"),
        ("image,part\n0000.png,train\n0000.png,test\n", "same image twice"),
    ],
)
def test_bad_split_files(tmp_path, text, message):
    (tmp_path / "split.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        make_split(dataset(), repeat=0, scheme="file", folder=tmp_path / "split.csv")


def write_arniqa(root: Path, name: str, parts: dict[str, list[list[int]]]) -> None:
    folder = root / "datasets" / name / "splits"
    folder.mkdir(parents=True)
    for part, rows in parts.items():
        np.save(folder / f"{part}.npy", np.array(rows, dtype=np.int64))


def test_arniqa_layout(tmp_path):
    data = dataset(10, name="spaq")
    parts = {"train": [[0, 1, 2, -1]], "val": [[3, 4]], "test": [[9, 8, -1]]}
    write_arniqa(tmp_path, "SPAQ", parts)
    split = make_split(data, repeat=0, scheme="arniqa", folder=tmp_path)
    assert [split.train.tolist(), split.val.tolist(), split.test.tolist()] == [
        [0, 1, 2],
        [3, 4],
        [8, 9],
    ]
    with pytest.raises(UsageError, match="has 1 splits"):
        make_split(data, repeat=1, scheme="arniqa", folder=tmp_path)
    with pytest.raises(DataError, match="no folder bid"):
        make_split(dataset(name="bid"), repeat=0, scheme="arniqa", folder=tmp_path)
    with pytest.raises(DataError, match="another dataset"):
        make_split(dataset(5, name="spaq"), repeat=0, scheme="arniqa", folder=tmp_path)


def test_arniqa_rows_in_another_order_are_noticed(tmp_path):
    write_arniqa(tmp_path, "CSIQ", {"train": [[0, 2]], "val": [[4]], "test": [[1, 3]]})
    with pytest.raises(DataError, match="another order"):
        make_split(dataset(20, 2, name="csiq"), repeat=0, scheme="arniqa", folder=tmp_path)


def test_liqe_layout(tmp_path):
    folder = tmp_path / "IQA_Database" / "koniq-10k" / "splits2" / "1"
    folder.mkdir(parents=True)
    for part, row in (("train", 0), ("val", 1), ("test", 2)):
        (folder / f"koniq10k_{part}_clip.txt").write_text(
            f"1024x768/000{row}.png\t3.1\tother realistic\tanimal\tinvalid\tinvalid\n"
        )
    split = make_split(dataset(name="koniq10k"), repeat=0, scheme="liqe", folder=tmp_path)
    assert [split.train.tolist(), split.val.tolist(), split.test.tolist()] == [[0], [1], [2]]
    with pytest.raises(DataError, match=r"no file 2/\*_train"):
        make_split(dataset(name="koniq10k"), repeat=1, scheme="liqe", folder=tmp_path)


def test_grmp_sequence():
    data = dataset(1169, name="koniq10k")
    reference = np.random.RandomState(2024)
    order = np.arange(1169)
    for repeat in range(3):
        reference.shuffle(order)
        train = reference.choice(order[:935], size=50, replace=False)
        split = make_split(data, repeat=repeat, scheme="grmp", labels=50)
        assert set(split.train) == set(train)
        assert set(split.test) == set(order[935:])


def test_grmp_counts_the_training_images_of_livec():
    with pytest.raises(UsageError, match="livec@1169"):
        make_split(dataset(1162, name="livec"), repeat=0, scheme="grmp", labels=50)


def test_promptiqa_sequence():
    split = make_split(dataset(586, name="bid"), repeat=0, scheme="promptiqa")
    assert (split.train.size, split.test.size) == (469, 117)
    kadid = dataset(81 * 5, 5, name="kadid10k")
    by_reference = make_split(kadid, repeat=0, scheme="promptiqa")
    assert not groups(kadid, by_reference.train) & groups(kadid, by_reference.test)
    with pytest.raises(UsageError, match="file system"):
        make_split(dataset(name="csiq"), repeat=0, scheme="promptiqa")


def test_a_split_is_frozen():
    split = make_split(dataset(), repeat=0)
    assert isinstance(split, Split)
    with pytest.raises(AttributeError):
        split.train = split.test  # type: ignore[misc]
