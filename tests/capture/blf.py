"""BLF, object by object."""

from __future__ import annotations

import struct
import zlib


def blf_object(kind: int, body: bytes, time: int = 0, *, flags: int = 2, version: int = 1) -> bytes:
    head = {1: struct.pack("<LHHQ", flags, 0, 0, time), 2: struct.pack("<LBxHQQ", flags, 0, 0, time, 0)}[
        version
    ]
    size = 16 + len(head) + len(body)
    return (
        struct.pack("<4sHHLL", b"LOBJ", 16 + len(head), version, size, kind)
        + head
        + body
        + bytes(len(body) % 4)
    )


def container(objects: bytes, method: int = 2) -> bytes:
    packed = zlib.compress(objects) if method == 2 else objects
    size = 32 + len(packed)
    head = struct.pack("<4sHHLLH6xL4x", b"LOBJ", 16, 1, size, 10, method, len(objects))
    return head + packed + bytes(size % 4)


def blf(*containers: bytes) -> bytes:
    start = struct.pack("<8H", 2017, 9, 6, 30, 15, 6, 13, 191)
    return (b"LOGG" + struct.pack("<L", 144)).ljust(40, b"\0") + start + bytes(88) + b"".join(containers)


BEGAN = 1506783973_191000000


def can_message(number: int) -> bytes:
    return blf_object(1, struct.pack("<HBBL8s", 1, 0, 1, 0x100 + number, bytes([number])), number)
