"""GVRET CSV of SavvyCAN: the compiled parser reads it."""

from typing import Final

from isotp.capture._parsers import GvretParser
from isotp.capture._parsing import parsed_by
from isotp.capture._reading import Format

FORMAT: Final = Format(
    parsed_by(GvretParser),
    line=rb"(?i:time stamp,id,extended,|-?\d+(\.\d+)?,(0x)?[0-9a-f]{1,8},(true|false),)",
)
