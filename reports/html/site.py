"""What the pages share: where everything is, and what every page says of itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import metadata
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.analysis import costs
from bench.analysis.compare import Comparisons, compare_all
from bench.analysis.grid import Grid, GridCell, grid, number, signed
from bench.analysis.published import NOTHING, Printed
from bench.analysis.results import CellResult, Results
from bench.model import audits, cards
from bench.model.audits import Audit
from bench.model.cards import SubmissionCard
from bench.model.records import FitSpec
from bench.reports.figures.sheet import DrawnFigure
from bench.reports.worst import Thumbnails
from bench.util.atomic import write_text
from bench.util.filenames import slug

if TYPE_CHECKING:
    import jinja2
    import pandas as pd

    from bench.protocol import Protocol

HERE = Path(__file__).parent
DEMO = (
    "Rendered demo data",
    "Images come from a program and scores from an observer model: for trying the harness, no "
    "reproduction of any paper.",
)
TINY = (
    "Tiny backbone",
    "A small network trained on rendered scenes: for trying the harness, no reproduction of any "
    "paper.",
)
BOTH = (
    "Rendered demo data, tiny backbone",
    "For trying the harness, no reproduction of any paper: images come from a program, scores from "
    "an observer model, and the network is a small one.",
)


@dataclass(frozen=True)
class Site:
    """All that pages are made from."""

    results: Results
    summary: pd.DataFrame
    out: Path
    """The report's folder."""
    figures: list[DrawnFigure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was left out and why."""
    printed: Printed = NOTHING
    """Published numbers."""
    warnings: list[str] = field(default_factory=list)
    """Sanity rows that show the table to be wrong."""
    contests: list[tuple[str, str, str]] = field(default_factory=list)
    """Protocol, title and address of the gMAD pages."""
    gains: dict[str, list[str]] = field(default_factory=dict)
    """Protocol -> first places that its databases cannot show, in words."""
    thumbnails: Thumbnails | None = None
    """Small images of the worst errors; None: errors are named alone."""

    @cached_property
    def comparisons(self) -> list[Comparisons]:
        """Methods against each other, protocol by protocol."""
        return compare_all(self.results)

    @cached_property
    def costs(self) -> pd.DataFrame:
        """What each row costs (`bench.analysis.costs`)."""
        return costs.frame(self.results)

    @cached_property
    def cards(self) -> dict[str, SubmissionCard]:
        """The cards of a leaderboard's submissions, by submission; {} for one's own results."""
        return cards.read_all(self.results.store.root)

    @cached_property
    def _audits(self) -> dict[str, Audit]:
        return audits.read_all(self.results.store.root)

    def audited(self, fit: FitSpec) -> str:
        """The day on which a fit's code passed an audit under its settings; '' if it has not."""
        found = self._audits.get(audits.key_of(fit.method, fit.settings, fit.code))
        return found.created[:10] if found is not None and found.passed else ""

    @cached_property
    def audit_marks(self) -> dict[str, str]:
        """Label -> day and code of its audit, for methods all of whose runs are of audited code."""
        fits: dict[str, dict[str, FitSpec]] = {}
        for cell in self.results.cells:
            for run in cell.done:
                fit = run.spec.fit
                key = audits.key_of(fit.method, fit.settings, fit.code)
                fits.setdefault(cell.entry.label, {})[key] = fit
        days = {label: [self.audited(fit) for fit in of.values()] for label, of in fits.items()}
        return {
            label: f"audited {max(days[label])}, code "
            + ", ".join(sorted({fit.code[:8] for fit in of.values()}))
            for label, of in fits.items()
            if all(days[label])
        }

    def title_of(self, protocol: Protocol) -> str:
        """What pages call a protocol: its title, with its name where two share the title."""
        title = protocol.title or protocol.name
        same = [one for one in self.results.protocols if (one.title or one.name) == title]
        return title if len(same) == 1 else f"{title} ({protocol.name})"

    @cached_property
    def methods(self) -> dict[str, str]:
        """Label -> file of its page."""
        return _files((cell.entry.label for cell in self.results.cells), "methods")

    @cached_property
    def datasets(self) -> dict[str, str]:
        """Dataset that is predicted -> file of its page."""
        return _files((cell.entry.task.test for cell in self.results.cells), "datasets")

    @cached_property
    def places(self) -> dict[int, str]:
        """Identity of a cell -> its place on its method's page."""
        return {
            id(cell): f"{self.methods[cell.entry.label]}#c{number}"
            for number, cell in enumerate(self.results.cells, 1)
        }

    def place(self, cell: CellResult) -> str:
        """Where a cell is told in full."""
        return self.places[id(cell)]

    def numbers(self, cell: CellResult) -> dict[str, GridCell]:
        """What tables print of a cell, by metric; empty for a protocol without labels."""
        if cell.protocol.name not in self._grids:
            return {}
        entry, arranged = cell.entry, self._grids[cell.protocol.name]
        row = (entry.label, entry.selection)
        task = (entry.task.train, entry.task.test, entry.task.budget)
        found = {name: arranged.cells.get((row, (*task, name))) for name in cell.metrics}
        return {name: item for name, item in found.items() if item is not None}

    @cached_property
    def _grids(self) -> dict[str, Grid]:
        columns = ("train", "test", "labels", "metric")
        return {
            str(name): grid(rows, columns=columns)
            for name, rows in self.summary.groupby("protocol", sort=False)
        }

    @property
    def version(self) -> str:
        """Version of iqa-bench, '' where it is not installed."""
        try:
            return metadata.version("iqa-bench")
        except metadata.PackageNotFoundError:
            return ""


def banner(demo: bool, tiny: bool) -> tuple[str, str] | None:
    """Heading and text of the warning on rendered data and the tiny backbone."""
    return BOTH if demo and tiny else DEMO if demo else TINY if tiny else None


def banner_of(cells: Sequence[CellResult]) -> tuple[str, str] | None:
    """The warning that a page of these cells carries."""
    return banner(any(cell.demo for cell in cells), any(cell.backbone == "tiny" for cell in cells))


def texts(cell: GridCell) -> dict[str, Any]:
    """A cell as text, for any page."""
    return {
        "sort": f"{cell.median:.6g}" if cell.n and cell.complete else "",
        "median": number(cell.median, minus="−"),
        "interval": cell.over_splits(minus="−"),
        "images": cell.over_images(minus="−"),
        "count": cell.count,
        "complete": cell.complete,
        "rank": cell.rank,
        "marks": cell.marks,
        "published": cell.published.replace("-", "−"),
        "difference": signed(cell.difference, minus="−"),
    }


def copy_asset(source: Path, folder: Path) -> Path:
    """Put a style sheet or script into `folder`."""
    write_text(folder / source.name, source.read_text(encoding="utf-8"))
    return folder / source.name


@cache
def templates(folder: Path) -> jinja2.Environment:
    """The pages' templates in a folder; what they are given is escaped."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _files(names: Iterable[str], folder: str) -> dict[str, str]:
    """One file name each; names that look alike as files get a number."""
    files: dict[str, str] = {}
    for name in dict.fromkeys(names):
        stem = slug(name).lower()
        taken = set(files.values())
        ends = chain([""], (f"-{number}" for number in count(2)))
        options = (f"{folder}/{stem}{end}.html" for end in ends)
        files[name] = next(option for option in options if option not in taken)
    return files
