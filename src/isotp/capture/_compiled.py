"""Readers of candump, ASC and pcap: blocks of the file go through a compiled parser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from isotp._local_time import ns_since_1970
from isotp._logs import AscParser, CandumpParser, LogParser, PcapParser
from isotp.bulk._records import Records
from isotp.capture._reading import Reading
from isotp.capture._source import Source


def read_blocks(source: Source, reading: Reading, parser: LogParser) -> Iterator[Records]:
    while block := source.read(reading.block_size):
        yield from reading.parse(parser, block)
    # The rest of a line that was cut with the packed data may look like a whole one.
    if not source.cut:
        yield from reading.parse(parser, b"", final=True)


def read_candump(source: Source, reading: Reading) -> Iterator[Records]:
    parser = CandumpParser(reading.channels.number_of, reading.start, reading.end, reading.wanted)
    return read_blocks(source, reading, parser)


def read_pcap(source: Source, reading: Reading) -> Iterator[Records]:
    parser = PcapParser(reading.channels.number_of, reading.start, reading.end, reading.wanted)
    return read_blocks(source, reading, parser)


def read_asc(source: Source, reading: Reading) -> Iterator[Records]:
    start_of = measurement_start if reading.absolute else no_start
    parser = AscParser(reading.channels.number_of, start_of, reading.start, reading.end, reading.wanted)
    return read_blocks(source, reading, parser)


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
