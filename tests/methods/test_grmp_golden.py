"""GRMP-IQA against what the authors' released classes compute, at full ViT-B/16 size."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.golden import FOLDER, __main__, grmp, state_dict_shapes


@pytest.fixture(scope="module")
def case() -> Iterator[dict[str, Any]]:
    """The authors' numbers; the model of 600 MB goes away with the module."""
    yield json.loads((FOLDER / "grmp.json").read_text())
    grmp.recipe_model.cache_clear()


def test_every_number_of_the_authors_classes(case: dict[str, Any]) -> None:
    comparisons = grmp.check(case)
    wrong = [f"{item.entry}: {item.error:.2g}" for item in comparisons if not item.ok]
    assert not wrong
    assert sum(item.entry.endswith("norm_gqua") for item in comparisons) == 101


def test_state_dict_has_the_names_and_shapes_of_the_released_files() -> None:
    ours = grmp.recipe_model().state_dict()
    assert {name: tuple(value.shape) for name, value in ours.items()} == state_dict_shapes("grmp")


def test_the_command_says_no_to_a_changed_number(
    case: dict[str, Any], tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = next(iter(case["per_tensor"]))
    case["per_tensor"][entry]["norm_gqua"] *= 1.001
    path = tmp_path / "case.json"
    path.write_text(json.dumps(case))
    assert __main__.main(["grmp", str(path)]) == 1
    assert entry in capsys.readouterr().out
