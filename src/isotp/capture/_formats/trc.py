"""TRC of PEAK's tools: the compiled parser reads it."""

from typing import Final

from isotp.capture._parsers import TrcParser
from isotp.capture._parsing import parsed_by
from isotp.capture._reading import Format

FORMAT: Final = Format(parsed_by(TrcParser), line=rb";\$FILEVERSION=|;-+\+-|\d+\)[ \t]+\d+([.,]\d+)?[ \t]")
