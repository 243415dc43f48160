"""The databases that the runs of a protocol need, with images or only labels, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from bench.api import OWN
from bench.data import datasets
from bench.data.data_cache import DataCache
from bench.data.fetch import sources
from bench.data.images.files import find_files
from bench.model.records import Task
from bench.protocol import Protocol
from bench.protocol.variants import Variant
from bench.runs.plan import contaminated

Why = Literal["learnt from", "named as the source", "tested", "pre-training"]


def in_order(whys: Iterable[Why]) -> list[Why]:
    """Reasons in the order in which messages list them."""
    return sorted(whys, key=get_args(Why).index)


@dataclass(frozen=True)
class Need:
    """A database that a cell needs."""

    spec: str
    why: Why
    images: bool
    """Whether its images are read; its labels are always read."""


@dataclass(frozen=True)
class CellNeeds:
    """The needs of one row on one task."""

    variant: Variant
    """With its settings for the task."""
    task: Task
    needs: tuple[Need, ...]


@dataclass(frozen=True)
class Lacks:
    """The needs that this machine does not meet."""

    absent: tuple[datasets.Missing, ...]
    """Databases that were not found."""
    imageless: dict[str, str]
    """Databases whose table exists but some of whose images are missing, with a message."""

    def __bool__(self) -> bool:
        return bool(self.absent or self.imageless)

    def unmet(self, cell: CellNeeds) -> list[Need]:
        """The unmet needs of a cell."""
        gone = {missing.spec for missing in self.absent}
        return [
            need
            for need in cell.needs
            if need.spec in gone or (need.images and need.spec in self.imageless)
        ]

    def why_not(self, cell: CellNeeds) -> str:
        """Why a cell cannot run; "" if it can."""
        by_why: dict[str, list[str]] = {}
        for need in self.unmet(cell):
            names = by_why.setdefault(need.why, [])
            without = need.spec in self.imageless
            names.append(f"the images of {need.spec}" if without else need.spec)
        parts = [f"{', '.join(names)} ({why})" for why, names in by_why.items()]
        return f"needs {' and '.join(parts)}, not on this machine" if parts else ""


def needs(
    protocol: Protocol, variants: Sequence[Variant], uncontaminated: bool = False
) -> list[CellNeeds]:
    """The needs of every cell, or of every uncontaminated one."""
    found = []
    for variant in variants:
        for task in protocol.tasks():
            here = variant.on(task.train)
            if not (uncontaminated and contaminated(here, task, protocol)):
                found.append(CellNeeds(here, task, _needs_of(here, task)))
    return found


def _needs_of(variant: Variant, task: Task) -> tuple[Need, ...]:
    learns = variant.cls.learns() and not task.zero_shot
    pixels = variant.cls.reads_images
    why: Why = "learnt from" if learns else "named as the source"
    found = [Need(spec, why, pixels and learns) for spec in task.sources]
    if not learns:  # the split then only concerns the tested database
        found = [need for need in found if need.spec != task.test]
    found.append(Need(task.test, "tested", pixels))
    corpora = (spec for spec in variant.build().corpora() if spec != OWN)
    return tuple(found + [Need(spec, "pre-training", True) for spec in corpora])


def lacks(cells: Iterable[CellNeeds], data_cache: DataCache) -> Lacks:
    """The needs that this machine does not meet; each database is looked for once."""
    wanted: dict[str, bool] = {}
    for need in (need for cell in cells for need in cell.needs):
        wanted[need.spec] = wanted.get(need.spec, False) or need.images
    absent = datasets.missing(wanted, data_cache.data_roots)
    gone = {missing.spec for missing in absent}
    asked = [spec for spec, images in wanted.items() if images and spec not in gone]
    texts = {spec: _missing_images(spec, data_cache) for spec in asked}
    return Lacks(tuple(absent), {spec: text for spec, text in texts.items() if text})


def _missing_images(name: str, data_cache: DataCache) -> str:
    dataset = data_cache.dataset(name)
    images = list(dataset.table["image"])
    files = find_files(dataset.root, images)
    gone = [image for image, file in zip(images, files, strict=True) if file is None]
    if not gone:
        return ""
    return (
        f"{name}: {len(gone):,} of {len(images):,} image files are missing under {dataset.root}, "
        f"e.g. {gone[0]}; get them from {dataset.info.homepage or 'where the table came from'}"
    )


def explain(lacking: Lacks, cells: Sequence[CellNeeds]) -> list[str]:
    """Lines on what is missing, which rows need it, why, and how to do without it."""
    lines = [datasets.describe_missing(lacking.absent)] if lacking.absent else []
    lines += lacking.imageless.values()
    lines.append("Who needs what:")
    return lines + [f"  {line}" for line in _who_needs_what(lacking, cells)]


def _who_needs_what(lacking: Lacks, cells: Sequence[CellNeeds]) -> list[str]:
    reasons: dict[str, dict[str, list[Why]]] = {}
    """Row -> database -> why."""
    variants: dict[str, Variant] = {}
    for cell in cells:
        variants.setdefault(cell.variant.title, cell.variant)
        row = reasons.setdefault(cell.variant.title, {})
        for need in lacking.unmet(cell):
            whys = row.setdefault(need.spec, [])
            if need.why not in whys:
                whys[:] = in_order([*whys, need.why])
    lines: dict[str, list[str]] = {}
    """Databases and reason -> rows."""
    for title, specs in reasons.items():
        by_reason: dict[str, list[str]] = {}
        for spec, whys in specs.items():
            reason = _reason(whys, variants[title])
            by_reason.setdefault(reason, []).append(spec)
        for reason, names in by_reason.items():
            lines.setdefault(f"{', '.join(names)} ({reason})", []).append(title)
    return [f"{', '.join(rows)}: {text}" for text, rows in lines.items()]


def _reason(whys: Sequence[Why], variant: Variant) -> str:
    """Why a row needs a database, and how to do without it."""
    text = " and ".join(filter(None, [", ".join(whys[:-1]), whys[-1]]))
    if "pre-training" not in whys:
        return f"{text}; or name others with --datasets"
    instead = _instead_of_pretraining(variant)
    return f"{text}; or {instead}" if instead and len(whys) == 1 else text


def _instead_of_pretraining(variant: Variant) -> str:
    setting, name = variant.cls.pretrained_setting, variant.cls.name
    if setting is None:
        return ""
    text = f"--set {name}.{setting}=FILE"
    released = sources.known().weights.get(name)
    if released is None or released.setting != setting:
        return f"{text}, weights that are trained already"
    return f"{text}, the authors' checkpoint: bench get --weights {name}"
