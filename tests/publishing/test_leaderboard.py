"""A leaderboard from end to end: real runs, a git repository, and submissions that are refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from bench import registry
from bench.model.audits import Audit, Property
from bench.store import Store
from tests.conftest import TOY_METHODS, Bench, Ended, run_cli
from tests.fake_results import EVIL

PROTOCOL = "title: Toys\ndatasets: [toy]\nlabels: [10]\nrepeats: 3\nmetrics: [srcc, plcc]\n"
METHODS = ("toy_linear", "toy_luminance")
CARD: dict[str, Any] = {
    "method": "Linear",
    "authors": ["A. Author"],
    "submitter": "ann",
    "paper": "https://papers.example/linear",
    "training_data": [],
    "hardware": "a CPU",
}


def git(folder: Path, *arguments: str) -> str:
    own = ("-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", "-C", str(folder), *own, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout


@dataclass
class Place:
    """A repository with a board, results to submit, and cards."""

    root: Path
    """The board's folder, a git repository whose branch main holds it."""
    results: Path
    data: Path

    def card(self, **changes: Any) -> Path:
        """A card's file."""
        path = self.root.parent / "card.yaml"
        path.write_text(yaml.safe_dump({**CARD, **changes}))
        return path

    def submit(
        self, name: str = "linear", row: str = "toy_linear", *more: str, **card: Any
    ) -> Ended:
        """`bench submit` of one method."""
        asked = ("--to", self.root, "--card", self.card(**card), "--name", name)
        return run_cli("submit", self.results, *asked, "--methods", row, *more)

    def commit(self, text: str = "Submit") -> None:
        """Commit whatever is in the folder."""
        git(self.root, "add", "-A")
        git(self.root, "commit", "-qm", text)

    def check(self, author: str = "ann") -> Ended:
        """What the workflow of a pull request runs."""
        out = self.root.parent / "comment.md"
        asked = ("--base", "main", "--author", author, "--out", out)
        return run_cli("leaderboard", "check", self.root, *asked)

    @property
    def comment(self) -> str:
        """What the last check wrote."""
        return (self.root.parent / "comment.md").read_text(encoding="utf-8")

    def folder(self, name: str = "linear") -> Path:
        """A submission's folder."""
        return self.root / "submissions" / name

    def first(self, suffix: str) -> Path:
        """A record or its predictions."""
        return min(self.folder().glob(f"records/*/*/*{suffix}"))


def audit(results: Path) -> None:
    """A passed audit of every method."""
    for record in Store(results).records(curve=False):
        fit = record.spec.fit
        held = [Property(name="a second run", holds=True)]
        Audit.of(fit.method, fit.settings, fit.code, "toy", "cpu", held).write(results)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, toy_data: Path) -> Path:
    """Results of two methods, and a board that knows the splits: copied for every test."""
    folder = tmp_path_factory.mktemp("made")
    bench = Bench(folder, toy_data)
    path = bench.protocol(PROTOCOL, "toys")
    own = {registry.OWN_FOLDERS: str(TOY_METHODS)}
    ended = bench.run(path, "--methods", ",".join(METHODS), **own)
    assert ended.returncode == 0, ended.text
    audit(bench.results)
    asked = ("--protocol", path, "--title", "Toys", "--data-root", toy_data)
    ended = bench("leaderboard", "init", folder / "board", *asked, **own)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.text
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path, toy_data: Path) -> Place:
    """A board on the branch main, and a branch to submit on."""
    root = tmp_path / "board"
    shutil.copytree(made / "board", root)
    git(tmp_path, "init", "-q", "-b", "main", str(root))
    found = Place(root, made / "results", toy_data)
    found.commit("Begin")
    git(root, "switch", "-qc", "submission")
    return found


@pytest.fixture
def submitted(place: Place) -> Place:
    """With a good submission that is not committed yet."""
    ended = place.submit()
    assert ended.returncode == 0, ended.text
    return place


def test_init_writes_what_a_repository_needs(place: Place) -> None:
    there = {path.relative_to(place.root).as_posix() for path in place.root.rglob("*")}
    assert {
        "leaderboard.yaml",
        "README.md",
        "card.example.yaml",
        "splits.json",
        "protocols/toys.yaml",
        ".github/workflows/check.yml",
        ".github/workflows/site.yml",
    } <= there
    assert yaml.safe_load((place.root / "leaderboard.yaml").read_text())["audit"] == "required"
    assert (place.root / "README.md").read_text().startswith("# Toys\n")
    check = yaml.safe_load((place.root / ".github/workflows/check.yml").read_text())
    # What reads a stranger's files must not be able to write.
    assert check["jobs"]["check"]["permissions"] == {"contents": "read"}
    assert "${{ github.event.pull_request.number }}" in json.dumps(check)
    site = yaml.safe_load((place.root / ".github/workflows/site.yml").read_text())
    for job in (*check["jobs"].values(), *site["jobs"].values()):
        for command in (step["run"] for step in job["steps"] if "run" in step):
            assert "${{" not in command  # a pull request's own words never reach a shell
    splits = json.loads((place.root / "splits.json").read_text())
    recorded = {record.spec.split_digest for record in Store(place.results).records()}
    assert {split["split_digest"] for split in splits} == recorded


def test_a_good_submission_is_accepted_and_rendered(submitted: Place, tmp_path: Path) -> None:
    submitted.commit()
    ended = submitted.check()
    assert (ended.returncode, "linear: accepted" in ended.stdout) == (0, True), ended.text
    assert "## linear: accepted by the checks" in submitted.comment
    assert "not ranked" in submitted.comment  # alone on the board
    assert run_cli("leaderboard", "check", submitted.root).returncode == 0
    git(submitted.root, "switch", "-q", "main")
    git(submitted.root, "merge", "-q", "submission")
    git(submitted.root, "switch", "-qc", "second")
    ended = submitted.submit("bright", "toy_luminance", submitter="bob")
    assert ended.returncode == 1, ended.text  # `Linear` is taken
    assert "the submission 'linear' is called Linear too" in ended.stdout
    card = {"submitter": "bob", "description": EVIL, "code": "javascript:alert(1)"}
    ended = submitted.submit("bright", "toy_luminance", method=EVIL, **card)
    assert ended.returncode == 0, ended.text
    submitted.commit()
    ended = submitted.check("bob")
    assert ended.returncode == 0, ended.text
    assert EVIL not in submitted.comment
    assert "Linear" in submitted.comment  # the best other row
    assert " of 2" in submitted.comment
    ended = run_cli("leaderboard", "site", submitted.root, "--out", tmp_path / "site")
    assert ended.returncode == 0, ended.text
    pages = {
        path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "site").rglob("*.html")
    }
    assert "submissions.html" in pages
    assert 'href="https://papers.example/linear"' in pages["submissions.html"]
    assert 'href="javascript' not in pages["submissions.html"]
    assert all(EVIL not in text for text in pages.values())
    assert "audited" in pages["index.html"]
    assert "Linear" in pages["index.html"]


def alter_predictions(place: Place) -> None:
    path = place.first(".parquet")
    table = pd.read_parquet(path)
    for column in [name for name in table if name.startswith("prediction")]:
        table[column] = table["quality"]
    table.to_parquet(path, index=False)


def alter_what_is_shown(place: Place) -> None:
    """Metrics come from `prediction_last`; pages show `prediction`."""
    path = place.first(".parquet")
    table = pd.read_parquet(path)
    table.assign(prediction=table["quality"]).to_parquet(path, index=False)


def alter_predictions_and_metrics(place: Place) -> None:
    """All of it made up, and the baseline left as it was."""
    alter_predictions(place)
    path = place.first(".json")
    record = json.loads(path.read_text())
    for values in record["metrics"].values():
        values.update(srcc=1.0, krcc=1.0)
    path.write_text(json.dumps(record))


def alter_labels(place: Place) -> None:
    path = place.first(".parquet")
    table = pd.read_parquet(path)
    table.assign(quality=table["prediction"]).to_parquet(path, index=False)


def undeclared(place: Place) -> None:
    path = place.first(".json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "trained_on": ["toy"]}))


def declared_by_the_card_alone(place: Place) -> None:
    path = place.folder() / "card.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "training_data": ["toy"]}))


def swap_runs(place: Place) -> None:
    path = place.folder() / "protocols" / "toys.json"
    found = json.loads(path.read_text())
    runs = found["cells"][0]["runs"]
    found["cells"][0]["runs"] = [runs[0], runs[0], runs[2]]
    path.write_text(json.dumps(found))


def drop_a_run(place: Place) -> None:
    path = place.first(".json")
    path.unlink()
    path.with_suffix(".parquet").unlink()


def add_code(place: Place) -> None:
    (place.folder() / "conftest.py").write_text("raise SystemExit('run')")


def add_a_link(place: Place) -> None:
    (place.folder() / "records" / "out").symlink_to("/etc")


def own_rules(place: Place) -> None:
    path = place.root / "leaderboard.yaml"
    path.write_text(path.read_text().replace('audit: "required"', 'audit: "shown"'))


def no_audit(place: Place) -> None:
    shutil.rmtree(place.folder() / "audits")


def bad_card(place: Place) -> None:
    (place.folder() / "card.yaml").write_text("method: !!python/object:os.system {}\n")


def lacking_card(place: Place) -> None:
    (place.folder() / "card.yaml").write_text("method: Linear\nauthor: me\n")


def leave_out_an_image(place: Place) -> None:
    path = place.first(".json")
    found = json.loads(path.read_text())
    path.write_text(json.dumps({**found, "sizes": {**found["sizes"], "unscored": 1}}))
    table = pd.read_parquet(path.with_suffix(".parquet"))
    table.iloc[1:].to_parquet(path.with_suffix(".parquet"))


def own_title(place: Place) -> None:
    path = place.folder() / "protocols" / "toys.json"
    found = json.loads(path.read_text())
    found["protocol"]["title"] = "The only table worth reading"
    path.write_text(json.dumps(found))


@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        (leave_out_an_image, 1, "1 of its test images have no score"),
        (own_title, 1, "its protocol has another title than the board's"),
        (alter_predictions, 1, "its predictions give"),
        (alter_what_is_shown, 1, "its columns 'prediction' and 'prediction_last' differ"),
        (alter_predictions_and_metrics, 1, "baseline.json: is not what the records give"),
        (alter_labels, 1, "images or labels beside its predictions are not those of its split"),
        (undeclared, 1, "its weights had seen labels of toy"),
        (declared_by_the_card_alone, 1, "card.yaml declares toy as seen by its weights"),
        (swap_runs, 1, "of repeat 0, not 1"),
        (drop_a_run, 1, "2 of 3 runs are done"),
        (add_code, 1, "conftest.py: is not a file of a submission"),
        (add_a_link, 1, "is a link"),
        (own_rules, 1, "changes files outside one's own submission: leaderboard.yaml"),
        (no_audit, 1, "has no passed audit"),
        (bad_card, 1, "not valid YAML"),
        (lacking_card, 1, "unknown key 'author'"),
    ],
)
def test_what_is_wrong_is_refused_by_name(
    submitted: Place, change: Callable[[Place], None], code: int, reason: str
) -> None:
    change(submitted)
    submitted.commit()
    ended = submitted.check()
    assert ended.returncode == code, ended.text
    assert reason in ended.stdout, ended.text
    assert "refused" in submitted.comment
    assert reason.partition("'")[0].strip(" ._") in submitted.comment.replace("\\", "")


def test_one_cannot_overwrite_anothers_submission(submitted: Place) -> None:
    submitted.commit()
    git(submitted.root, "branch", "-qf", "main", "submission")
    ended = submitted.submit(submitter="eve")
    assert (ended.returncode, "belongs to ann" in ended.stderr) == (2, True), ended.text
    card = submitted.folder() / "card.yaml"
    card.write_text(yaml.safe_dump({**yaml.safe_load(card.read_text()), "submitter": "eve"}))
    submitted.commit()
    ended = submitted.check("eve")
    assert (ended.returncode, "overwrites 'linear', which belongs to ann" in ended.stdout) == (
        1,
        True,
    )
    assert submitted.check("ann").returncode == 1  # the card is not ann's any more
    git(submitted.root, "reset", "-q", "--hard", "main")
    shutil.rmtree(submitted.folder())
    submitted.commit("Withdraw")
    assert submitted.check("eve").returncode == 1
    ended = submitted.check("ann")
    assert (ended.returncode, "withdraws 'linear'" in ended.stdout) == (0, True), ended.text


def test_one_changes_ones_own_and_sees_the_difference(submitted: Place) -> None:
    submitted.commit()
    git(submitted.root, "branch", "-qf", "main", "submission")
    assert submitted.submit(description="A better text").returncode == 0
    submitted.commit()
    ended = submitted.check()
    assert ended.returncode == 0, ended.text
    assert "Against the earlier version of this submission" in submitted.comment
    assert "| toy | 10 labels |" in submitted.comment


def test_another_split_is_refused(place: Place, bench: Bench) -> None:
    """By the board's own splits and, where it has none, by those of the first submission."""
    changed = bench.folder / "changed"
    shutil.copytree(place.data, changed)
    table = pd.read_csv(changed / "toy" / "scores.csv")
    table.assign(score=table["score"].round(1)).to_csv(changed / "toy" / "scores.csv", index=False)
    path = bench.protocol(PROTOCOL, "toys")
    ended = bench.run(path, "--methods", "toy_linear", IQA_DATA=str(changed))
    assert ended.returncode == 0, ended.text
    audit(bench.results)
    other = Place(place.root, bench.results, changed)
    ended = other.submit("second", method="Second")
    assert (ended.returncode, "another split than that of the board" in ended.stdout) == (1, True)
    (place.root / "splits.json").write_text("[]\n")
    assert place.submit("first", "toy_luminance", method="First").returncode == 0
    ended = other.submit("second", method="Second")
    expected = "another split than that of the submission 'first'"
    assert (ended.returncode, expected in ended.stdout) == (1, True), ended.text
    assert not other.folder("second").exists()


def test_another_seed_is_refused(place: Place, bench: Bench) -> None:
    path = bench.protocol(PROTOCOL, "toys")
    ended = bench.run(path, "--methods", "toy_linear", "--seed", "7", "--repeats", "2")
    assert ended.returncode == 0, ended.text
    audit(bench.results)
    ended = Place(place.root, bench.results, place.data).submit()
    assert ended.returncode == 1
    assert "is measured with seed=7; the board asks for seed=0" in ended.stdout
    assert "has 2 of 3 repeats" in ended.stdout


def test_fewer_repeats_are_incomplete(place: Place, tmp_path: Path) -> None:
    short = tmp_path / "short"
    shutil.copytree(place.results, short)
    path = short / "protocols" / "toys.json"
    found = json.loads(path.read_text())
    for cell in found["cells"]:
        cell["runs"] = cell["runs"][:2]
    path.write_text(json.dumps(found))
    ended = Place(place.root, short, place.data).submit()
    assert (ended.returncode, "has 2 of 3 repeats" in ended.stdout) == (3, True), ended.text
    assert not place.folder().exists()


def test_predictions_by_digest_where_the_board_takes_them(place: Place, tmp_path: Path) -> None:
    ended = place.submit("linear", "toy_linear", "--digests")
    assert (ended.returncode, "asks for predictions" in ended.stdout) == (1, True), ended.text
    path = place.root / "leaderboard.yaml"
    path.write_text(path.read_text().replace('predictions: "required"', 'predictions: "digests"'))
    ended = place.submit("linear", "toy_linear", "--digests")
    assert (ended.returncode, "were not computed again" in ended.stdout) == (0, True), ended.text
    assert list(place.folder().rglob("*.parquet")) == []
    assert len(json.loads((place.folder() / "digests.json").read_text())) == 3
    ended = run_cli("leaderboard", "site", place.root, "--out", tmp_path / "site")
    assert ended.returncode == 0, ended.text
    assert "as submitted" in (tmp_path / "site" / "submissions.html").read_text()


def test_what_is_asked_for_wrongly_is_a_usage_error(place: Place, tmp_path: Path) -> None:
    for arguments, expected in [
        (("leaderboard", "check", tmp_path), "is not a leaderboard"),
        (("leaderboard", "check", place.root, "--base", "nowhere"), "no such commit"),
        (("leaderboard", "check", place.root, "--base=--help"), "no such commit"),
        (("leaderboard", "check", place.root, "../x"), "cannot name a submission"),
    ]:
        ended = run_cli(*arguments)
        assert (ended.returncode, expected in ended.stderr) == (2, True), ended.text
    assert run_cli("leaderboard", "check", place.root).returncode == 0  # empty is fine
    assert run_cli("leaderboard", "site", place.root, "--out", tmp_path / "s").returncode == 0
    assert "There are no submissions yet" in (tmp_path / "s" / "index.html").read_text()
