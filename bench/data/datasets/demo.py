"""The rendered demo sets: made by the project itself on first use, kept in its cache folder."""

from __future__ import annotations

import hashlib
import shutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._files import columns, find_file, read_table
from bench.data.datasets._places import cache_folder
from bench.data.datasets.base import DatasetInfo, DatasetReader
from bench.data.demo import DEMO_SETS, DemoSet
from bench.util.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def _describe(demo: DemoSet) -> DatasetInfo:
    return DatasetInfo(
        name=demo.name,
        title=demo.title,
        kind="synthetic" if demo.has_references else "authentic",
        label="mos",
        low=1.0,
        high=5.0,
        size=demo.n_images,
        homepage="",
        licence="Apache-2.0",
        citation="Rendered by iqa-bench; its scores come from an observer model, not from people.",
        folders=(demo.name,),
        spread_kind="std",
        references=demo.has_references,
        demo=True,
    )


@cache
def _edition() -> str:
    """Names the state of the rendering code, so that a changed renderer renders anew."""
    from bench.data import demo

    digest = hashlib.sha256()
    package = Path(demo.__file__).parent
    for file in sorted(package.rglob("*.py")):
        digest.update(file.relative_to(package).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:12]


class DemoReader(DatasetReader):
    """Base of the demo sets: one rendered folder with images/ and table.csv."""

    pristine = ("{}",)

    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """The rendered table; its score is a MOS from 1 to 5."""
        file = find_file(root, "table.csv")
        names = ("image", "score", "spread", "raters", "reference", "distortion", "level", "scene")
        found = columns(read_table(file), {name: name for name in names})
        contents = found["reference"].where(found["reference"].notna(), found["image"]).astype(str)
        contents = contents.where(contents != "", found["image"].astype(str))
        return found.assign(official=[_official(self.info.name, name) for name in contents])

    def find(self, data_root: Path) -> Path | None:
        """The rendered folder in the cache, whatever the data root; None before the first use."""
        folder = self._folder()
        return folder if (folder / "table.csv").is_file() else None

    def obtain(self) -> Path:
        """Render the set, once for all processes; half-rendered sets never bear its name."""
        from filelock import FileLock

        from bench.data.demo.render import render_dataset

        folder = self._folder()
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{folder}.lock"):
                if not (folder / "table.csv").is_file():
                    partial = folder.with_suffix(".partial")
                    shutil.rmtree(partial, ignore_errors=True)
                    render_dataset(self.info.name, partial)
                    shutil.rmtree(folder, ignore_errors=True)
                    partial.rename(folder)
        except OSError as error:
            raise DataError(f"{self.info.name}: cannot be rendered to {folder}: {error}") from None
        return folder

    def _folder(self) -> Path:
        return cache_folder() / "demo" / f"{self.info.name}-{_edition()}"


def _official(dataset: str, content: str) -> str:
    """The side of a rendered scene in the set's official split: one in five is tested."""
    number = int(hashlib.sha256(f"{dataset}/{content}".encode()).hexdigest()[:8], 16)
    return "test" if number % 5 == 0 else "train"


class DemoAuthentic(DemoReader):
    """Mixed capture-like distortions, no references."""

    info = _describe(DEMO_SETS["demo_authentic"])


class DemoSynthetic(DemoReader):
    """References with distortion types and levels."""

    info = _describe(DEMO_SETS["demo_synthetic"])


class DemoPretrain(DemoReader):
    """More distortion types, for pre-training."""

    info = _describe(DEMO_SETS["demo_pretrain"])
