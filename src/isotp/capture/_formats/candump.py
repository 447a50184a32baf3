"""candump -L and -l of can-utils: the compiled parser reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from isotp._records import Records
from isotp.capture._parsers import CandumpParser
from isotp.capture._reading import Format, Reading
from isotp.capture._source import Source

__all__ = ["FORMAT"]


def read(source: Source, reading: Reading) -> Iterator[Records]:
    return reading.parse_all(reading.parser(CandumpParser), source)


FORMAT: Final = Format(read, line=rb"\(\d+(\.\d+)?\)[ \t]+\S+[ \t]+[0-9A-Fa-f]{1,8}#")
