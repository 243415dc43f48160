"""Rendering again takes away what it wrote before and has no more, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.reports.cleanup import NAME, tidy


def write(out: Path, *names: str, text: str = "x") -> list[Path]:
    paths = [out / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return paths


def files(out: Path) -> set[str]:
    found = (path for path in out.rglob("*") if path.is_file() and path.name != NAME)
    return {path.relative_to(out).as_posix() for path in found}


def test_stale_files_go_and_those_of_others_stay(tmp_path: Path) -> None:
    assert tidy(tmp_path, write(tmp_path, "index.html", "methods/a.html", "methods/b.html")) == []
    write(tmp_path, "methods/mine.html", "notes.txt")
    assert tidy(tmp_path, write(tmp_path, "index.html", "methods/b.html")) == []
    assert files(tmp_path) == {"index.html", "methods/b.html", "methods/mine.html", "notes.txt"}


def test_a_folder_that_is_empty_then_goes_with_its_last_file(tmp_path: Path) -> None:
    tidy(tmp_path, write(tmp_path, "index.html", "figures/a.png"))
    tidy(tmp_path, write(tmp_path, "index.html"))
    assert not (tmp_path / "figures").exists()


def test_a_file_that_was_changed_stays_and_is_named(tmp_path: Path) -> None:
    tidy(tmp_path, write(tmp_path, "index.html", "methods/a.html"))
    write(tmp_path, "methods/a.html", text="my own words")
    notes = tidy(tmp_path, write(tmp_path, "index.html"))
    assert len(notes) == 1
    assert "methods/a.html" in notes[0]
    assert (tmp_path / "methods/a.html").read_text() == "my own words"


@pytest.mark.parametrize("name", ["../outside.txt", "link.txt", "/{tmp}/outside.txt"])
def test_nothing_outside_the_folder_is_touched(tmp_path: Path, name: str) -> None:
    outside = write(tmp_path, "outside.txt")[0]
    out = tmp_path / "report"
    (digest,) = json.loads(_list(tmp_path / "other", outside.read_text()))["files"].values()
    out.mkdir()
    (out / "link.txt").symlink_to(outside)
    named = name.replace("/{tmp}", str(tmp_path))
    (out / NAME).write_text(json.dumps({"files": {named: digest}}))
    tidy(out, write(out, "index.html"))
    assert outside.read_text() == "x"


def _list(folder: Path, text: str) -> str:
    tidy(folder, write(folder, "a", text=text))
    return (folder / NAME).read_text()


@pytest.mark.parametrize("text", ["", "[]", '{"files": 3}', '{"files": [1]}', "\xff"])
def test_a_broken_list_removes_nothing(tmp_path: Path, text: str) -> None:
    write(tmp_path, "methods/a.html")
    (tmp_path / NAME).write_text(text, encoding="latin-1")
    assert tidy(tmp_path, write(tmp_path, "index.html")) == []
    assert files(tmp_path) == {"index.html", "methods/a.html"}
