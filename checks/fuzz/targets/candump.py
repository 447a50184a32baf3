"""Logs of candump: any bytes, in any blocks."""

from __future__ import annotations

from checks.fuzz.targets.logs import number_of, read_in_pieces, read_log, split
from isotp.capture._formats.candump import hour_of
from isotp.capture._parsers import CandumpParser


def one_input(data: bytes) -> None:
    choices, log = split(data)
    start = choices.number(4) if choices.flag() else None
    cuts = choices.rest()
    read_in_pieces(lambda: CandumpParser(number_of, hour_of, start), log, cuts)
    read_log(log, "candump", sizes=cuts)
