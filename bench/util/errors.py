"""Errors that a user can act on. Each message names the cause and a remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 plus the number of SIGINT, as in shells."""


class BenchError(Exception):
    """A problem of input or environment; the command line prints it without a traceback."""

    exit_code = 1
    """Exit code of a command that ends with it."""


class UsageError(BenchError):
    """A wrong name, key or value in a command or a protocol file."""

    exit_code = 2
    """Exit code of a command that ends with it."""


class DataError(BenchError):
    """A database that is missing, incomplete or different from its description."""

    exit_code = 3
    """Exit code of a command that ends with it."""


class StoreError(BenchError):
    """A results folder, or the cache, that cannot be read or written."""

    exit_code = 4
    """Exit code of a command that ends with it."""


class OutOfBudgetError(BenchError):
    """Work that stopped at a limit of the user's. No run fails; the same command continues it."""

    exit_code = 5
    """Exit code of a command that ends with it."""


_MEMORY_SIGNS = ("out of memory", "can't allocate memory", "ALLOC_FAILED")
"""Messages of torch, its CPU allocator, cuBLAS and cuDNN."""


def ran_out(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on a GPU or off it."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _MEMORY_SIGNS)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like `name`; None if no name is similar."""
    lowered = {item.lower(): item for item in known}
    found = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.5)
    return lowered[found[0]] if found else None


def hint(name: str, known: Iterable[str]) -> str:
    """A suggestion for the end of a message; '' if no name is similar.

    >>> hint("labls", ["labels", "ratios"])
    " Did you mean 'labels'?"
    """
    near = nearest(name, known)
    return f" Did you mean '{near}'?" if near else ""


def unknown(what: str, name: str, known: Iterable[str], where: str = "") -> UsageError:
    """A `UsageError` for a name that does not exist; it suggests a similar name that does."""
    options = sorted(set(known))
    meant = hint(name, options) or f" Known: {', '.join(options) or 'none'}."
    place = f"{where}: " if where else ""
    return UsageError(f"{place}unknown {what} '{name}'.{meant}")
