"""`vlm:NAME` against a real HTTP server that misbehaves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from bench import registry
from bench.api import ArrayImages, BenchError, Context, OutOfBudgetError
from bench.methods.vlm.method import VisionLanguageModel
from bench.methods.vlm.server import Asker, RateLimit
from tests.methods.vlm.loopback import (
    LEVELS,
    MODEL,
    Loopback,
    by_comparison,
    by_number,
    serving,
)

KEY = "sk-secret-of-the-user"


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    with serving(Loopback()) as found:
        yield found


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def images(count: int = 6) -> ArrayImages:
    levels = np.linspace(20, 235, count)
    return ArrayImages([np.full((20, 24, 3), level, np.uint8) for level in levels])


def described(folder: Path, loopback: Loopback, **changes: Any) -> Path:
    """A YAML file about the server's model."""
    values = {
        "model": MODEL,
        "prompt": "How good is it?",
        "answer": {"kind": "levels"},
        "decoding": {"max_tokens": 1},
        "retest": 0,
        **changes,
    }
    values["server"] = {"url": loopback.url, "retries": 2, **changes.get("server", {})}
    path = folder / "eye.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def method(
    folder: Path, loopback: Loopback, replies: Path | None = None, **changes: Any
) -> VisionLanguageModel:
    cls, settings = registry.settings_for(f"vlm:{described(folder, loopback, **changes)}", {})
    found = cls(settings, Context(replies=replies))
    assert isinstance(found, VisionLanguageModel)
    return found


def patient(found: VisionLanguageModel) -> VisionLanguageModel:
    """The method with a server's client that does not wait between attempts."""
    found._asker = Asker(found.settings, wait=lambda seconds: None)
    return found


def expected(shown: ArrayImages) -> np.ndarray[Any, Any]:
    wanted = np.array([1 + 4 * image.mean() / 255 for image in shown])
    words = np.array(list(LEVELS.values()), dtype=float)
    chances = np.exp(-np.abs(words[None, :] - wanted[:, None]))
    found: np.ndarray[Any, Any] = (chances * words).sum(axis=1) / chances.sum(axis=1)
    return found


def test_levels_are_the_mean_under_a_softmax(tmp_path: Path, loopback: Loopback) -> None:
    shown = images()
    scores = method(tmp_path, loopback).predict(shown)
    np.testing.assert_allclose(scores, expected(shown), atol=1e-3)
    body = loopback.asked[0]
    assert (body["temperature"], body["max_tokens"], body["top_logprobs"]) == (0.0, 1, 20)
    assert loopback.keys == {KEY}


def test_the_beginning_of_the_answer_is_sent_for_the_model_to_go_on(
    tmp_path: Path, loopback: Loopback
) -> None:
    found = method(tmp_path, loopback, prefix="It is", system="Be brief.", image_first=False)
    found.predict(images(2))
    body = loopback.asked[0]
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant"]
    assert [part["type"] for part in body["messages"][1]["content"]] == ["text", "image_url"]
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)


@pytest.mark.parametrize("fault", ["busy", "broken", "dropped", "truncated", "malformed", "empty"])
def test_what_fails_for_now_is_asked_again(tmp_path: Path, loopback: Loopback, fault: str) -> None:
    loopback.faults = [fault, fault]
    shown = images(3)
    found = patient(method(tmp_path, loopback, server={"concurrency": 1}))
    np.testing.assert_allclose(found.predict(shown), expected(shown), atol=1e-3)
    assert len(loopback.asked) == 5


def test_a_slow_drip_ends_with_the_image_named(tmp_path: Path, loopback: Loopback) -> None:
    loopback.wait = 2.0
    found = patient(method(tmp_path, loopback, server={"timeout": 0.2, "retries": 1}))
    with pytest.raises(BenchError, match=r"did not score '0': no answer .* 2 times"):
        found.predict(images(1))


def test_a_key_that_a_server_echoes_is_taken_out(tmp_path: Path, loopback: Loopback) -> None:
    loopback.always = "echo"
    with pytest.raises(BenchError, match="status 401") as error:
        patient(method(tmp_path, loopback)).predict(images(1))
    assert KEY not in str(error.value)
    assert "[key]" in str(error.value)
    assert len(loopback.asked) == 1  # no use in asking again


def test_images_do_not_follow_a_redirect(tmp_path: Path, loopback: Loopback) -> None:
    loopback.always = "elsewhere"
    with pytest.raises(BenchError, match="status 307"):
        patient(method(tmp_path, loopback)).predict(images(1))


@pytest.mark.parametrize("fault", ["no_logprobs", "few_logprobs"])
def test_an_answer_without_all_words_is_counted_and_fails(
    tmp_path: Path, loopback: Loopback, fault: str
) -> None:
    loopback.faults = [fault]
    with pytest.raises(BenchError, match=r"1 of 6 answers could not be parsed, more than"):
        method(tmp_path, loopback).predict(images())


def test_what_may_be_unparsed_has_no_score_and_is_noted(tmp_path: Path, loopback: Loopback) -> None:
    loopback.faults = ["no_logprobs"]
    found = method(tmp_path, loopback, max_unparsed=0.2, server={"concurrency": 1})
    shown = images()
    scores = found.predict(shown)
    assert np.flatnonzero(np.isnan(scores)).tolist() == [0]
    np.testing.assert_allclose(scores[1:], expected(shown)[1:], atol=1e-3)
    assert found.notes == ["§ 1 of 6 answers could not be parsed; 1 images have no score"]


def test_numbers_are_read_from_tags(tmp_path: Path, loopback: Loopback) -> None:
    loopback.answer = by_number
    rule = {"kind": "number", "find": "answer", "range": [1, 5]}
    shown = images()
    scores = method(tmp_path, loopback, answer=rule).predict(shown)
    np.testing.assert_allclose(scores, [1 + 4 * i.mean() / 255 for i in shown], atol=1e-3)
    assert "logprobs" not in loopback.asked[0]


def test_comparisons_with_anchors_rank_images(tmp_path: Path, loopback: Loopback) -> None:
    from PIL import Image

    loopback.answer = by_comparison
    (tmp_path / "anchors").mkdir()
    for level in (60, 120, 200):
        Image.new("RGB", (20, 20), (level,) * 3).save(tmp_path / "anchors" / f"{level}.png")
    rule = {"kind": "compare", "anchors": "anchors"}
    scores = method(tmp_path, loopback, answer=rule).predict(images())
    assert (np.diff(scores) > 0).all()
    assert len(loopback.asked) == 3 * 2 + 6 * 3 * 2


def test_nothing_is_asked_twice(tmp_path: Path, loopback: Loopback) -> None:
    shown, replies = images(), tmp_path / "replies"
    first = method(tmp_path, loopback, replies).predict(shown)
    order = [3, 0, 5, 1, 4, 2]
    again = method(tmp_path, loopback, replies).predict(shown.subset(order))
    np.testing.assert_array_equal(again, first[order])
    assert len(loopback.asked) == len(shown)


def test_another_reading_of_the_answers_asks_nothing(tmp_path: Path, loopback: Loopback) -> None:
    shown, replies = images(), tmp_path / "replies"
    method(tmp_path, loopback, replies).predict(shown)
    words = {"excellent": 1, "good": 0.5, "fair": 0, "poor": -0.5, "bad": -1}
    rule = {"kind": "levels", "words": words}
    found = method(tmp_path, loopback, replies, answer=rule).predict(shown)
    np.testing.assert_allclose(found, (expected(shown) - 3) / 2, atol=1e-3)
    assert len(loopback.asked) == len(shown)


def test_another_model_behind_the_name_is_refused(tmp_path: Path, loopback: Loopback) -> None:
    loopback.model = "eye-2"
    with pytest.raises(BenchError, match="set served_as: eye-2"):
        method(tmp_path, loopback).predict(images(1))
    shown = images(2)
    found = method(tmp_path, loopback, served_as="eye-2").predict(shown)
    np.testing.assert_allclose(found, expected(shown), atol=1e-3)


def test_samples_are_averaged_and_their_spread_is_kept(tmp_path: Path, loopback: Loopback) -> None:
    changes: dict[str, Any] = {"samples": 3, "decoding": {"temperature": 1.0}}
    found = method(tmp_path, loopback, tmp_path / "replies", **changes)
    shown = images(4)
    np.testing.assert_allclose(found.predict(shown), expected(shown), atol=1e-3)
    assert len(loopback.asked) == 12
    assert found.per_image(shown)["answer_spread"].tolist() == pytest.approx([0] * 4)
    assert any("3 answers an image" in note for note in found.notes)


def test_a_retest_says_how_far_the_model_repeats_itself(tmp_path: Path, loopback: Loopback) -> None:
    found = method(tmp_path, loopback, retest=4)
    found.predict(images())
    assert found.notes == ["asked again about 4 images: 4 of 4 scores equal, mean difference 0"]
    assert len(loopback.asked) == 10


def test_a_budget_stops_and_the_rest_is_asked_later(
    tmp_path: Path, loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, replies = images(), tmp_path / "replies"
    monkeypatch.setenv("IQA_BENCH_MAX_TOKENS", "220")
    monkeypatch.setenv("IQA_BENCH_LEDGER", str(tmp_path / "spent"))
    with pytest.raises(OutOfBudgetError, match=r"stopped at --max-tokens 220 \(220 spent\)"):
        method(tmp_path, loopback, replies, server={"concurrency": 1}).predict(shown)
    assert len(loopback.asked) == 2
    monkeypatch.delenv("IQA_BENCH_MAX_TOKENS")
    method(tmp_path, loopback, replies).predict(shown)
    assert len(loopback.asked) == len(shown)


def test_a_cost_is_what_the_users_prices_make_of_tokens(
    tmp_path: Path, loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IQA_BENCH_MAX_COST", "0.0003")
    monkeypatch.setenv("IQA_BENCH_LEDGER", str(tmp_path / "spent"))
    server = {"concurrency": 1, "price": {"input": 1.0, "output": 10.0}}  # 0.0002 a request
    with pytest.raises(OutOfBudgetError, match=r"--max-cost 0.0003 \(0.0004 spent\)"):
        method(tmp_path, loopback, server=server).predict(images())
    assert len(loopback.asked) == 2


def test_a_rate_spaces_requests() -> None:
    waits: list[float] = []
    pace = RateLimit(60.0, waits.append)
    for _ in range(3):
        pace.take()
    assert waits == pytest.approx([0, 1, 2], abs=0.05)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"samples": 2}, "samples above 1 need decoding.temperature"),
        ({"answer": {"kind": "levels", "words": {"good": 1}}}, "two words"),
        ({"answer": {"kind": "number", "range": [5, 1]}}, "range"),
        ({"answer": {"kind": "compare", "anchors": "nowhere"}}, "not a folder"),
        ({"server": {"url": "localhost"}}, "http"),
        ({"promt": "?"}, "promt"),
    ],
)
def test_a_wrong_file_says_why(
    tmp_path: Path, loopback: Loopback, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(BenchError, match=reason):
        method(tmp_path, loopback, **changes)


def test_an_unknown_model_names_those_that_there_are() -> None:
    with pytest.raises(BenchError, match=r"did you mean 'q-align'"):
        registry.settings_for("vlm:q-alin", {})


def presets() -> Sequence[str]:
    return sorted(path.stem for path in Path("methods/vlm/presets").glob("*.yaml"))


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_valid(name: str) -> None:
    _, settings = registry.settings_for(f"vlm:{name}", {})
    assert settings.name == name


def test_where_a_model_is_reached_is_no_part_of_its_settings(
    tmp_path: Path, loopback: Loopback
) -> None:
    dumps = []
    for url in ("http://a/v1", "http://b/v1"):
        path = described(tmp_path, loopback, server={"url": url})
        dumps.append(registry.settings_for(f"vlm:{path}", {})[1].model_dump(mode="json"))
    assert dumps[0] == dumps[1]
    with contextlib.suppress(AttributeError):
        assert "server" not in dumps[0]
