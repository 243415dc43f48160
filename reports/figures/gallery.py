"""All figures of a results folder: which kinds there are, drawn and saved, or left out and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.analysis.results import Results
from bench.protocol import Protocol
from bench.reports.cleanup import as_written
from bench.reports.drawing import STYLE, key_of, save
from bench.reports.figures import boxes, costs, lines, maps, overlays, points, ranks
from bench.reports.figures.sheet import DrawnFigure, FigureData, LeftOut, Sheet, compose
from bench.util.errors import StoreError
from bench.util.filenames import slug

if TYPE_CHECKING:
    import pandas as pd

    from bench.data.data_cache import DataCache

Maker = Callable[[FigureData], Sheet]
KINDS: dict[str, tuple[str, Maker]] = {
    "few-shot": ("few-shot curves", lines.few_shot),
    "ratios": ("curves over training ratios", lines.ratios),
    "settings": ("results by setting", lines.settings),
    "starts": ("spread over random starts", boxes.starts),
    "epochs": ("over training", lines.epochs),
    "angle": ("angle between the gradients of quality and semantics", lines.angle),
    "scatter": ("prediction against quality", points.scatter),
    "ranks": ("average ranks across datasets", ranks.across),
    "cost": ("quality against cost", costs.tradeoff),
    "tsne-score": ("features by score interval", maps.by_score),
    "tsne-scene": ("features by scene", maps.by_scene),
    "tsne-noise": ("semantic noise among the features", maps.noise),
    "attention": ("where scores come from", overlays.attention),
}
"""Kinds of figures; the key is part of the file's name."""


@dataclass
class Gallery:
    """Draws all figures of a results folder into one folder."""

    results: Results
    summary: pd.DataFrame
    folder: Path
    data_cache: DataCache | None = None
    earlier: Path | None = None
    """The report that this one takes the place of: its figures stay where nothing changed."""
    figures: list[DrawnFigure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Figures that were left out, each with its reason."""

    def draw(self) -> None:
        """Draw what the records allow."""
        import matplotlib as mpl

        left_out: dict[tuple[str, str], list[str]] = {}
        with mpl.rc_context(STYLE):
            for protocol in self.results.protocols:
                for why in self._draw(protocol):
                    left_out.setdefault(why, []).append(protocol.name)
        # One line for all protocols that lack the same figures for the same reason.
        for (kinds, reason), names in left_out.items():
            self.notes.append(f"{', '.join(names)}: no figure {kinds}: {reason}")

    def _draw(self, protocol: Protocol) -> list[tuple[str, str]]:
        """Draw a protocol's figures; kinds that are left out, each group with its reason."""
        data = FigureData(self.results, protocol, self.summary, self.data_cache, self.notes)
        reasons: dict[str, list[str]] = {}
        for kind, (title, make) in KINDS.items():
            try:
                sheet = make(data)
                png, pdf = self._files(sheet, f"{slug(protocol.name)}-{kind}")
            except StoreError:
                raise
            except LeftOut as reason:
                reasons.setdefault(str(reason), []).append(kind)
                continue
            except Exception as error:  # values that cannot be drawn: the others are
                first = (str(error).splitlines() or [""])[0]
                reasons.setdefault(f"{type(error).__name__}: {first}", []).append(kind)
                continue
            heading = f"{protocol.title or protocol.name}: {title}"
            self.figures.append(DrawnFigure(heading, sheet.caption, png, pdf))
        return [(", ".join(map(repr, kinds)), text) for text, kinds in reasons.items()]

    def _files(self, sheet: Sheet, name: str) -> tuple[Path, Path]:
        """A sheet drawn and saved, or the earlier report's files where they show the same."""
        key = sheet.key
        if key and self.earlier and self._kept(self.earlier, name, key):
            return self.folder / f"{name}.png", self.folder / f"{name}.pdf"
        return save(compose(sheet), self.folder / name, key)

    def _kept(self, out: Path, name: str, key: str) -> bool:
        files = [out / self.folder.name / f"{name}.{kind}" for kind in ("png", "pdf")]
        if key_of(files[0]) != key or not all(as_written(out, file) for file in files):
            return False
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            for file in files:
                (self.folder / file.name).hardlink_to(file)
        except OSError:  # no such links here: it is drawn again
            return False
        return True
