"""A run is named by what defines its result, and that name never changes by accident."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.model.identity import canonical, digest
from bench.model.records import PretrainSpec, RunSpec, SplitRule, Task

SPEC = RunSpec(
    task=Task(train="livec", test="livec", labels=50),
    split=SplitRule(),
    split_digest="00" * 32,
    repeat=3,
    method="grmp",
    method_version="1",
    settings={"lambda": 5.0, "recipe": "paper", "note": "λ"},
    weights={"name": "ViT-B-16", "weights": "tag:openai"},
    pretrained="0123456789abcdef",
)


def test_a_runs_name_is_pinned() -> None:
    """If this fails, everybody's stored results would be computed again.

    Raise `SCHEMA`, say so in CHANGELOG.md, and only then change the expected value.
    """
    assert SPEC.run_id == "db28a0ae49f162c5"


def test_a_pretrainings_name_is_pinned() -> None:
    spec = PretrainSpec(
        method="grmp", method_version="1", settings={"inner_steps": 1}, corpora={"tid2013": "11"}
    )
    assert spec.key == "634bd53389bd5365"


@pytest.mark.parametrize(
    "change",
    [
        {"task": Task(train="livec", test="livec", labels=100)},
        {"task": Task(train="livec", test="koniq10k", labels=50)},
        {"split": SplitRule(seed=1)},
        {"split_digest": "11" * 32},
        {"repeat": 4},
        {"annotations": "22" * 32},
        {"method": "promptiqa"},
        {"method_version": "2"},
        {"settings": {"lambda": 4.0, "recipe": "paper", "note": "λ"}},
        {"weights": {"name": "ViT-B-16", "weights": "sha256:0"}},
        {"pretrained": None},
        {"selection": "best_test"},
        {"evaluate_every": 5},
        {"normalise": "range"},
    ],
)
def test_whatever_defines_the_result_changes_the_name(change: dict[str, object]) -> None:
    assert SPEC.model_copy(update=change).run_id != SPEC.run_id


def test_a_copy_has_its_own_name_and_is_otherwise_equal() -> None:
    assert SPEC.run_id
    plain = RunSpec.model_validate(SPEC.model_dump())
    assert plain == SPEC
    assert SPEC.model_copy(update={"repeat": 4}).model_copy(update={"repeat": 3}) == plain
    assert "run_id" not in SPEC.model_dump()
    assert "run_id" not in SPEC.model_dump_json()


def test_every_field_of_a_run_is_covered_above() -> None:
    parametrised = test_whatever_defines_the_result_changes_the_name.pytestmark[0].args[1]
    covered = {key for change in parametrised for key in change}
    assert covered | {"schema_version"} == set(RunSpec.model_fields)


def test_the_seed_is_the_same_for_every_method_on_one_split() -> None:
    other = SPEC.model_copy(update={"method": "promptiqa", "settings": {}, "pretrained": None})
    assert other.seed == SPEC.seed
    assert SPEC.model_copy(update={"repeat": 4}).seed != SPEC.seed


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.text(), json_values, min_size=2, max_size=6))
def test_the_order_of_keys_does_not_matter(value: dict[str, object]) -> None:
    turned = dict(reversed(list(value.items())))
    assert canonical(turned) == canonical(value)
    assert digest(turned) == digest(value)


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical({"x": float("nan")})
