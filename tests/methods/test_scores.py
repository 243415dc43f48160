"""Scores from files: one, several, wrong ones, and on the leaderboard."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import registry
from bench.api import Context, Scores
from bench.model.images import ArrayImages
from bench.util.errors import DataError, UsageError
from tests.conftest import Bench

NAMES = ("a.png", "sub/b.png", "c.png")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IQA_BENCH_SCORES", str(tmp_path))
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def ask(text: str, names: tuple[str, ...] = NAMES, **settings: Any) -> Scores:
    cls, validated = registry.settings_for(text, settings)
    shown = ArrayImages([np.zeros((4, 4, 3), np.uint8)] * len(names), names)
    return cls(validated, Context()).predict(shown)


def test_scores_are_found_by_name_in_any_order(folder: Path) -> None:
    write(folder / "mine.csv", "score,image,note\n3,c.png,x\n1,a.png,\n2,sub\\b.png,\n9,d.png,\n")
    assert ask("scores:mine").tolist() == [1, 2, 3]
    assert ask("scores:mine", lower_better=True).tolist() == [-1, -2, -3]
    assert ask("scores:other", file=folder / "mine.csv").tolist() == [1, 2, 3]


def test_databases_that_share_names_are_told_apart(folder: Path) -> None:
    write(folder / "many" / "one.csv", "image,score\na.png,1\nsub/b.png,2\nc.png,3\n")
    write(folder / "many" / "two.csv", "image,score\na.png,7\nz.png,8\n")
    assert ask("scores:many").tolist() == [1, 2, 3]
    assert ask("scores:many", ("a.png", "z.png")).tolist() == [7, 8]
    write(folder / "col.csv", "dataset,image,score\none,a.png,1\ntwo,a.png,7\ntwo,z.png,8\n")
    assert ask("scores:col", ("z.png", "a.png")).tolist() == [8, 7]
    with pytest.raises(DataError, match="several files or datasets have these images"):
        ask("scores:col", ("a.png",))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("image,quality\na.png,1\n", "no column 'score'"),
        ("image,score\na.png,high\n", r"bad\.csv:2: score 'high' is not a number"),
        ("image,score\na.png,nan\n", "is not a number"),
        ("image,score\na.png,1\na.png,2\n", r"bad\.csv:3: a second score for 'a\.png'"),
        ("image,score\na.png,1\n", r"no score for 2 of 3 images \(sub/b\.png, c\.png\)"),
    ],
)
def test_wrong_files_are_named(folder: Path, text: str, says: str) -> None:
    write(folder / "bad.csv", text)
    with pytest.raises(DataError, match=says):
        ask("scores:bad")


def test_missing_files_say_where_they_belong(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"no scores 'nobody'.*nobody\.csv.*IQA_BENCH_SCORES"):
        ask("scores:nobody")


def test_new_scores_are_a_new_run(folder: Path) -> None:
    write(folder / "mine.csv", "image,score\na.png,1\n")
    _, before = registry.settings_for("scores:mine", {})
    write(folder / "mine.csv", "image,score\na.png,2\n")
    _, after = registry.settings_for("scores:mine", {})
    assert before.model_dump()["content"] != after.model_dump()["content"]
    with pytest.raises(UsageError, match="changed since the run was planned"):
        registry.settings_for("scores:mine", before.model_dump())


def test_they_stand_on_the_leaderboard(bench: Bench) -> None:
    with (bench.data / "toy" / "scores.csv").open() as file:
        rows = [(row["image"], float(row["score"])) for row in csv.DictReader(file)]
    lines = [f"{image},{-score}" for image, score in rows]
    write(bench.folder / "scores" / "perfect.csv", "\n".join(["image,score", *lines, ""]))
    protocol = bench.protocol(
        "datasets: [toy]\nlabels: [10]\nrepeats: 2\n"
        "methods: [{method: 'scores:perfect', label: MATLAB, set: {lower_better: true}}]\n"
    )
    result = bench.run_and_report(protocol)
    assert result.returncode == 0, result.stdout + result.stderr
    with (bench.results / "report" / "summary.csv").open() as file:
        found = [row for row in csv.DictReader(file) if row["metric"] == "srcc"]
    assert found[0]["label"] == "MATLAB"
    assert float(found[0]["median"]) == pytest.approx(1)
