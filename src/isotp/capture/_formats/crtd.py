"""CRTD of the Open Vehicle Monitoring System: the compiled parser reads it."""

from typing import Final

from isotp.capture._parsers import CrtdParser
from isotp.capture._parsing import parsed_by
from isotp.capture._reading import Format

FORMAT: Final = Format(
    parsed_by(CrtdParser),
    line=rb"\d+\.\d+[ \t]+(\d*[RT](11|29)[ \t]+[0-9A-Fa-f]{1,8}([ \t]|\r?$)|\d*C(XX|EV|ST|ER)([ \t]|\r?$))",
)
