"""A leaderboard: a folder, usually a git repository, with one results folder for each submission.

- `leaderboard.yaml`: its rules
- `protocols/NAME.yaml`: the protocols that count, which `bench run` takes
- `splits.json`: digests of their splits, if `init` found the databases
- `submissions/NAME/`: a results folder with `card.yaml` and `baseline.json`
- `README.md`, `card.example.yaml`, `.github/workflows/`: how to submit, and the automatic check
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from string import Template
from typing import Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from bench.data.data_cache import DataCache
from bench.model.records import RunSpec, Task
from bench.protocol import Protocol, load
from bench.util.atomic import write_text
from bench.util.errors import BenchError, UsageError
from bench.util.filenames import slug
from bench.util.listing import hidden, listed
from bench.util.strict import StrictModel
from bench.util.yaml_files import load_yaml

RULES = "leaderboard.yaml"
SPLITS = "splits.json"
PROTOCOLS = "protocols"
SUBMISSIONS = "submissions"
_FILES = Path(__file__).parent / "board_files"
"""Files that `init` copies: path in the leaderboard, with `__` for '/' and `dot-` for a dot."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
NAMES = "expected up to 63 lower-case letters, digits and hyphens"
"""The rule for names of submissions, in words."""
_FROM_GIT = (
    "# This board was made by a version between releases. Write here which one the workflows\n"
    "# install, by a commit of its repository: iqa-bench @ git+https://ADDRESS@COMMIT"
)

SplitKey = tuple[str, str, str, str, int]
"""Protocol, train, test, budget and repeat."""


class Rules(StrictModel):
    """Requirements for submissions."""

    title: str = Field(min_length=1, max_length=200)
    """Name of the leaderboard."""
    audit: Literal["required", "shown"] = "required"
    """Whether every method must have passed `bench audit`; if not, passing is marked."""
    predictions: Literal["required", "digests"] = "required"
    """Whether predictions are required. If digests are enough, nobody can compute the metrics
    again, and the list of submissions says so."""
    tasks: Literal["all", "any"] = "all"
    """Whether a submission must have every task of a protocol that it enters."""
    max_megabytes: float = Field(default=50, gt=0, le=10_000)
    """Largest size of a submission."""


class BoardSplit(StrictModel):
    """One split of a task, known by its content."""

    protocol: str
    """Name of the protocol."""
    train: str
    """Databases that are trained on, joined by '+'."""
    test: str
    """Database that is tested on."""
    budget: str
    """Label budget, as tables write it."""
    repeat: int = Field(ge=0)
    """Number of the split, from 0."""
    split_digest: str
    """`RunSpec.split_digest`."""

    @property
    def key(self) -> SplitKey:
        """The cell of the split."""
        return self.protocol, self.train, self.test, self.budget, self.repeat


@dataclass(frozen=True)
class Board:
    """A leaderboard that was read."""

    root: Path
    rules: Rules
    protocols: Mapping[str, Protocol]
    """Protocols that count, by name."""
    splits: Mapping[SplitKey, str]
    """Digests of the splits that `init` saw."""

    @classmethod
    def read(cls, root: Path) -> Board:
        """The leaderboard in a folder. Raises `UsageError` if it is none or cannot be read."""
        if not (root / RULES).is_file():
            raise UsageError(
                f"'{root}' is not a leaderboard: it has no {RULES} "
                "(`bench leaderboard init` makes one)"
            )
        found = [load(str(path)) for path in listed(root / PROTOCOLS, "*.yaml")]
        protocols = {protocol.name: protocol for protocol in found}
        splits = {one.key: one.split_digest for one in _listed_splits(root / SPLITS)}
        return cls(root, load_yaml(root / RULES, Rules), protocols, splits)

    @cached_property
    def submissions(self) -> list[str]:
        """Names of all submissions, sorted."""
        folder = self.root / SUBMISSIONS
        there = folder.iterdir() if folder.is_dir() else ()
        return sorted(path.name for path in there if path.is_dir() and not hidden(path.name))

    def folder(self, name: str) -> Path:
        """The folder of a submission. Raises `UsageError` for an invalid name."""
        if not self.can_name(name):
            raise UsageError(f"'{name}' cannot name a submission: {NAMES}")
        return self.root / SUBMISSIONS / name

    @staticmethod
    def can_name(name: str) -> bool:
        """Whether this is a valid name of a submission."""
        return bool(_NAME.fullmatch(name))


def init(
    root: Path, protocols: Sequence[Protocol], rules: Rules, data_roots: Sequence[Path] = ()
) -> tuple[list[Path], list[str]]:
    """Make a leaderboard of these protocols, or add them to an existing one.

    Existing files are kept, except a protocol of the same name and `splits.json`. Returns the files
    written, and why splits of some protocols are not known: the first accepted submission
    then defines them. Raises `UsageError` if a protocol that already has submissions would
    change.
    """
    for protocol in protocols:
        _refuse_to_change(root, protocol)
    known, notes = _splits_of(protocols, DataCache(list(data_roots)))
    written = list(_copied(root, rules))
    for protocol in protocols:
        written.append(root / PROTOCOLS / f"{slug(protocol.name)}.yaml")
        write_text(written[-1], as_yaml(protocol))
    (root / SUBMISSIONS).mkdir(parents=True, exist_ok=True)
    written += _kept(root / SUBMISSIONS / ".gitkeep")
    names = {protocol.name for protocol in protocols}
    others = [one for one in _listed_splits(root / SPLITS) if one.protocol not in names]
    rows = [one.model_dump() for one in (*others, *known)]
    lines = ",\n ".join(json.dumps(row, ensure_ascii=False) for row in rows)
    write_text(root / SPLITS, f"[\n {lines}\n]\n" if rows else "[]\n")
    return [*written, root / SPLITS], notes


def _refuse_to_change(root: Path, protocol: Protocol) -> None:
    if not (root / RULES).is_file():
        return
    board = Board.read(root)
    known = board.protocols.get(protocol.name, protocol)
    if board.submissions and known != protocol:
        raise UsageError(
            f"'{root}' has submissions to {protocol.name} as it is; give the changed protocol "
            "another name"
        )


def as_yaml(protocol: Protocol) -> str:
    """A protocol as a separate file with everything that it inherits, without defaults."""
    values = protocol.model_dump(mode="json", exclude_defaults=True)
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
    return f"# Run it unchanged: bench run FILE --methods NAME\n{text}"


def _copied(root: Path, rules: Rules) -> Iterator[Path]:
    """Write the files of every leaderboard that do not exist yet."""
    from importlib import metadata

    try:
        installed = metadata.version("iqa-bench")
    except metadata.PackageNotFoundError:
        installed = ""
    # A version between releases is in no package index, and its name there may be somebody else's.
    version = f"iqa-bench=={installed}" if re.fullmatch(r"\d+(\.\d+)*", installed) else _FROM_GIT
    values = {"title": rules.title, "requirement": version, "rules": _rules_text(rules)}
    for source in sorted(_FILES.iterdir()):
        path = root / source.name.replace("dot-", ".").replace("__", "/")
        if not path.exists():
            text = source.read_text(encoding="utf-8")
            write_text(path, Template(text).safe_substitute(values))
            yield path


def _rules_text(rules: Rules) -> str:
    """The rules as YAML, each with its meaning."""
    lines = []
    for name, field in Rules.model_fields.items():
        lines += [f"# {line}" for line in (field.description or "").splitlines()]
        lines.append(f"{name}: {json.dumps(getattr(rules, name), ensure_ascii=False)}")
    return "\n".join(lines)


def _kept(path: Path) -> list[Path]:
    """A file that makes git keep an empty folder."""
    if path.exists():
        return []
    write_text(path, "")
    return [path]


def _splits_of(
    protocols: Sequence[Protocol], data_cache: DataCache
) -> tuple[list[BoardSplit], list[str]]:
    """Every split of the protocols' tasks, and why some are not known."""
    found, notes = list[BoardSplit](), list[str]()
    for protocol in protocols:
        for training in protocol.trainings_of_tasks():
            try:
                found += _of_training(protocol, training, data_cache)
            except BenchError as error:
                first = str(error).splitlines()[0]
                notes.append(f"{protocol.name}, {training[0].title}: {first}")
    return found, notes


def _of_training(
    protocol: Protocol, training: Sequence[Task], data_cache: DataCache
) -> Iterator[BoardSplit]:
    rule = protocol.split_rule(training)
    for task in training:
        for repeat in range(protocol.repeats):
            _, learnt = data_cache.sources(task, rule, repeat)
            _, tested = data_cache.tested(task, rule, repeat)
            spec = RunSpec.of(
                task,
                test_digest=tested,
                split=rule,
                split_digests=learnt,
                repeat=repeat,
                method="",
                method_version="",
                code="",
                settings={},
            )
            yield BoardSplit(
                protocol=protocol.name,
                train=task.train,
                test=task.test,
                budget=task.budget,
                repeat=repeat,
                split_digest=spec.split_digest,
            )


def _listed_splits(path: Path) -> list[BoardSplit]:
    if not path.exists():
        return []
    try:
        return TypeAdapter(list[BoardSplit]).validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"[{part}]" for part in first["loc"])
        raise UsageError(f"'{path}'{place} cannot be read: {first['msg']}") from None
