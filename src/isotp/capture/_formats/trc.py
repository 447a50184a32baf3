"""TRC of PEAK's tools: the compiled parser reads it."""

from typing import Final

from isotp.capture._parsers import TrcParser
from isotp.capture._reading import Format, parsed_by

FORMAT: Final = Format(parsed_by(TrcParser), line=rb";\$FILEVERSION=|;-+\+-|\d+\)[ \t]+\d+([.,]\d+)?[ \t]")
