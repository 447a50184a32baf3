"""Numbers as people read them: counts, sizes, rates and durations to about three digits."""

from __future__ import annotations

__all__ = ["count_text", "rate_text", "size_text", "time_text"]


def count_text(count: int, noun: str) -> str:
    """A number with its noun: 1 frame, 2 frames."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def size_text(size: int) -> str:
    """So many bytes, in powers of 1000."""
    if size < 1000:
        return count_text(size, "byte")
    power = min((len(str(size)) - 1) // 3, 4)
    return f"{size / 1000**power:.3g} {' kMGT'[power]}B"


def rate_text(rate: float | None) -> str:
    """A number per second; nothing for None."""
    return "" if rate is None else f"{rate:.3g}" if rate < 1000 else f"{rate:,.0f}"


def time_text(ns: float) -> str:
    """A duration in s, ms or us."""
    if ns == 0:
        return "0"
    for unit, size in (("s", 1e9), ("ms", 1e6)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns / 1e3:.3g} us"
