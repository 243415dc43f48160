"""A board in a git repository, with real runs to submit."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench import registry
from bench.model.audits import Audit, Property
from bench.store import Store
from tests.conftest import TOY_METHODS, Bench, Ended, run_cli

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


@pytest.fixture(scope="session")
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
