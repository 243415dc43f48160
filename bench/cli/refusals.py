"""Refuses options that would have no effect, by name, so that nobody relies on them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from bench.util.errors import UsageError


def refuse(why: str, **given: object) -> None:
    """Raise `UsageError` for options that were given although they would have no effect.

    Names are those of the options, with `_` for `-`; a value that is None, False or empty is that
    of an option that nobody gave.

    >>> refuse("for a protocol", to=None, dry_run=False)
    >>> refuse("for a protocol", data_root=["."], yes=True)
    Traceback (most recent call last):
    bench.util.errors.UsageError: --data-root, --yes: for a protocol
    """
    names = [f"--{name.replace('_', '-')}" for name, value in given.items() if _is_given(value)]
    if names:
        raise UsageError(f"{', '.join(names)}: {why}")


def _is_given(value: object) -> bool:
    empty = isinstance(value, Collection) and not value
    return not (value is None or value is False or empty)


def refuse_empty(arguments: Sequence[str]) -> None:
    """Raise `UsageError` for an empty argument of a command line.

    A shell makes one of a variable that is not set: `bench report "$RUN"` would report the working
    folder, and `bench leaderboard check . --base "$BASE"` would not look at what a branch changes.

    >>> refuse_empty(["report", "results", "--set", "key="])
    >>> refuse_empty(["leaderboard", "check", ".", "--base="])
    Traceback (most recent call last):
    bench.util.errors.UsageError: --base: an empty value; leave the option out for its default
    """
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if argument and not re.fullmatch(r"--[\w-]+=", argument):
            continue
        option = argument.rstrip("=") or (before if before.startswith("--") else "")
        if option:
            raise UsageError(f"{option}: an empty value; leave the option out for its default")
        after = f" after '{before}'" if before else ""
        raise UsageError(f"an empty argument{after}: is a variable of the shell not set?")
