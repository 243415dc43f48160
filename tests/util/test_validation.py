"""What pydantic finds wrong, in words for whoever wrote the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from bench.util.errors import UsageError
from bench.util.validation import validated
from bench.util.yaml_files import load_yaml


class Inner(BaseModel):
    """A part that stands in lists, mappings and unions."""

    model_config = ConfigDict(extra="forbid")

    count: int = Field(default=1, ge=1)
    rate: float = Field(default=0.5, gt=0, lt=1)


class Outer(BaseModel):
    """One field of every kind that files have."""

    model_config = ConfigDict(extra="forbid")

    name: str = "x"
    dark: bool = False
    mode: Literal["last", "val"] = "last"
    strength: float = Field(default=1.0, alias="lambda")
    budgets: tuple[int, ...] | dict[str, tuple[int, ...]] = ()
    ends: tuple[float, float] | None = None
    parts: tuple[Inner, ...] = ()
    named: dict[str, Inner] = Field(default_factory=dict)
    either: Inner | str = "x"
    some: list[str] = Field(default_factory=lambda: ["a"], min_length=1)

    @field_validator("name")
    @classmethod
    def _short(cls, value: str) -> str:
        if len(value) > 5:
            raise ValueError("a name has five letters at most")
        return value


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("nam: y", ["1: unknown key 'nam'. Did you mean 'name'?"]),
        ("lamda: 1", ["1: unknown key 'lamda'. Did you mean 'lambda'?"]),
        ("parts:\n- {}\n- {cuont: 2}", ["3: unknown key 'parts.1.cuont'. Did you mean 'count'?"]),
        ("parts: [{zzz: 2}]", ["1: unknown key 'parts.0.zzz'. Known: count, rate."]),
        ("named:\n  a:\n    rat: 1", ["3: unknown key 'named.a.rat'. Did you mean 'rate'?"]),
        ("name: 5", ["1: 'name': expected text, not 5"]),
        ("name: too long", ["1: 'name': a name has five letters at most"]),
        ("dark: perhaps", ["1: 'dark': expected true or false, not 'perhaps'"]),
        ("mode: lost", ["1: 'mode': expected 'last' or 'val', not 'lost'. Did you mean 'last'?"]),
        ("lambda: true it is", ["1: 'lambda': expected a number, not 'true it is'"]),
        (
            "parts: [{count: 0, rate: 1}]",
            [
                "1: 'parts.0.count': expected a number of at least 1, not 0",
                "1: 'parts.0.rate': expected a number below 1.0, not 1",
            ],
        ),
        ("parts: [5]", ["1: 'parts.0': expected 'key: value' lines, not 5"]),
        ("parts: {count: 1}", ["1: 'parts': expected a list, not 'key: value' lines"]),
        ("budgets: many", ["1: 'budgets': expected a list or 'key: value' lines, not 'many'"]),
        ("budgets: [5, x]", ["1: 'budgets.1': expected a whole number, not 'x'"]),
        ("budgets:\n  a: 5", ["2: 'budgets.a': expected a list, not 5"]),
        ("budgets:\n  a: [1.5]", ["2: 'budgets.a.0': expected a whole number, not 1.5"]),
        ("ends: [1]", ["1: 'ends.1': is missing"]),
        ("ends: [1, [2]]", ["1: 'ends.1': expected a number, not a list"]),
        ("either: {count: x}", ["1: 'either.count': expected a whole number, not 'x'"]),
        ("either: 5", ["1: 'either': expected 'key: value' lines or text, not 5"]),
        ("some: []", ["1: 'some': expected at least 1 of them, not 0"]),
        ("some: ~", ["1: 'some': expected a list, not nothing"]),
    ],
)
def test_every_fault_has_its_place_and_a_plain_reason(
    tmp_path: Path, text: str, lines: list[str]
) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_yaml(path, Outer)
    assert str(caught.value).splitlines() == [f"{path}:{line}" for line in lines]


def test_what_comes_from_no_file_is_named_after_its_owner() -> None:
    values: dict[str, Any] = {"lamda": 1, "mode": 5}
    with pytest.raises(UsageError) as caught:
        validated(Outer, values, owner="grmp")
    assert str(caught.value).splitlines() == [
        "'grmp.mode': expected 'last' or 'val', not 5",
        "unknown key 'grmp.lamda'. Did you mean 'lambda'?",
    ]


def test_a_valid_file_is_its_model(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("lambda: 2\nbudgets: {a: [1, 2]}\nends: [0, 1]\neither: {count: 3}\n")
    loaded = load_yaml(path, Outer)
    assert (loaded.strength, loaded.budgets, loaded.ends) == (2.0, {"a": (1, 2)}, (0.0, 1.0))
    assert loaded.either == Inner(count=3)
    path.write_text("# nothing yet\n")
    assert load_yaml(path, Outer, may_be_empty=True) == Outer()
    with pytest.raises(UsageError, match="expected 'key: value' lines"):
        load_yaml(path, Outer)
