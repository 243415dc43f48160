"""`bench audit` passes honest methods and finds every cheat."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import registry, source
from bench.model import audits
from bench.runs import audit as audit_module
from tests.conftest import TOY_METHODS, Bench, Ended, run_cli

CHEATS = Path(__file__).parents[1] / "cheats"


@pytest.fixture(autouse=True)
def _runs_in_this_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The `bench run`s of an audit need no interpreters of their own; methods have processes."""

    def run(command: list[str], *, env: dict[str, str], **_: Any) -> Ended:
        return run_cli(*command[command.index("bench") + 1 :], environment=env)

    if request.node.get_closest_marker("cold") is None:
        monkeypatch.setattr(audit_module, "subprocess", SimpleNamespace(run=run))


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
    shown = bench.run_and_report(
        bench.protocol("datasets: [toy]\nrepeats: 1\nselection: last\nmethods: [toy_linear]\n")
    )
    assert shown.returncode == 0
    pages = "".join(p.read_text() for p in (bench.results / "report" / "methods").glob("*.html"))
    assert f"{found.code}, audited {found.created[:10]}" in pages
    board = (bench.results / "report" / "index.html").read_text()
    assert f"✓ audited {found.created[:10]}, code {found.code[:8]}" in board


@pytest.mark.parametrize("name", ["frame_predict", "class"])
def test_a_cheat_is_starved_or_found(bench: Bench, name: str) -> None:
    code, text = audit(bench, f"cheat_{name}")
    assert code == 1, text
    assert "nothing to audit" in text or "FAILS" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", ["frame_fit", "gc", "load", "disk", "features"])
def test_the_other_cheats_too(bench: Bench, name: str) -> None:
    code, text = audit(bench, f"cheat_{name}")
    assert code == 1, text


@pytest.mark.cold
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


def test_validate_can_demand_an_audit_and_results_list_by_code(bench: Bench) -> None:
    text = "datasets: [toy]\nlabels: [10]\nrepeats: 1\nmethods: [toy_luminance]\n"
    assert bench.run(bench.protocol(text)).returncode == 0
    assert bench("validate", bench.results).returncode == 0
    found = bench("validate", bench.results, "--audited")
    assert found.returncode == 1
    assert "toy_luminance: has no passed audit of its code" in found.stdout
    listed = bench("list", "results", "--results", bench.results).stdout
    assert "1 runs, code" in listed
    assert "(current)" in listed


def test_an_edited_method_has_new_runs_and_the_old_ones_can_be_accepted(bench: Bench) -> None:
    folder = bench.folder / "own"
    folder.mkdir()
    code = (
        "from bench.api import Method\n\n\nclass Edited(Method):\n    '''Edited.'''\n\n"
        "    name = 'edited'\n\n    def predict(self, images):\n"
        "        return [SCALE * image.mean() for image in images]\n\n\nSCALE = 1\n"
    )
    environment = {registry.OWN_FOLDERS: str(folder)}
    path = bench.protocol("datasets: [toy]\nrepeats: 2\nmethods: [edited]\n")

    def planned(*options: str) -> str:
        registry.entries.cache_clear()
        source.digest.cache_clear()
        return bench("plan", path, "--results", bench.results, *options, **environment).stdout

    (folder / "edited.py").write_text(code)
    assert bench.run(path, **environment).returncode == 0
    assert "2 done" in planned()
    (folder / "edited.py").write_text(code.replace("SCALE = 1", "SCALE = 1  # as before"))
    assert "2 done" in planned()
    (folder / "edited.py").write_text(code.replace("SCALE = 1", "SCALE = -1"))
    text = planned()
    assert "0 done, 0 failed, 2 to do" in text
    assert "2 runs of an older version of edited stay stored" in text
    digest = text.partition("--accept-code ")[2].split()[0]
    assert "2 done, 0 failed, 0 to do" in planned("--accept-code", digest)
    other = "0" * len(digest)
    ended = bench("plan", path, "--results", bench.results, "--accept-code", other, **environment)
    assert (ended.returncode, "no stored run of these rows" in ended.stderr) == (2, True)
