"""What runs store beside their records: which images, which errors, what is complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.api import Context, Images, Method, Settings
from bench.model.images import ArrayImages
from bench.model.records import RunSpec, SplitRule, Task
from bench.runs.execute import keeping
from bench.store import Store, artifacts
from bench.store.validate import validate
from bench.util.errors import BenchError, StoreError

COUNT = 9
ALL = ("embeddings", "per_image", "attention")


class Shapes(Method):
    """Answers with arrays of given shapes."""

    name = "shapes"
    answers: dict[str, Any] = {}  # noqa: RUF012

    def predict(self, images: Images) -> Any:
        return np.zeros(len(images))

    def embed(self, images: Images) -> Any:
        return self.answers["embed"](len(images))

    def attend(self, images: Images) -> Any:
        return self.answers["attend"](len(images))

    def per_image(self, images: Images) -> Any:
        return {"number": self.answers["per_image"](len(images))}


class Plain(Method):
    """Predicts and nothing else."""

    name = "plain"

    def predict(self, images: Images) -> Any:
        return np.zeros(len(images))


def good() -> dict[str, Any]:
    return {
        "embed": lambda n: np.ones((n, 4)),
        "attend": lambda n: np.arange(n)[:, None, None] * np.ones((n, 2, 3)) / n,
        "per_image": lambda n: np.arange(n),
    }


def spec(repeat: int = 0, method: str = "shapes") -> RunSpec:
    return RunSpec.of(
        Task(train="livec", test="livec", labels=10),
        test_digest=f"{repeat}",
        split=SplitRule(),
        split_digests=(f"{repeat}",),
        repeat=repeat,
        method=method,
        method_version="1",
        code="c0de",
        settings={},
    )


def write(folder: Path, keep: tuple[str, ...] = ALL, **answers: Any) -> Store:
    store, method = Store(folder), Shapes(Settings(), Context())
    method.answers = {**good(), **answers}
    names = [f"{index}.png" for index in range(COUNT)]
    images = ArrayImages([np.zeros((4, 4, 3), np.uint8)] * COUNT, names)
    table = pd.DataFrame(
        {
            "image": names,
            "quality": np.arange(COUNT)[::-1] * 1.0,
            "reference": "",
            "distortion": ["blur"] + [""] * (COUNT - 1),
            "level": np.nan,
            "scene": "night",
        }
    )
    kinds = artifacts.able(Shapes) & set(keep)
    keeping.write(store, spec(), method, images, table, kinds)
    return store


def test_what_was_written_is_read(tmp_path: Path) -> None:
    store = write(tmp_path)
    features = artifacts.embeddings(store, spec())
    assert features is not None
    assert features.shape == (COUNT, 4)
    numbers = artifacts.per_image(store, spec())
    assert numbers is not None
    # Columns that the dataset does not know are left out.
    assert list(numbers.columns) == ["image", "distortion", "scene", "number"]
    assert list(numbers["number"]) == list(range(COUNT))
    found = artifacts.attention(store, spec())
    assert found is not None
    assert found.maps.shape == (6, 2, 3)
    assert list(found.rows) == sorted(found.rows, reverse=True)  # the worst image first
    assert artifacts.complete(store, spec(), ALL)


def test_a_run_is_complete_with_what_its_method_can_give(tmp_path: Path) -> None:
    store = write(tmp_path, keep=("per_image",))
    assert artifacts.complete(store, spec(), ("per_image",))
    assert not artifacts.complete(store, spec(), ALL)
    assert artifacts.complete(store, spec(), artifacts.able(Plain) & set(ALL))
    assert not artifacts.complete(store, spec(1), artifacts.able(Plain) & set(ALL))
    assert artifacts.embeddings(store, spec()) is None
    assert artifacts.attention(store, spec()) is None


@pytest.mark.parametrize(
    ("hook", "answer", "message"),
    [
        ("embed", lambda n: np.ones(n), "embed gave shape \\(9,\\) for 9 images"),
        ("attend", lambda n: np.ones((n - 1, 2, 2)), "attend gave shape \\(5, 2, 2\\) for 6"),
        ("attend", lambda n: np.full((n, 2, 2), np.nan), "attend gave values that are not numbers"),
        ("per_image", lambda n: np.ones(n + 1), "per_image 'number' gave shape \\(10,\\)"),
    ],
)
def test_wrong_answers_fail_the_run_by_name(
    tmp_path: Path, hook: str, answer: Any, message: str
) -> None:
    with pytest.raises(BenchError, match=f"shapes.{message}"):
        write(tmp_path, **{hook: answer})


def test_damaged_files_are_named(tmp_path: Path) -> None:
    store = write(tmp_path)
    for kind, read in zip(
        ALL, (artifacts.embeddings, artifacts.per_image, artifacts.attention), strict=True
    ):
        path = artifacts.path(store, spec(), kind)
        path.write_bytes(path.read_bytes()[:20])
        with pytest.raises(StoreError, match=path.name):
            read(store, spec())


def test_files_beside_records_are_no_records(tmp_path: Path) -> None:
    store = write(tmp_path)
    assert list(store.records()) == []
    assert store.problems == []
    assert not [item for item in validate(tmp_path).findings if item.kind == "wrong"]


@given(
    quality=st.lists(st.floats(1, 5), min_size=1, max_size=60),
    seed=st.integers(0, 2**60),
    count=st.integers(1, 8),
)
def test_shown_images_are_spread_over_quality(quality: list[float], seed: int, count: int) -> None:
    values = np.array(quality)
    rows = keeping.spread_rows(values, seed, count)
    assert len(set(rows.tolist())) == min(count, len(values))
    assert list(values[rows]) == sorted(values[rows])
    assert np.array_equal(rows, keeping.spread_rows(values, seed, count))
    # One of each part: the i-th lies between the quantiles of its part.
    ordered = np.sort(values)
    for part, row in zip(np.array_split(ordered, len(rows)), rows, strict=True):
        assert part[0] <= values[row] <= part[-1]
