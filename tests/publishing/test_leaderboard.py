"""A leaderboard from end to end: real runs, a git repository, submissions and their site."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import yaml

from bench.store import Store
from tests.conftest import Bench, run_cli
from tests.fake_results import EVIL
from tests.publishing.conftest import PROTOCOL, Place, audit, git


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


def test_a_board_without_submissions_passes_and_says_so(place: Place, tmp_path: Path) -> None:
    shutil.rmtree(place.root / "submissions")  # git keeps no empty folder
    ended = run_cli("leaderboard", "check", place.root, "--out", tmp_path / "comment.md")
    assert (ended.returncode, ended.stdout) == (0, (tmp_path / "comment.md").read_text())
    assert ended.stdout.startswith("There is no submission yet")
    ended = run_cli("leaderboard", "site", place.root, "--out", tmp_path / "site")
    assert ended.returncode == 0, ended.text


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
