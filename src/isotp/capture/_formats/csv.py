"""CSV as python-can writes it: the compiled parser reads it."""

from typing import Final

from isotp.capture._parsers import CsvParser
from isotp.capture._parsing import parsed_by
from isotp.capture._reading import Format

FORMAT: Final = Format(
    parsed_by(CsvParser),
    line=rb"timestamp,arbitration_id,|-?\d+[.e][^,]*,0x[0-9A-Fa-f]+,[01],[01],[01],\d+,",
)
