"""CSV as python-can writes it: its reader reads it."""

from typing import Final

from isotp.capture._python_can import read_by
from isotp.capture._reading import Format

HEADER: Final = "timestamp,arbitration_id,extended,remote,error,dlc,data"
# The reader passes over the first line, and does so again when it goes on behind a bad one.
FORMAT: Final = Format(read_by("CSVReader", HEADER + "\n"), line=HEADER.encode() + rb"\b")
