"""Databases that are learnt from together: their names, joined by '+'."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from bench.model.records import JOINT

T = TypeVar("T")


def unordered(train: str) -> str:
    """The names in one order, whichever they were written in.

    A task has them in the order of its protocol, which is a part of its runs' names; people who
    name the same databases elsewhere need not know it.

    >>> unordered("spaq+koniq10k@100"), unordered("livec")
    ('koniq10k@100+spaq', 'livec')
    """
    return JOINT.join(sorted(train.split(JOINT)))


def given_for(given: Mapping[str, T], train: str) -> T | None:
    """What is given for databases that are learnt from together, in whatever order it names them.

    >>> given_for({"spaq+livec": 3, "livec": 1}, "livec+spaq")
    3
    """
    wanted = unordered(train)
    return next((value for name, value in given.items() if unordered(name) == wanted), None)


def learnt_from(train: str, test: str) -> bool:
    """Whether a database is among those that a task learns from, whatever its labels.

    >>> learnt_from("spaq+koniq10k@100", "koniq10k"), learnt_from("spaq", "koniq10k")
    (True, False)
    """
    return test.partition("@")[0] in {name.partition("@")[0] for name in train.split(JOINT)}
