"""`bench audit` passes honest methods and finds every cheat."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import registry
from bench.model import audits
from tests.conftest import TOY_METHODS, Bench

CHEATS = Path(__file__).parents[1] / "cheats"


def audit(bench: Bench, method: str, *options: str) -> tuple[int, str]:
    found = bench(
        "audit", method, "--datasets", "toy", "--protocol", "standard", "--device", "cpu",
        "--results", bench.results, *options,
        **{registry.OWN_FOLDERS: f"{TOY_METHODS}:{CHEATS}"},
    )  # fmt: skip
    return found.returncode, found.stdout + found.stderr


def test_an_honest_learner_passes_and_the_finding_is_kept(bench: Bench) -> None:
    code, text = audit(bench, "toy_linear")
    assert code == 0, text
    assert text.count("holds") == 7
    (found,) = audits.read_all(bench.results).values()
    assert found.passed
    assert found.method == "toy_linear"
    assert found.code in text


@pytest.mark.parametrize("name", ["frame_predict", "class"])
def test_a_cheat_is_starved_or_found(bench: Bench, name: str) -> None:
    code, text = audit(bench, f"cheat_{name}")
    assert code == 1, text
    assert "nothing to audit" in text or "FAILS" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", ["frame_fit", "gc", "load", "disk"])
def test_the_other_cheats_too(bench: Bench, name: str) -> None:
    code, text = audit(bench, f"cheat_{name}")
    assert code == 1, text


def test_a_constant_has_nothing_to_audit(bench: Bench) -> None:
    code, text = audit(bench, "constant")
    assert code == 1
    assert "nothing to audit: every image got 0" in text
    (path,) = (bench.results / audits.FOLDER).glob("*.json")
    assert json.loads(path.read_text())["properties"][0]["holds"] is False


@pytest.mark.parametrize("method", ["oracle:toy"])
def test_what_is_exempt_is_refused_with_the_reason(bench: Bench, method: str) -> None:
    code, text = audit(bench, method)
    assert code == 2
    assert "given the labels on purpose" in text
