"""Options that would have no effect: each is refused by name, so that nobody believes in it."""

from __future__ import annotations

from collections.abc import Collection

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
