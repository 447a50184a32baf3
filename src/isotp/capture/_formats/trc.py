"""TRC of PEAK's tools: python-can's reader reads it."""

from typing import Final

from isotp.capture._python_can import read_by
from isotp.capture._reading import Format

FORMAT: Final = Format(read_by("TRCReader"), line=rb";\$FILEVERSION=|;-+\+-|\d+\)[ \t]+\d+(\.\d+)?[ \t]")
