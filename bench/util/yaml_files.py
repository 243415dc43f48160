"""YAML read safely, with the line of every key for error messages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.util.errors import UsageError
from bench.util.validation import Location, Model, validated

LARGEST = 1_000_000  # bytes; what people write is a page of text
DEEPEST = 30
"""Largest depth of nesting; the parser's time grows with its square."""


@dataclass(frozen=True)
class Document:
    """The values in a YAML file, and their lines."""

    path: Path
    values: dict[str, Any]
    """The file as plain values."""
    places: dict[Location, str]
    """Keys and list indices -> FILE:LINE."""

    def place(self, location: Location) -> str:
        """FILE:LINE of a value, or of the nearest one that contains it; the file for the whole."""
        around = (location[:length] for length in range(len(location), 0, -1))
        return next((self.places[key] for key in around if key in self.places), str(self.path))

    def validated(self, model: type[Model]) -> Model:
        """The values as a `model`. Raises `UsageError` that names file, line, key and reason."""
        return validated(model, self.values, self.place)


def load_yaml(path: Path, model: type[Model], may_be_empty: bool = False) -> Model:
    """A YAML file as a `model`. Raises `UsageError` that names file, line, key and reason."""
    return read(path, may_be_empty).validated(model)


def read(path: Path, may_be_empty: bool = False) -> Document:
    """The mapping in a YAML file. Raises `UsageError` naming the line for anything else.

    Tags other than YAML's plain ones are refused (safe loader), and so are duplicate keys.
    """
    text = _text(path)
    try:
        _refuse_bombs(path, text)
        # Read twice: the nodes know the lines of keys, the values know nothing of them.
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error)
        raise UsageError(f"{place}: not valid YAML: {problem}") from None
    except ValueError as error:  # a day such as 2024-02-31, a number of thousands of digits
        raise UsageError(f"{path}: not valid YAML: {error}") from None
    if value is None and may_be_empty:
        return Document(path, {}, {})
    if not isinstance(value, dict):
        raise UsageError(f"{path}: expected 'key: value' lines")
    places: dict[Location, str] = {}
    _collect(node, (), path, places)
    return Document(path, value, places)


def _refuse_bombs(path: Path, text: str) -> None:
    """Raise `UsageError` for a short text that takes gigabytes or hours to read."""
    depth = 0
    for event in yaml.parse(text):
        # Aliases can nest into gigabytes, and a protocol shares by `extends` instead.
        if isinstance(event, yaml.AliasEvent):
            raise UsageError(
                f"{path}: YAML aliases (*name) are not allowed; a protocol may use 'extends'"
            )
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise UsageError(f"{path}: nested more than {DEEPEST} deep")


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST:
            raise UsageError(f"{path}: larger than {LARGEST:,} bytes, which no settings are")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not UTF-8 text") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def _collect(node: yaml.Node | None, at: Location, path: Path, places: dict[Location, str]) -> None:
    """Note the place of every key and entry. Raises `UsageError` for a key that is given twice."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner, place = (*at, key.value), f"{path}:{key.start_mark.line + 1}"
            if inner in places:
                raise UsageError(f"{place}: key '{key.value}' is given twice")
            places[inner] = place
            _collect(value, inner, path, places)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            places[(*at, index)] = f"{path}:{value.start_mark.line + 1}"
            _collect(value, (*at, index), path, places)
