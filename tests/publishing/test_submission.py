"""Checks of submissions that take no run: made results, looked at by the board's rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from bench import protocol as protocols
from bench.protocol import Protocol
from bench.protocol.measures import measure_of
from bench.publishing import submitted_files
from bench.publishing.board import Board, Rules, as_yaml, init
from bench.publishing.board_site import build
from bench.publishing.comment import MOST, comment
from bench.publishing.submission import check, findings_in_words
from bench.reports.render import Rendered
from bench.store import Store
from bench.util.errors import UsageError
from tests.fake_results import FakeResults, task

CARD: dict[str, Any] = {
    "method": "Made",
    "authors": ["A. Author"],
    "submitter": "ann",
    "training_data": [],
    "hardware": "a CPU",
}


def board_of(folder: Path, **rules: Any) -> tuple[Board, Protocol]:
    """A board that knows no splits, without running anything."""
    protocol = Protocol(name="few_shot", datasets=("livec",), labels=(50,), repeats=2)
    init(folder, [protocol], Rules(title="Made", **rules))
    return Board.read(folder), protocol


def findings(board: Board, protocol: Protocol, name: str = "made", **cell: Any) -> list[str]:
    """What the check says of one made cell."""
    made = FakeResults(board.folder(name), protocol)
    made.cell("Made", task("livec", 50), [0.5, 0.6], **cell)
    made.save()
    (board.folder(name) / "card.yaml").write_text(yaml.safe_dump(CARD))
    return list(findings_in_words(check(board, name).found))


def test_a_comment_stays_short(tmp_path: Path) -> None:
    board, protocol = board_of(tmp_path)
    findings(board, protocol)
    for number in range(60):
        (board.folder("made") / f"extra-{number}.py").write_text("")
    text = comment(check(board, "made"))
    assert text.count("is not a file of a submission") == MOST
    assert "- and 20 more" in text


def test_scores_computed_elsewhere_pass_no_audit(tmp_path: Path) -> None:
    found = findings(*board_of(tmp_path / "a"), method="scores:mine")
    assert any("scores:mine: cannot be audited" in text for text in found)
    found = findings(*board_of(tmp_path / "b", audit="shown"), method="scores:mine")
    assert not any("audit" in text for text in found)


def test_what_a_known_method_declares_cannot_be_left_out(tmp_path: Path) -> None:
    """pyiqa's MUSIQ of that name was trained on SPAQ, whatever a record says."""
    protocol = Protocol(name="few_shot", datasets=("spaq",), labels=(50,), repeats=2)
    init(tmp_path, [protocol], Rules(title="Made"))
    board = Board.read(tmp_path)
    settings = {"metric": "musiq-spaq"}
    made = FakeResults(board.folder("made"), protocol)
    for run in made.cell("Made", task("spaq", 50), [0.5, 0.6], method="pyiqa:musiq-spaq"):
        spec = run.spec.learning(settings=settings)
        made.store.write(
            run.model_copy(update={"spec": spec, "run_id": spec.run_id}),
            made.store.predictions(run.spec),
        )
    made.save()
    (board.folder("made") / "card.yaml").write_text(yaml.safe_dump(CARD))
    found = list(findings_in_words(check(board, "made").found))
    assert any("pyiqa:musiq-spaq declares spaq as seen by its weights" in text for text in found)


def test_a_table_that_unpacks_to_gigabytes_is_not_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    board, protocol = board_of(tmp_path, max_megabytes=1)
    findings(board, protocol)
    path = next(board.folder("made").rglob("*.parquet"))
    many = pa.table({"quality": pa.repeat(1.0, 3_000_000)})
    parquet.write_table(many, path)
    assert path.stat().st_size < 100_000
    (text,) = findings_in_words(check(board, "made").found)
    assert text == "wrong: unpacks to 24 MB; the board takes 20"


def test_a_protocol_with_submissions_stays_as_it_is(tmp_path: Path) -> None:
    board, protocol = board_of(tmp_path)
    init(tmp_path, [protocol.model_copy(update={"repeats": 3})], board.rules)  # none yet
    assert Board.read(tmp_path).protocols["few_shot"].repeats == 3
    board.folder("mine").mkdir(parents=True)
    with pytest.raises(UsageError, match="give the changed protocol another name"):
        init(tmp_path, [protocol], board.rules)
    other = protocol.model_copy(update={"name": "other"})
    init(tmp_path, [other], board.rules)
    assert set(Board.read(tmp_path).protocols) == {"few_shot", "other"}


@pytest.mark.parametrize("name", sorted(protocols.available()))
def test_a_protocol_written_to_a_board_is_the_same_when_it_is_read(
    tmp_path: Path, name: str
) -> None:
    loaded = protocols.load(name)
    path = tmp_path / "protocol.yaml"
    path.write_text(as_yaml(loaded), encoding="utf-8")
    assert protocols.load(str(path)) == loaded


def test_a_long_text_that_is_repeated_is_counted_as_often(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pd.DataFrame({"image": ["x" * 100_000] * 5_000}).to_parquet(path)
    assert path.stat().st_size < 1e6
    assert submitted_files._unpacked(path) >= 5e8


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 7}, "measured with seed=7"),
        ({"test_fraction": 0.3}, "measured with test_fraction=0.3"),
        ({"split": "liqe"}, "measured with split=liqe"),
    ],
)
def test_runs_by_other_rules_are_refused_whatever_their_manifest_says(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    """Names and digests of the records are right, and the cells claim the board's rules."""
    board, protocol = board_of(tmp_path)
    made = FakeResults(board.folder("made"), protocols.override(protocol, change))
    made.cell("Made", task("livec", 50), [0.5, 0.6])
    claimed = {"measure": measure_of(protocol)}
    made.entries = [entry.model_copy(update=claimed) for entry in made.entries]
    made.protocol = protocol
    made.save()
    (board.folder("made") / "card.yaml").write_text(yaml.safe_dump(CARD))
    found = list(findings_in_words(check(board, "made").found))
    assert any(said in text for text in found), found


def test_a_submission_has_a_number_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board, protocol = board_of(tmp_path)
    findings(board, protocol)
    monkeypatch.setattr(submitted_files, "_MOST_FILES", 3)
    assert list(findings_in_words(check(board, "made").found)) == ["wrong: has more than 3 files"]


def test_a_submission_has_a_size(tmp_path: Path) -> None:
    board, protocol = board_of(tmp_path, max_megabytes=1)
    findings(board, protocol)
    with (board.folder("made") / "baseline.json").open("wb") as file:
        file.truncate(2_000_000)
    assert any(
        "has 2.0 MB; the board takes 1" in one
        for one in findings_in_words(check(board, "made").found)
    )


@pytest.mark.parametrize(("name", "taken"), [("ＭＡＤＥ", True), ("Made 2", False)])
def test_names_that_look_alike_are_one(tmp_path: Path, name: str, taken: bool) -> None:
    board, protocol = board_of(tmp_path)
    findings(board, protocol)
    findings(board, protocol, "second")
    card = board.folder("second") / "card.yaml"
    card.write_text(yaml.safe_dump({**CARD, "method": name}), encoding="utf-8")
    found = list(findings_in_words(check(board, "second").found))
    assert any("is called Made too" in text for text in found) == taken


def test_a_site_shows_no_image_wherever_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment of whoever renders it may name databases."""
    board, protocol = board_of(tmp_path / "board")
    findings(board, protocol)
    asked: list[Any] = []

    def rendered(store: Store, out: Path, roots: Any) -> Rendered:
        asked.extend(roots)
        return Rendered(out, pd.DataFrame())

    monkeypatch.setattr("bench.publishing.board_site.render", rendered)
    monkeypatch.setenv("IQA_DATA", str(tmp_path))
    build(board, tmp_path / "site")
    (root,) = asked
    assert not root.is_relative_to(tmp_path / "board")
    assert root != tmp_path
