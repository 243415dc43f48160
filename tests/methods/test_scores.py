"""Scores from files: one, several, wrong ones, and on the leaderboard."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import registry
from bench.api import Context, Scores
from bench.methods.scores import PrecomputedScores, ScoresSettings
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
        ("image,score\na.png,nan\nsub/b.png,1\nc.png,2\n", "1 of 3 answers are empty"),
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


def scored(text: str, tmp_path: Path, **settings: object) -> PrecomputedScores:
    """The method on a JSON file."""
    (tmp_path / "found.json").write_text(text)
    given = {"name": "x", "file": tmp_path / "found.json", **settings}
    return PrecomputedScores(ScoresSettings.model_validate(given), Context())


def shown(*names: str) -> ArrayImages:
    return ArrayImages([np.zeros((4, 4, 3), np.uint8) for _ in names], names)


def test_logits_of_words_are_read_as_their_scripts_write_them(tmp_path: Path) -> None:
    five = {"excellent": 0.0, "good": 0.0, "fair": 0.0, "poor": 0.0, "bad": 0.0}
    text = json.dumps(
        [
            {"img_path": "koniq/a.jpg", "gt_score": 3, "logits": {**five, "good": 1.0}},
            {"img_path": "koniq/b.jpg", "gt_score": 1, "logits": {"good": 0.0, "poor": 1.0}},
        ]
    )
    names = ("a.jpg", "b.jpg")
    found = scored(text, tmp_path).predict(shown(*names))
    e = math.e
    assert found.tolist() == pytest.approx([(5 + 4 * e + 3 + 2 + 1) / (4 + e), 1 / (1 + e)])


def test_several_answers_are_averaged_and_missing_ones_counted(tmp_path: Path) -> None:
    rows = [{"image": "a", "s1": 1, "s2": 3}, {"image": "b", "s1": None, "s2": None}]
    names = ("a", "b")
    columns = {"score_column": "s1+s2"}
    with pytest.raises(DataError, match="2 of 4 answers are empty, more than max_unparsed"):
        scored(json.dumps(rows), tmp_path, **columns).predict(shown(*names))
    method = scored(json.dumps(rows), tmp_path, max_unparsed=0.5, **columns)
    found = method.predict(shown(*names))
    assert found[0] == 2
    assert np.isnan(found[1])
    assert method.notes[0] == "§ 2 of 4 answers are empty; 1 images have no score"
    kept = method.per_image(shown(*names))
    assert kept["answer_spread"].tolist() == pytest.approx([math.sqrt(2), 0])
    assert kept["unparsed"].tolist() == [0, 2]


@pytest.mark.parametrize("logits", [{"fine": 1.0}, {"good": "x", "poor": 1.0}])
def test_logits_of_other_words_are_named(tmp_path: Path, logits: dict[str, object]) -> None:
    text = json.dumps([{"image": "a", "logits": logits}])
    with pytest.raises(DataError, match="logits need numbers for excellent"):
        scored(text, tmp_path).predict(shown("a"))
