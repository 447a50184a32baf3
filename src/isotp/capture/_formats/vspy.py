"""Vehicle Spy's CSV: the header is read here, the rows by the compiled parser."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Final

from isotp.bulk._records import Records
from isotp.capture._local_time import ns_since_1970
from isotp.capture._parsers import VspyParser
from isotp.capture._parsing import parse_all
from isotp.capture._reading import Format, Reading
from isotp.capture._source import Source

__all__ = ["FORMAT", "header_of"]

LONGEST: Final = 65_536  # bytes of the header that are looked at


def read(source: Source, reading: Reading) -> Iterator[Records]:
    began, foreign = header_of(source.peek(LONGEST))
    make = partial(reading.parser, VspyParser, began if reading.absolute else 0, foreign)
    return parse_all(make, source, reading)


def header_of(beginning: bytes) -> tuple[int, list[str]]:
    """When the log began, in ns since 1970 (0: it is not told), and the networks that are no CAN buses.

    The lines are "ISO8601 Timestamp,2018/06/29T13:00:47.000019" in local time, and behind "Network Description,..."
    one for each network, with its protocol.
    """
    began = 0
    foreign = []
    rows = (line.strip().split(",") for line in beginning.decode("utf-8", "replace").split("\n"))
    header = itertools.takewhile(lambda row: row[0] != "Line", rows)
    for row in header:
        if row[0] == "ISO8601 Timestamp" and len(row) > 1:
            began = time_of(row[1])
        elif row[0] == "Network Description":
            networks = itertools.takewhile(lambda row: row[0] != "", header)
            foreign += [row[0] for row in networks if len(row) > 3 and "CAN" not in row[3].upper()]
    return began, foreign


def time_of(text: str) -> int:
    """0: it is no time that is known."""
    try:
        ns = ns_since_1970(datetime.fromisoformat(text.replace("/", "-")).replace(tzinfo=None))
    except ValueError:
        return 0
    return ns if abs(ns) < 1 << 62 else 0


FORMAT: Final = Format(
    read,
    magic=(b"Vehicle Spy ",),
    line=rb"(?i:line,abs time\(sec\),|\d+,-?\d+[.\de+-]*,[^,]*,[^,]*,[TF],[TF],[^,]*,[^,]+,[^,]*,[0-9a-f]{1,8},)",
)
