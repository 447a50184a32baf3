"""Numbers as people read them, to about three digits, and the names of what messages have."""

from __future__ import annotations

from isotp.bulk._message import BROKEN_STATUSES
from isotp.bulk._schema import DIRECTIONS, STATUSES, TARGET_TYPES

__all__ = [
    "BROKEN_STATUSES",
    "DIRECTIONS",
    "STATUSES",
    "TARGET_TYPES",
    "count_text",
    "number_text",
    "seconds_text",
    "size_text",
    "time_text",
]


def count_text(count: int, noun: str) -> str:
    """A number with its noun: 1 frame, 2 frames."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def number_text(value: float | None) -> str:
    """Three digits, or all those before the point; nothing for None."""
    return "" if value is None else f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"


def size_text(size: int) -> str:
    """So many bytes, in powers of 1000."""
    if size < 1000:
        return count_text(size, "byte")
    value = size / 1000
    for unit in "kMG":
        # From there on, three digits make it the next unit.
        if value < 999.5:
            return f"{number_text(value)} {unit}B"
        value /= 1000
    return f"{number_text(value)} TB"


def time_text(ns: float) -> str:
    """A duration in s, ms or us."""
    if ns == 0:
        return "0"
    for unit, size in (("us", 1e3), ("ms", 1e6)):
        if ns < 999.5 * size:
            return f"{number_text(ns / size)} {unit}"
    return f"{number_text(ns / 1e9)} s"


def seconds_text(ns: int) -> str:
    """A time as decimal seconds, exact to the us."""
    sign = "-" if ns < 0 else ""
    return f"{sign}{abs(ns) // 10**9}.{abs(ns) % 10**9 // 1000:06}"
