"""What continuous integration runs is there to be run by anybody."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.store import baseline

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def jobs(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    return found


def commands(path: Path) -> list[str]:
    return [step["run"] for job in jobs(path).values() for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_jobs_run_targets_that_exist(path: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", MAKEFILE, re.MULTILINE))
    asked = [line for line in commands(path) if line.startswith("make ")]
    words = [word for line in asked for word in line.split()[1:] if "=" not in word]
    assert words
    assert set(words) <= targets


def test_every_documented_job_is_one() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| (\w+) \| `make ([\w-]+)`", table, re.MULTILINE)
    found = jobs(ROOT / ".github" / "workflows" / "ci.yml")
    assert {name for name, _ in documented} == set(found)
    for name, target in documented:
        assert any(
            step.get("run", "").startswith(f"make {target}") for step in found[name]["steps"]
        )


def test_targets_explain_themselves() -> None:
    phony = MAKEFILE.partition(".PHONY:")[2].partition("\n\n")[0].replace("\\\n", " ").split()
    explained = set(re.findall(r'@echo "make ([\w-]+)', MAKEFILE))
    assert {name for name in phony if not name.startswith("ci-")} <= explained | {"clean", "help"}


def test_the_baseline_is_of_the_runs_that_are_checked() -> None:
    joined = MAKEFILE.replace("\\\n", " ")
    line = re.search(r"^REGRESSION := (.*)", joined, re.MULTILINE)
    assert line is not None
    methods = re.search(r"--methods (\S+)", line[1])
    repeats = re.search(r"--repeats (\d+)", line[1])
    assert methods is not None
    assert repeats is not None
    runs = baseline.read(ROOT / "baselines" / "demo.json")
    assert set(runs["method"]) == set(methods[1].split(","))
    assert set(runs["status"]) == {"done"}
    assert runs["repeat"].nunique() == int(repeats[1])
