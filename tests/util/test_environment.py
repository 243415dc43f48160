"""What an installation says of itself: its version, and its commit where it is a clone."""

from __future__ import annotations

import os
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

import bench as package
from bench.util.environment import checkout
from tests.conftest import run_cli


def git(folder: Path, *arguments: str) -> str:
    identity = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in WHAT}
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(
        command, env={**os.environ, **identity}, capture_output=True, text=True, check=True
    ).stdout.strip()


WHAT = ("NAME", "EMAIL")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "First")
    return tmp_path


def test_a_checkout_has_a_commit_and_says_whether_it_was_changed(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    assert checkout(repository) == (head, False)
    (repository / "file").write_text("2")
    assert checkout(repository) == (head, True)


def test_an_enclosing_repository_is_not_ours(repository: Path) -> None:
    inside = repository / "env" / "site-packages"
    inside.mkdir(parents=True)
    assert checkout(inside) == ("", False)


def test_the_command_says_the_installed_version() -> None:
    printed = run_cli("--version")
    assert printed.returncode == 0
    assert printed.stdout.startswith(f"iqa-bench {metadata.version('iqa-bench')}")
    assert package.__version__ == metadata.version("iqa-bench")
