"""Whether a method's weights have seen labels that a run tests on.

`Method.trained_on` names databases. An entry `NAME` means that all labels count as seen.
`NAME#SCHEME` or `NAME#SCHEME/K` means that only the training side of a published split was seen:
the authors' own split (`koniq10k#official`), or the K-th, from 1, of a series (`livec#liqe/1`).
"""

from __future__ import annotations

from collections.abc import Iterable

from bench.model.records import SplitRule, Task

SPLIT_MARK = "#"


def saw_test_labels(seen: Iterable[str], task: Task, rule: SplitRule, repeat: int) -> bool:
    """Whether weights trained on the entries `seen` have seen labels of the test side.

    >>> task = Task(train="livec", test="livec")
    >>> saw_test_labels(["livec#liqe/1"], task, SplitRule(scheme="liqe"), repeat=0)
    False
    >>> saw_test_labels(["livec#liqe/1"], task, SplitRule(scheme="random"), repeat=0)
    True
    """
    test = _base(task.test)
    splits = [split for name, split in map(_parts, seen) if _base(name) == test]
    # A run on a whole database also tests the training side of any split.
    return any(task.side == "whole" or not _is(split, rule, repeat) for split in splits)


def entry_title(entry: str) -> str:
    """An entry in words.

    >>> entry_title("livec#liqe/1"), entry_title("koniq10k#official"), entry_title("spaq")
    ('livec (training side of liqe 1)', 'koniq10k (training side of official)', 'spaq')
    """
    name, split = _parts(entry)
    return f"{name} (training side of {split.replace('/', ' ')})" if split else name


def _is(split: str, rule: SplitRule, repeat: int) -> bool:
    """Whether a run's split is the one that an entry names."""
    scheme, _, number = split.partition("/")
    return scheme == rule.scheme and (not number or int(number) == repeat + 1)


def _parts(entry: str) -> tuple[str, str]:
    name, _, split = entry.partition(SPLIT_MARK)
    return name, split


def _base(spec: str) -> str:
    return spec.partition("@")[0]
