"""Protocols whose cells stand in several tables, as PromptIQA's Table 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import protocol as protocols
from bench.analysis import load
from bench.reports.render import render
from bench.reports.sections import sections
from bench.util.errors import UsageError
from bench.util.validation import validated
from tests.fake_results import FakeResults, maker, task


def mixed(root: Path, **changes: object) -> FakeResults:
    """Our row on a synthetic, a face and a user's database, with the paper's parts."""
    loaded = protocols.load("mixed_training").model_dump(mode="python")
    made = maker(root, **{**loaded, "metrics": ("srcc", "plcc"), **changes})
    for name in ("tid2013", "gfiqa20k", "mine"):
        made.cell("promptiqa", task(name, None), [0.8, 0.9])
    return made


def test_cells_stand_in_the_table_that_names_their_dataset(tmp_path: Path) -> None:
    made = mixed(tmp_path)
    summary = load(made.save()).summary
    found = [(heading, set(rows["dataset"])) for heading, rows in sections(summary, made.protocol)]
    assert found == [
        ("Synthetic distortion", {"tid2013"}),
        ("Faces", {"gfiqa20k"}),
        ("", {"mine"}),
    ]
    plain = made.protocol.model_copy(update={"parts": {}})
    assert [(heading, len(rows)) for heading, rows in sections(summary, plain)] == [("", 6)]


def test_each_part_is_a_table_with_its_own_printed_rows(tmp_path: Path) -> None:
    report = render(mixed(tmp_path).save())
    text = (report.out / "table.tex").read_text(encoding="utf-8")
    synthetic, faces, rest = text.split(r"\begin{table}")[1:]
    assert r"\caption{One model for twelve sets: Synthetic distortion" in synthetic
    assert r"\label{tab:mixed-training}" in synthetic
    assert r"\caption{One model for twelve sets: Faces" in faces
    assert r"\label{tab:mixed-training-part2}" in faces
    assert ("MANIQA" in synthetic, "MANIQA" in faces) == (True, False)
    assert ("TOPIQ-Face" in synthetic, "TOPIQ-Face" in faces) == (False, True)
    assert "published" not in rest
    page = (report.out / "index.html").read_text(encoding="utf-8")
    assert page.count('data-metric="srcc"') == 3
    assert page.count('type="radio"') == 2
    assert "<caption>Faces: SRCC" in page


def test_a_dataset_has_one_table() -> None:
    with pytest.raises(UsageError, match="'live' is in two of them"):
        validated(protocols.Protocol, {"parts": {"a": ["live"], "b": ["csiq", "live"]}})
