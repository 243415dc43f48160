"""An option that is parsed has an effect: where it would have none, it is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.protocol import Protocol
from bench.publishing.board import Rules, init
from tests.conftest import run_cli
from tests.fake_results import FakeSweep


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FakeSweep(tmp_path_factory.mktemp("r"), datasets=("livec",), repeats=2).write().root


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("get --weights grmp --datasets livec --yes", "--datasets, --yes: for a protocol"),
        ("get --weights grmp --set a=1 --data-root .", "--set, --data-root: for a protocol"),
        ("list methods --results R", "--results: for `bench list results`"),
        ("data get livec --check --yes --to R", "--to, --yes: not with --check"),
        ("data get --check --from home", "--from: not with --check"),
        ("data prepare livec --kernel cv2", "--kernel: for --resize"),
        ("data prepare livec --size 224", "--size: for --resize"),
        ("fit livec --method ridge --out x.safetensors --datasets koniq10k", "--datasets: for"),
        ("power few_shot --results R --srcc 0.5", "--srcc: for a simulation"),
        ("power few_shot --results R --agreement 0", "--agreement: for a simulation"),
        ("gmad R --one-way", "leaves both ways"),
        ("compare R R --methods a --no-images", "--methods, --no-images: within one"),
        ("compare R R --p1401 --csv x.csv", "--csv, --p1401: within one"),
        ("compare R --html x", "--html compares two results folders"),
        ("export R x.csv --data-root .", "--data-root: for --format manifest"),
        ("export R x --format manifest --selection val", "--selection: splits are the same"),
        ("latex R --notes --no-published", "--notes: about published numbers"),
        ("publish R --hub ann/results --dry-run --data-root .", "--data-root: for --images"),
        ("leaderboard check R --author ann", "--author: for --base"),
        ("leaderboard check R --base E", "--base: an empty value"),
        ("leaderboard check R E", "an empty argument after 'R'"),
        ("check R --against=", "--against: an empty value"),
        ("report E", "an empty argument after 'report'"),
        ("fit livec --method ridge --out x --set labels=[50]", "--set labels: without effect"),
        ("fit few_shot --method ridge --out x --set repeats=3", "--set repeats: without effect"),
        ("power few_shot --difference inf", "a finite number above 0"),
        ("run few_shot --datasets demo --dry-run --log nonsense", "nonsense"),
        ("plan few_shot --datasets demo --compile --exact", "--compile: --exact and"),
        ("plan few_shot --datasets demo --compile --deterministic", "--compile: --exact and"),
        ("run few_shot --datasets demo --scheduler x --dry-run", "--scheduler belongs to"),
    ],
)
def test_an_option_without_effect_is_refused(results: Path, command: str, said: str) -> None:
    place = {"R": str(results), "E": ""}
    ended = run_cli(*(place.get(word, word) for word in command.split()))
    told = ended.stderr.replace(str(results), "R")
    assert (ended.returncode, said in told) == (2, True), ended.text


def test_rules_of_a_board_that_is_there_are_not_overlooked(tmp_path: Path) -> None:
    protocol = Protocol(name="few_shot", datasets=("livec",), labels=(50,), repeats=2)
    init(tmp_path, [protocol], Rules(title="Made"))
    asked = ("leaderboard", "init", tmp_path, "--protocol", "standard", "--datasets", "livec")
    ended = run_cli(*asked, "--audit", "shown", "--title", "Other")
    assert (ended.returncode, "--title, --audit: " in ended.stderr) == (2, True), ended.text
    assert "change its leaderboard.yaml" in ended.stderr
    assert run_cli(*asked).returncode == 0
