"""Which format a log has, by the bytes at its beginning; names of files say nothing."""

from __future__ import annotations

import re
from typing import Final

# Bytes from the beginning that are looked at.
LOOKED_AT: Final = 65_536

MAGIC: Final = {
    b"LOGG": "blf",
    b"MDF     ": "mf4",
    b"UnFinMF ": "mf4",
    b"\x0a\x0d\x0d\x0a": "pcapng",
    b"\xa1\xb2\xc3\xd4": "pcap",
    b"\xd4\xc3\xb2\xa1": "pcap",
    b"\xa1\xb2\x3c\x4d": "pcap",
    b"\x4d\x3c\xb2\xa1": "pcap",
}

# One line of each, anywhere in the bytes that are looked at: a log may begin in the middle. The first
# line that fits one counts, however many bytes come at once, and of those that fit it the first.
LINES: Final = {
    "csv": rb"timestamp,arbitration_id,extended,remote,error,dlc,data\b",
    "candump": rb"\(\d+(\.\d+)?\)[ \t]+\S+[ \t]+[0-9A-Fa-f]{1,8}#",
    "trc": rb";\$FILEVERSION=|;-+\+-|\d+\)[ \t]+\d+(\.\d+)?[ \t]",
    "asc": rb"(?i)date[ \t]+\w+[ \t]+\S+[ \t]+\d|base[ \t]+(hex|dec)\b|begin[ \t]+triggerblock\b"
    rb"|\d+\.\d+[ \t]+(\d+[ \t]+(\w+[ \t]+(tx|rx)[ \t]|errorframe)|canfd[ \t])",
}
PATTERNS: Final = {
    name: re.compile(
        rb"(?m)^[ \t]*(?:" + line.removeprefix(rb"(?i)") + rb")",
        re.IGNORECASE if line.startswith(rb"(?i)") else 0,
    )
    for name, line in LINES.items()
}

FORMATS: Final = ("asc", "blf", "candump", "csv", "mf4", "pcap", "pcapng", "trc")


class UnknownFormatError(ValueError):
    """The bytes of a file are those of no log that is known."""


def recognise(beginning: bytes, start: int = 0, end: int = LOOKED_AT) -> str | None:
    """The name of the format, one of FORMATS; None if it is none of them.

    :param start: where a line begins; the lines before it are not looked at again.
    :param end: up to where there are whole lines.
    """
    for magic, name in MAGIC.items():
        if beginning.startswith(magic):
            return name
    found = [
        (match.start(), name)
        for name, pattern in PATTERNS.items()
        if (match := pattern.search(beginning, start, end)) is not None
    ]
    return min(found, key=lambda each: each[0])[1] if found else None
