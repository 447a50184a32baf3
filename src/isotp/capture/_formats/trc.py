"""TRC of PEAK's tools: python-can's reader reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from isotp._records import Records
from isotp.capture._python_can import read_messages
from isotp.capture._reading import Format, Reading
from isotp.capture._source import Source

__all__ = ["FORMAT"]


def read(source: Source, reading: Reading) -> Iterator[Records]:
    return read_messages("TRCReader", source, reading)


FORMAT: Final = Format(read, line=rb";\$FILEVERSION=|;-+\+-|\d+\)[ \t]+\d+(\.\d+)?[ \t]")
