"""Which format a log has, by the bytes at its beginning; names of files say nothing."""

from __future__ import annotations

import re
from typing import Final

from isotp.capture._formats import _FORMATS
from isotp.capture._source import Source

__all__ = ["UnknownFormatError", "format_of"]

# Bytes from the beginning that are looked at.
LOOKED_AT: Final = 65_536
MAGIC: Final = {magic: name for name, format in _FORMATS.items() for magic in format.magic}
# All of them at once: the first line that is one of them is looked for.
LINES: Final = re.compile(
    rb"(?m)^(?:\xef\xbb\xbf)?[ \t]*(?:"
    + b"|".join(
        b"(?P<%s>%s)" % (name.encode(), format.line)
        for name, format in _FORMATS.items()
        if format.line is not None
    )
    + b")"
)


class UnknownFormatError(ValueError):
    """The bytes of a file are not those of a known log."""


def format_of(source: Source) -> str | None:
    """The format by no more bytes than it takes: a live pipe may have no others now. Each line is looked at once."""
    size = looked_at = 0
    while True:
        beginning = source.peek(LOOKED_AT)
        is_all = len(beginning) in (size, LOOKED_AT)
        whole = len(beginning) if is_all else max(beginning.rfind(b"\n", size) + 1, looked_at)
        found = recognised(beginning, looked_at, whole)
        if found is not None or is_all:
            return found
        size, looked_at = len(beginning), whole


def recognised(beginning: bytes, start: int, end: int) -> str | None:
    """The name of the format; None if it is none of them.

    A log may begin in the middle, so the first line that fits one counts, however many bytes come at once.

    :param start: where a line begins; the lines before it are not looked at again.
    :param end: up to where there are whole lines.
    """
    for magic, name in MAGIC.items():
        if beginning.startswith(magic):
            return name
    match = LINES.search(beginning, start, end)
    return match.lastgroup if match else None
