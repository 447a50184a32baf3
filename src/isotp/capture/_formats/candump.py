"""candump -L and -l of can-utils: the compiled parser reads it."""

from typing import Final

from isotp.capture._parsers import CandumpParser
from isotp.capture._reading import Format, parsed_by

FORMAT: Final = Format(parsed_by(CandumpParser), line=rb"\(\d+(\.\d+)?\)[ \t]+\S+[ \t]+[0-9A-Fa-f]{1,8}#")
