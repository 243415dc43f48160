"""Reading answers, and scales from comparisons."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.methods.vlm import answers, scale
from bench.methods.vlm.replies import Reply
from bench.methods.vlm.settings import NumberAnswer


@pytest.mark.parametrize(
    ("find", "text", "value"),
    [
        ("answer", "<think>2 of 5</think><answer>3.25</answer>", 3.25),
        ("answer", "<answer>1</answer> no: <ANSWER> 4 </ANSWER>", 4.0),
        ("answer", "<answer>between 2 and 3</answer>", None),
        ("answer", "3.5", None),
        ("json", '<answer>{"rating": 2.5}</answer>', 2.5),
        ("json", '{"rating": 1} then {"rating": "4.5"}', 4.5),
        ("json", '{"score": 4}', None),
        ("json", '{"rating": true}', None),
        ("json", '{"rating": null}', None),
        ("only", "I say 4.", 4.0),
        ("only", "4 of 5", None),
        ("last", "4 of 5", 5.0),
        ("last", "good", None),
        ("last", "1e3", None),
        ("last", "version2", None),
        ("only", "6", None),  # outside the range
        ("only", "-1", None),
    ],
)
def test_a_number_is_found_by_the_rule_alone(find: str, text: str, value: float | None) -> None:
    rule = NumberAnswer.model_validate({"find": find})
    assert answers.number(Reply(model="m", text=text), rule) == value


def test_tokens_of_one_word_add_up() -> None:
    found = answers.first_token({" good": np.log(0.3), "Good": np.log(0.2), "bad": np.log(0.1)})
    assert found == pytest.approx({"good": np.log(0.5), "bad": np.log(0.1)})


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=6))
def test_a_scale_gives_back_the_scores_that_made_the_chances(scores: list[float]) -> None:
    true = np.array(scores) - np.mean(scores)
    wins = 1 / (1 + np.exp(true[None, :] - true[:, None]))
    np.fill_diagonal(wins, np.nan)
    found = scale.scale(wins, prior=1e4)
    np.testing.assert_allclose(found, true, atol=1e-4)


@given(st.floats(-2, 2), st.lists(st.floats(-2, 2), min_size=1, max_size=5))
def test_an_item_is_placed_among_anchors(true: float, anchors: list[float]) -> None:
    known = np.array(anchors)
    wins = 1 / (1 + np.exp(known - true))
    assert scale.place(wins, known, prior=1e4) == pytest.approx(true, abs=1e-4)


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_a_prior_keeps_certain_comparisons_finite(chance: float) -> None:
    found = scale.place(np.full(5, chance), np.zeros(5))
    assert 1.0 < abs(found) < 3.0
    wins = np.array([[np.nan, chance], [1 - chance, np.nan]])
    assert np.isfinite(scale.scale(wins)).all()
