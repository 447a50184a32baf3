"""CARBUS Analyzer's trace: the compiled parser reads it."""

from typing import Final

from isotp.capture._parsers import CarbusParser
from isotp.capture._parsing import parsed_by
from isotp.capture._reading import Format

FORMAT: Final = Format(parsed_by(CarbusParser), line=rb"@ TEXT @ \d+ @")
