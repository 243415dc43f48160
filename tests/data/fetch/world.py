"""A small database, its archive, and a list of sources that names the site of a test."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from huggingface_hub import constants

from bench.data import datasets
from bench.data.datasets._files import columns, find_file, read_table
from bench.data.datasets.base import DatasetInfo, DatasetReader
from bench.data.fetch import sources
from tests.data.datasets import layouts

if TYPE_CHECKING:
    import pandas as pd

NAMES = [f"{number}.png" for number in range(12)]


class Small(DatasetReader):
    """`scores.csv`: image, mos."""

    info = DatasetInfo(
        name="small",
        title="The Small Database",
        kind="authentic",
        label="mos",
        low=1.0,
        high=5.0,
        size=len(NAMES),
        homepage="https://example.org/small",
        licence="research use",
        citation="nobody",
        folders=("small", "SmallDB_release"),
    )
    marks = ("scores.csv",)
    image_folders = ("pictures", "img")

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        file = find_file(root, "scores.csv")
        return columns(read_table(file), {"image": "image", "score": "mos"})


def write(root: Path, pictures: str = "pictures") -> None:
    """The database in its layout."""
    layouts.pictures(root / pictures, NAMES)
    rows = [(name, f"{1 + number / 3:.3f}") for number, name in enumerate(NAMES)]
    layouts.table(root / "scores.csv", [("image", "mos"), *rows])


def tgz(
    folder: Path, build: Callable[[Path], Any] = write, inside: str = "SmallDB_release"
) -> bytes:
    """The archive of what `build` writes."""
    build(folder / inside)
    path = folder / "small.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for entry in sorted(folder.iterdir()):
            if entry != path:
                archive.add(entry, entry.name)
    return path.read_bytes()


def stand_in_for_the_hub(monkeypatch: pytest.MonkeyPatch, address: str, folder: Path) -> None:
    """The hub's client as HF_ENDPOINT and HF_HOME would have it, which it reads at its import."""
    end = address.rstrip("/")
    template = f"{end}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "ENDPOINT", end)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(folder / "no-token"))


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, listed: str) -> None:
    """The project as if it read `small`, and knew `listed` (YAML) as all sources."""
    readers = {**datasets._built_in(), "small": Small()}
    monkeypatch.setattr(datasets, "_built_in", lambda: readers)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "sources.yaml"
    file.write_text(listed)
    monkeypatch.setattr(sources, "FILE", file)
    sources.known.cache_clear()
