"""Sessions that were discovered, or nearly so, as lines for people."""

from __future__ import annotations

from isotp.bulk._address_text import address_text
from isotp.discovery import FoundSession

__all__ = ["found_text", "nearly_text"]


def found_text(found: FoundSession, channel: str | None = None) -> str:
    return f"found: {_what(found, channel)}"


def nearly_text(found: FoundSession, channel: str | None = None) -> str:
    """With the reason."""
    return f"nearly found: {_what(found, channel)}: {found.held_back}"


def _what(found: FoundSession, channel: str | None) -> str:
    where = "" if channel is None else f" on channel {channel}"
    return f"{address_text(found.address)}{where}, score {found.score:.3f}"
