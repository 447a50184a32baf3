"""ASC of Vector's tools: the compiled parser reads it, and the date in its header is read here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Final

from isotp.bulk._records import Records
from isotp.capture._local_time import ns_since_1970
from isotp.capture._parsers import AscParser
from isotp.capture._parsing import parse_all
from isotp.capture._reading import Format, Reading
from isotp.capture._source import Source

__all__ = ["FORMAT", "measurement_start", "no_start"]


def read(source: Source, reading: Reading) -> Iterator[Records]:
    start_of = measurement_start if reading.absolute else no_start
    return parse_all(partial(reading.parser, AscParser, start_of), source, reading)


FORMAT: Final = Format(
    read,
    line=rb"(?i:date[ \t]+\w+[ \t]+\S+[ \t]+\d|base[ \t]+(hex|dec)\b|begin[ \t]+triggerblock\b"
    rb"|\d+[.,]\d+[ \t]+(\d+[ \t]+(\w+[ \t]+(tx|rx)[ \t]|errorframe)|canfd[ \t]))",
)


def no_start(line: bytes) -> None:
    """Times stay relative to the start of the measurement, whatever the header says."""


DATE: Final = re.compile(r"(?:date|begin\s+triggerblock)\s+\w+\s+(.+)", re.IGNORECASE)
MONTHS: Final = {
    name: number
    for names in (
        "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
        "Jan Feb Mär Apr Mai Jun Jul Aug Sep Okt Nov Dez",
    )
    for number, name in enumerate(names.split(), 1)
}
DATE_FORMATS: Final = (
    "%m %d %I:%M:%S.%f %p %Y",
    "%m %d %I:%M:%S %p %Y",
    "%m %d %H:%M:%S.%f %Y",
    "%m %d %H:%M:%S %Y",
)


def measurement_start(line: bytes) -> int | None:
    """When the measurement began by a header line of ASC, in ns since 1970; the line is in local time.

    None: the line names no date.

    :raises ValueError: if it names one in an unknown form.
    """
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        text = line.decode("latin-1")
    if not (match := DATE.match(text.strip())):
        return None
    month, _, rest = match[1].partition(" ")
    for form in DATE_FORMATS:
        try:
            began = datetime.strptime(f"{MONTHS.get(month, 0):02} {rest}", form)
        except ValueError:
            continue
        return ns_since_1970(began)
    raise ValueError(f"no date that is known: {text!r}")
