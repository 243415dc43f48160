"""A run is named by what defines its result, and that name never changes by accident."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.model.identity import canonical, digest
from bench.model.records import FitSpec, PretrainSpec, RunSpec, SplitRule, Task

SPEC = RunSpec.of(
    Task(train="livec", test="livec", labels=50),
    test_digest="00" * 32,
    split=SplitRule(),
    split_digests=("00" * 32,),
    repeat=3,
    method="grmp",
    method_version="1",
    code="c0de",
    settings={"lambda": 5.0, "recipe": "paper", "note": "λ"},
    weights={"name": "ViT-B-16", "weights": "tag:openai"},
    pretrained="0123456789abcdef",
)


def test_a_runs_name_is_pinned() -> None:
    """If this fails, everybody's stored results would be computed again.

    Raise `SCHEMA`, say so in CHANGELOG.md, and only then change the expected value.
    """
    assert SPEC.run_id == "4442db5c79f1baa9"


def test_a_pretrainings_name_is_pinned() -> None:
    spec = PretrainSpec(
        method="grmp",
        method_version="1",
        code="c0de",
        settings={"inner_steps": 1},
        corpora={"tid2013": "11"},
    )
    assert spec.key == "ce00667065e4ea83"


@pytest.mark.parametrize(
    "change", [{"code": "other"}, {"method_version": "2"}, {"settings": {"inner_steps": 2}}]
)
def test_a_pretraining_that_is_written_differently_starts_alike(change: dict[str, object]) -> None:
    spec = PretrainSpec(
        method="grmp",
        method_version="1",
        code="c0de",
        settings={"inner_steps": 1},
        corpora={"tid2013": "11"},
    )
    assert spec.model_copy(update=change).seed == spec.seed
    assert spec.model_copy(update={"corpora": {"tid2013": "22"}}).seed != spec.seed


@pytest.mark.parametrize(
    "change",
    [
        {"train": "livec+koniq10k"},
        {"learn": "all"},
        {"labels": 100},
        {"sampling": "balanced"},
        {"split": SplitRule(seed=1)},
        {"split_digests": ("11" * 32,)},
        {"repeat": 4},
        {"annotations": "22" * 32},
        {"method": "promptiqa"},
        {"method_version": "2"},
        {"code": "other"},
        {"settings": {"lambda": 4.0, "recipe": "paper", "note": "λ"}},
        {"weights": {"name": "ViT-B-16", "weights": "sha256:0"}},
        {"pretrained": None},
        {"image_policy": "squash 224, cv2"},
        {"selection": "best_test"},
        {"monitored": "livec"},
        {"evaluate_every": 5},
        {"normalise": "range"},
    ],
)
def test_whatever_defines_what_is_learnt_changes_both_names(change: dict[str, object]) -> None:
    fit = SPEC.fit.model_copy(update=change)
    assert fit.fit_id != SPEC.fit.fit_id
    assert SPEC.model_copy(update={"fit": fit}).run_id != SPEC.run_id


@pytest.mark.parametrize(
    "change", [{"test": "koniq10k"}, {"side": "whole"}, {"test_digest": "11" * 32}]
)
def test_what_is_predicted_changes_the_runs_name_alone(change: dict[str, object]) -> None:
    other = SPEC.model_copy(update=change)
    assert other.run_id != SPEC.run_id
    assert other.fit.fit_id == SPEC.fit.fit_id


def test_a_copy_has_its_own_name_and_is_otherwise_equal() -> None:
    assert SPEC.run_id
    plain = RunSpec.model_validate(SPEC.model_dump())
    assert plain == SPEC
    assert SPEC.model_copy(update={"side": "whole"}).model_copy(update={"side": "own"}) == plain
    assert "run_id" not in SPEC.model_dump()
    assert "run_id" not in SPEC.model_dump_json()


def test_every_field_of_a_run_is_covered_above() -> None:
    def covered(test: Any) -> set[str]:
        return {key for change in test.pytestmark[0].args[1] for key in change}

    fit = covered(test_whatever_defines_what_is_learnt_changes_both_names)
    # A ratio and zero-shot exclude a budget; the settings of the specification above have one.
    assert fit | {"schema_version", "ratio", "zero_shot"} == set(FitSpec.model_fields)
    run = covered(test_what_is_predicted_changes_the_runs_name_alone)
    assert run | {"schema_version", "fit"} == set(RunSpec.model_fields)


def test_the_seed_is_the_same_for_every_method_on_one_split() -> None:
    fit = SPEC.fit
    other = fit.model_copy(update={"method": "promptiqa", "settings": {}, "pretrained": None})
    assert other.seed == fit.seed
    assert fit.model_copy(update={"repeat": 4}).seed != fit.seed


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
