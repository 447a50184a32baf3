"""Logs of ASC: any bytes, in any blocks, with the date of the header and without it."""

from __future__ import annotations

from checks.fuzz.targets.logs import number_of, read_in_pieces, read_log, split
from isotp.capture._formats.asc import measurement_start, no_start
from isotp.capture._parsers import AscParser


def one_input(data: bytes) -> None:
    choices, log = split(data)
    absolute = choices.flag()
    cuts = choices.rest()
    read_in_pieces(lambda: AscParser(number_of, measurement_start if absolute else no_start), log, cuts)
    read_log(log, "asc", absolute=absolute, sizes=cuts)
