"""Logs of BLF: any bytes as a file, and the same bytes as the objects that a log container holds, in any blocks."""

from __future__ import annotations

import struct
import zlib

from checks.fuzz.targets.logs import number_of, read_in_pieces, read_log, split
from isotp.capture._formats.blf import CONTAINER, DEFLATED, HEADER_SIZE, LOG_CONTAINER, OBJECT, PLAIN
from isotp.capture._parsers import BlfParser


def one_input(data: bytes) -> None:
    choices, log = split(data)
    kind = choices.byte() % 4
    began = choices.number(8) & ((1 << 62) - 1) if kind & 1 else 0
    cuts = choices.rest()
    if kind < 2:
        read_in_pieces(lambda: BlfParser(number_of, began), log, cuts)
    elif kind == 2:
        read_log(b"LOGG" + log, "blf", sizes=cuts)
    else:
        read_log(packed(log, cuts), "blf", sizes=cuts)


def packed(objects: bytes, cuts: bytes) -> bytes:
    """A file whose containers hold these objects, so that the fuzzer need not find out how to deflate."""
    header = struct.pack("<4sL", b"LOGG", HEADER_SIZE)
    file = bytearray(header + bytes(HEADER_SIZE - len(header)))
    place = 0
    for size in (*cuts, len(objects)):
        piece = objects[place : place + size]
        place += size
        method = DEFLATED if size & 1 else PLAIN
        body = zlib.compress(piece, 1) if method == DEFLATED else piece
        size_in_file = OBJECT.size + CONTAINER.size + len(body)
        file += OBJECT.pack(b"LOBJ", OBJECT.size, 1, size_in_file, LOG_CONTAINER)
        file += CONTAINER.pack(method, len(piece)) + body + bytes(size_in_file % 4)
    return bytes(file)
