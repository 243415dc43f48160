"""Creating very many objects that stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause the search for reference cycles while records or runs are made by the thousand.

    None of them is part of a cycle, but Python would scan all of them after every few hundred new
    ones: two thirds of the time of reading 10,000 records. It may be nested.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
