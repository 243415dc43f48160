"""Turns pydantic's errors into messages for the author of a file or an option."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from bench.util.errors import UsageError, hint

Location = tuple[int | str, ...]
"""Keys and list indices from the top of a file to a value."""
Model = TypeVar("Model", bound=BaseModel)

_KINDS = (
    (("int",), "a whole number"),
    (("float", "finite"), "a number"),
    (("bool",), "true or false"),
    (("string_type", "string_sub"), "text"),
    (("path",), "a path"),
    (("list", "tuple", "set", "frozen_set"), "a list"),
    (("dict", "mapping", "model", "dataclass"), "'key: value' lines"),
)
"""Beginnings of pydantic's types of error, and the expected type."""
_BOUNDS = {
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "too_short": "at least {min_length} of them",
    "too_long": "at most {max_length} of them",
}


def nowhere(location: Location) -> str:
    """The place of a value without a file."""
    return ""


def validated(
    model: type[Model],
    values: Mapping[str, Any],
    place: Callable[[Location], str] = nowhere,
    owner: str = "",
) -> Model:
    """A `model` of plain values. Raises `UsageError`, as `explain` words it."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UsageError(explain(error, model, place, owner)) from None


def explain(
    error: ValidationError,
    model: type[BaseModel],
    place: Callable[[Location], str] = nowhere,
    owner: str = "",
) -> str:
    """A line for each error: its place, its key, the reason and a suggestion.

    `place` gives FILE:LINE of a location; `owner` names the owner of the keys if there is no file.
    """
    lines = []
    for location, reason in _faults(error, model):
        where = place(location)
        lines.append(f"{where}: " * bool(where) + _sentence((owner, *location), reason))
    return "\n".join(lines)


def first_reason(error: ValidationError, model: type[BaseModel]) -> str:
    """The first error, in one line: for files that programs write."""
    location, reason = _faults(error, model)[0]
    return _sentence(location, reason)


def _sentence(location: Location, reason: str) -> str:
    key = ".".join(str(part) for part in location if part != "")
    if reason.startswith("unknown key"):
        return reason.replace("unknown key", f"unknown key '{key}'", 1)
    return f"'{key}': {reason}" if key else reason


def _faults(error: ValidationError, model: type[BaseModel]) -> list[tuple[Location, str]]:
    """Place and reason, once for each value: all members of a union report the same one."""
    found: dict[Location, list[ErrorDetails]] = {}
    holders: dict[Location, type[BaseModel] | None] = {}
    for item in error.errors():
        location, holder = _resolve(model, item["loc"])
        location += tuple(item.get("ctx", {}).get("within", ()))
        found.setdefault(location, []).append(item)
        holders[location] = holder
    # The member that a value was meant for gets furthest into it.
    deepest = [
        location
        for location in found
        if not any(other != location and other[: len(location)] == location for other in found)
    ]
    return [(where, _reason(found[where], where, holders[where])) for where in deepest]


def _reason(items: list[ErrorDetails], location: Location, holder: type[BaseModel] | None) -> str:
    item = items[0]
    if item["type"] == "extra_forbidden":
        known = [] if holder is None else _keys(holder)
        listed = f" Known: {', '.join(known)}." if known else ""
        return _joined("unknown key", hint(str(location[-1]), known) or listed)
    if item["type"] == "missing":
        return "is missing"
    if item["type"] == "json_invalid":
        return f"not valid JSON: {item['ctx']['error']}"
    wanted = [_wanted(item) for item in items]
    if None in wanted:
        return item["msg"].removeprefix("Value error, ")
    options = re.findall(r"'([^']*)'", str(item.get("ctx", {}).get("expected", "")))
    meant = hint(item["input"], options) if isinstance(item["input"], str) else ""
    return _joined(f"expected {' or '.join(map(str, wanted))}, not {_shown(item)}", meant)


def _joined(fault: str, advice: str) -> str:
    return f"{fault}.{advice}" if advice else fault


def _wanted(item: ErrorDetails) -> str | None:
    """The expected value; None if only pydantic's own message tells it."""
    context = item.get("ctx", {})
    if item["type"] == "literal_error":
        return str(context["expected"])
    if item["type"] in _BOUNDS:
        return _BOUNDS[item["type"]].format(**context)
    kinds = (words for starts, words in _KINDS if item["type"].startswith(starts))
    return next(kinds, None)


def _shown(item: ErrorDetails) -> str:
    value, context = item["input"], item.get("ctx", {})
    if "actual_length" in context:
        return str(context["actual_length"])
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "'key: value' lines"
    if isinstance(value, list | tuple):
        return "a list"
    return f"'{value}'" if isinstance(value, str) else str(value)


def _keys(model: type[BaseModel]) -> list[str]:
    fields = model.model_fields
    return [*fields, *(field.alias for field in fields.values() if field.alias)]


def _resolve(model: type[BaseModel], location: Location) -> tuple[Location, type[BaseModel] | None]:
    """A location without pydantic's additions, and the model of its last key.

    If several types are allowed, pydantic adds the one it tried, like a key.
    """
    kind: Any = model
    holder: type[BaseModel] | None = None
    kept: list[int | str] = []
    for part in location:
        options = _options(kind)
        if len(options) > 1:
            kind = next((option for option in options if _is_called(option, str(part))), None)
            continue
        kind = options[0]
        if part != "[key]":
            kept.append(part)
        holder = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
        kind = _inner(kind, part)
    return tuple(kept), holder


def _options(kind: Any) -> list[Any]:
    """The types that an annotation allows, without None."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (Union, types.UnionType):
        return [option for option in get_args(kind) if option is not types.NoneType]
    return [kind]


def _is_called(kind: Any, tag: str) -> bool:
    """Whether this is pydantic's name of a type: 'int', 'tuple[int, ...]', the name of a model."""
    kind = get_origin(kind) or kind
    return getattr(kind, "__name__", "").lower() == tag.partition("[")[0].lower()


def _inner(kind: Any, part: int | str) -> Any:
    """The type of the value under a key or index."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = kind.model_fields
        aliases = {field.alias: field for field in fields.values()}
        field = fields.get(str(part)) or aliases.get(str(part))
        return field.annotation if field else None
    inside = [option for option in get_args(kind) if option is not ...]
    if get_origin(kind) is tuple and len(inside) > 1 and isinstance(part, int):
        return inside[part] if part < len(inside) else None
    return inside[-1] if inside else None
