"""Durations such as 30m or 1h30m."""

from __future__ import annotations

import math
import re

from bench.util.errors import UsageError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PARTS = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")


def seconds(text: str | float) -> float:
    """Seconds of a duration with its unit.

    >>> seconds("30m"), seconds("1h30m"), seconds("45s")
    (1800.0, 5400.0, 45.0)

    Raises `UsageError` for anything else.
    """
    if isinstance(text, int | float):
        if not 0 < text < math.inf:
            raise UsageError(f"{text:g} is not a duration above zero")
        return float(text)
    parts = _PARTS.findall(text)
    if not parts or _PARTS.sub("", text).strip():
        raise UsageError(f"'{text}' is not a duration; expected e.g. 90s, 30m, 4h or 1h30m")
    total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if total <= 0:
        raise UsageError(f"'{text}' is not a duration above zero")
    return total


def readable(duration: float) -> str:
    """A duration in its two largest units.

    >>> readable(5), readable(1800), readable(5400), readable(93600)
    ('5 s', '30 min', '1 h 30 min', '1 d 2 h')
    """
    if duration < 60:
        return f"{duration:.0f} s" if duration >= 1 else f"{duration:.1f} s"
    minutes = round(duration / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
