"""candump of can-utils, its logs (-L, -l) and what it shows on a screen: the compiled parser reads both."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Final

from isotp.bulk._records import Records
from isotp.capture._local_time import ns_since_1970
from isotp.capture._parsers import CandumpParser
from isotp.capture._parsing import parse_all
from isotp.capture._reading import Format, Reading
from isotp.capture._source import Source

__all__ = ["FORMAT", "hour_of"]


def read(source: Source, reading: Reading) -> Iterator[Records]:
    return parse_all(partial(reading.parser, CandumpParser, hour_of), source, reading)


def hour_of(text: bytes) -> int:
    """When an hour began, in ns since 1970, of a local time as candump -t A has it: "(2016-01-01 12".

    :raises ValueError: if it is no date.
    """
    return ns_since_1970(datetime.strptime(text.decode("ascii", "replace"), "(%Y-%m-%d %H"))


FORMAT: Final = Format(
    read,
    line=rb"\(\d+(\.\d+)?\)[ \t]+\S+[ \t]+[0-9A-Fa-f]{1,8}#"
    rb"|(\([\d:. -]+\)[ \t]+)?\S{1,16}[ \t]+([TR]X[ \t]+[-B][ \t]+[-E][ \t]+)?"
    rb"[0-9A-F]{1,8}[ \t]+(\[\d{1,2}\]|\{[9A-F]\})([ \t]|\r?$)",
)
