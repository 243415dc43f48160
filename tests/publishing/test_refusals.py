"""What is wrong with a submission is refused by name; what is hostile does no harm."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.publishing.conftest import Place, git


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


def card_of(text: str) -> Callable[[Place], None]:
    """A change that makes this the card."""

    def change(place: Place) -> None:
        (place.folder() / "card.yaml").write_text(text, encoding="utf-8")

    return change


def method_of(name: str) -> Callable[[Place], None]:
    """A change of what the card calls the method."""

    def change(place: Place) -> None:
        path = place.folder() / "card.yaml"
        card = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump({**card, "method": name}))

    return change


def file_called(name: bytes) -> Callable[[Place], None]:
    """A change that adds a file."""

    def change(place: Place) -> None:
        Path(os.fsdecode(os.fsencode(place.folder()) + b"/" + name)).write_text("{}")

    return change


def deep(suffix: str) -> Callable[[Place], None]:
    """A change that makes files of JSON nest without end."""

    def change(place: Place) -> None:
        for path in place.folder().glob(suffix):
            path.write_text("[" * 200_000)

    return change


def table_with(**columns: object) -> Callable[[Place], None]:
    """A change that gives a table of predictions another column."""

    def change(place: Place) -> None:
        path = place.first(".parquet")
        table = pd.read_parquet(path)
        more = {name: [value] * len(table) for name, value in columns.items()}
        table.assign(**more).to_parquet(path, index=False)

    return change


def a_prediction_that_is_none(place: Place) -> None:
    path = place.first(".parquet")
    table = pd.read_parquet(path)
    for column in [name for name in table if name.startswith("prediction")]:
        table.loc[0, column] = float("nan")
    table.to_parquet(path, index=False)


def an_image_twice(place: Place) -> None:
    path = place.first(".parquet")
    table = pd.read_parquet(path)
    table.iloc[0] = table.iloc[1]
    table.to_parquet(path, index=False)


def no_table(place: Place) -> None:
    place.first(".parquet").write_bytes(b"PAR1" + b"\xff" * 100 + b"PAR1")


def run_elsewhere(place: Place) -> None:
    path = place.folder() / "protocols" / "toys.json"
    found = json.loads(path.read_text())
    found["cells"][0]["runs"][0] = "../linear/" + found["cells"][0]["runs"][0]
    path.write_text(json.dumps(found))


def label_that_turns(place: Place) -> None:
    path = place.folder() / "protocols" / "toys.json"
    path.write_text(path.read_text().replace('"Linear"', '"Linear (\\u202e\\u001b[2J)"'))


def link_for_a_folder(place: Place) -> None:
    shutil.rmtree(place.folder())
    place.folder().symlink_to("/etc")


def link_for_all(place: Place) -> None:
    shutil.rmtree(place.folder().parent)
    place.folder().parent.symlink_to(".")
    (place.root / "linear").mkdir()
    (place.root / "linear" / "own.txt").write_text("a file of the board")


def another_repository(place: Place) -> None:
    path = place.folder() / "records" / "theirs"
    path.mkdir()
    git(path, "init", "-q")
    git(path, "commit", "-qm", "Theirs", "--allow-empty")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (card_of("method: " + "[" * 40_000), "card.yaml: nested more than 30 deep"),
        (card_of("method: " + "1" * 5_000), "not valid YAML: Exceeds the limit"),
        (card_of("method: 2024-02-31"), "not valid YAML: day is out of range"),
        (card_of("a: &a [x]\nmethod: [*a, *a]"), "aliases (*name) are not allowed"),
        (card_of("method: x\n" + "#" * 50_000), "card.yaml: is larger than 50,000 bytes"),
        (card_of('method: "a\\ud800"'), "unable to parse raw data as a unicode string"),
        (method_of("a\u202eb"), "U+202E, which readers would not see"),
        (method_of("a\n::error::b"), "expected a text on one line"),
        (deep("records/*/*/*.json"), "not valid JSON"),
        (deep("protocols/*.json"), "not valid JSON"),
        (deep("audits/*.json"), "has no passed audit"),
        (deep("baseline.json"), "is not what the records give"),
        (file_called(b"records/\n::error::x.json"), "records/ ::error::x.json: is not a file"),
        (file_called(b"audits/\xff\x1b[2J.json"), "is not a file of a submission"),
        (table_with(more=["a"]), "column 'more' holds list"),
        (table_with(more=b"a"), "column 'more' holds binary"),
        (table_with(prediction_val="a"), "column 'prediction_val' holds"),
        (no_table, "is not a table of predictions"),
        (a_prediction_that_is_none, "values that are not numbers"),
        (an_image_twice, "predictions name an image twice"),
        (run_elsewhere, "leaves the results folder"),
        (label_that_turns, "holds characters that readers would not see"),
        (link_for_a_folder, "submissions/linear is a link or another repository"),
        (link_for_all, "is a link; a submission is a folder of files"),
        (another_repository, "records/theirs is a link or another repository"),
    ],
)
def test_what_is_hostile_is_refused_and_does_no_harm(
    submitted: Place, change: Callable[[Place], None], reason: str
) -> None:
    """Nothing ends in a traceback, and a comment says why; the job's log keeps its lines."""
    submitted.commit()
    git(submitted.root, "branch", "-qf", "main", "submission")
    change(submitted)
    submitted.commit()
    ended = submitted.check()
    assert ended.returncode == 1, ended.text
    assert reason in ended.stdout, ended.text
    kinds = ("wrong: ", "incomplete: ", "note: ", "linear: ")
    assert all(line.startswith(kinds) for line in ended.stdout.splitlines()), ended.stdout
    assert "\x1b" not in ended.stdout
    assert "refused" in submitted.comment
    assert len(submitted.comment) < 60_000
    assert "passwd" not in ended.text  # what a link leads to is not even listed
