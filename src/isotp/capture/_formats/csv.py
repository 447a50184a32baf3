"""CSV as python-can writes it: its reader reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from isotp._records import Records
from isotp.capture._python_can import read_messages
from isotp.capture._reading import Format, Reading
from isotp.capture._source import Source

__all__ = ["FORMAT"]

HEADER: Final = "timestamp,arbitration_id,extended,remote,error,dlc,data"


def read(source: Source, reading: Reading) -> Iterator[Records]:
    # The reader passes over the first line, and does so again when it goes on behind a bad one.
    return read_messages("CSVReader", source, reading, HEADER + "\n")


FORMAT: Final = Format(read, line=HEADER.encode() + rb"\b")
