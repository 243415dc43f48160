"""The documentation's example of a new database and of a configuration work as they stand there."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import yaml

from bench.data import datasets
from bench.data.datasets._config import _File
from bench.data.datasets.base import Dataset, complete
from tests.data.datasets import layouts

TEXT = (Path(__file__).parents[3] / "docs" / "datasets.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None
    return found.group(1)


def test_the_example_of_a_new_database(tmp_path, monkeypatch):
    code = block("python")
    assert 30 <= len(code.splitlines()) <= 60
    module = types.ModuleType("epq")
    monkeypatch.setitem(sys.modules, "epq", module)
    exec(compile(code, "docs/datasets.md", "exec"), module.__dict__)
    reader = module.Epq()
    rows = [["picture", "original", "dmos", "std"], ["a.png", "A", 12.5, 3], ["b.png", "A", 90, 4]]
    layouts.table(tmp_path / "EPQ release 1" / "ratings.csv", rows)
    root = reader.find(tmp_path)
    data = Dataset(reader.info, reader.images(root), complete(reader.read(root), reader.info))
    assert data.quality.tolist() == [-12.5, -90]
    assert data.root.name == "pictures"


def test_the_example_of_a_configuration():
    _File.model_validate(yaml.safe_load(block("yaml")))


def test_every_database_and_version_is_in_the_documentation():
    for name in datasets.names([]):
        assert f"`{name}`" in TEXT
        for version in datasets.info(name).versions:
            assert f"@{version}`" in TEXT


def test_every_annotation_file_is_in_the_documentation():
    for name in datasets.names([]):
        if not datasets.info(name).demo and name != "spaq":
            for mark in datasets.reader(name).marks:
                assert Path(mark).stem.split(".")[0] in TEXT
