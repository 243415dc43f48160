"""YAML read safely, with the line of every key for error messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from bench.util.errors import UsageError

LARGEST = 1_000_000  # bytes; what people write is a page of text


def read(path: Path, may_be_empty: bool = False) -> dict[str, Any]:
    """The mapping in a YAML file. Raises `UsageError` naming the line for anything else.

    Tags other than YAML's plain ones are refused (safe loader), and so are duplicate keys.
    """
    text = _text(path)
    try:
        # Aliases can nest into gigabytes, and a protocol shares by `extends` instead.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            raise UsageError(
                f"{path}: YAML aliases (*name) are not allowed; a protocol may use 'extends'"
            )
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error)
        raise UsageError(f"{place}: not valid YAML: {problem}") from None
    if value is None and may_be_empty:
        return {}
    if not isinstance(value, dict):
        raise UsageError(f"{path}: expected 'key: value' lines")
    _refuse_duplicates(node, path)
    return value


def positions(path: Path) -> dict[tuple[Any, ...], int]:
    """Path of keys and list indices -> line number, from 1."""
    found: dict[tuple[Any, ...], int] = {}
    node = yaml.compose(_text(path), Loader=yaml.SafeLoader)
    if node is not None:
        _collect(node, (), found)
    return found


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST:
            raise UsageError(f"{path}: larger than {LARGEST:,} bytes, which no settings are")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not UTF-8 text") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def _collect(node: yaml.Node, at: tuple[Any, ...], found: dict[tuple[Any, ...], int]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            found[(*at, key.value)] = key.start_mark.line + 1
            _collect(value, (*at, key.value), found)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            found[(*at, index)] = value.start_mark.line + 1
            _collect(value, (*at, index), found)


def _refuse_duplicates(node: yaml.Node | None, path: Path) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if key.value in seen:
            raise UsageError(f"{path}:{key.start_mark.line + 1}: key '{key.value}' is given twice")
        seen.add(key.value)
        _refuse_duplicates(value, path)
