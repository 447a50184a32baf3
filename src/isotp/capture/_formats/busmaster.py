"""BUSMASTER's log: the compiled parser reads it, and the date in its header is read here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Final

from isotp.bulk._records import Records
from isotp.capture._local_time import ns_since_1970
from isotp.capture._parsers import BusmasterParser
from isotp.capture._parsing import parse_all
from isotp.capture._reading import Format, Reading
from isotp.capture._source import Source

__all__ = ["FORMAT", "midnight_of"]

DATE: Final = re.compile(rb"\*\*\*START DATE AND TIME (\d+):(\d+):(\d+) ")


def read(source: Source, reading: Reading) -> Iterator[Records]:
    start_of = midnight_of if reading.absolute else no_midnight
    return parse_all(partial(reading.parser, BusmasterParser, start_of), source, reading)


def no_midnight(line: bytes) -> None:
    """Times are those of the day, whatever the header says."""


def midnight_of(line: bytes) -> int:
    """When the day of the start began, in ns since 1970, by "***START DATE AND TIME 8:8:2014 11:49:7:965***".

    :raises ValueError: if it is no date.
    """
    match = DATE.match(line)
    if match is None:
        raise ValueError(f"no date that is known: {line!r}")
    day, month, year = map(int, match.groups())
    return ns_since_1970(datetime(year, month, day))


FORMAT: Final = Format(
    read,
    line=rb"\*\*\*BUSMASTER Ver|(\d+:){3}\d{4}[ \t]+[RT]x[ \t]+\d+[ \t]+(0x)?[0-9A-Fa-f]+[ \t]+[sxSX][rR]?[ \t]",
)
