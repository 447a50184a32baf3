"""Logs as the tests make them, byte by byte, and what is read of them."""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import lzma
import random
import struct
import zlib
from typing import Any

from isotp import capture
from isotp._records import Record

EFF, RTR, ERR = 0x80000000, 0x40000000, 0x20000000
BRS, ESI, FDF, SENT = 0x01, 0x02, 0x04, 0x80
SECONDS, NS = 1_700_000_000, 123_456_789
CAN, SLL, SLL2, ETHERNET = 227, 113, 276, 1


def read(file: Any, **options: Any) -> tuple[list[Record], capture.Capture]:
    """The frames of a log, which are its bytes, a path or an open file."""
    with capture.open(io.BytesIO(file) if isinstance(file, bytes) else file, **options) as log:
        return [record for records in log for record in records], log


def problems(log: capture.Capture) -> list[tuple[int, int | None, str]]:
    return [(each.offset, each.line, each.reason) for each in log.problems]


# --- ASC ---

ASC = "date Sam Sep 30 15:06:13.191 2017\nbase hex  timestamps absolute\nno internal events logged\n"


def asc(*lines: str, head: str = ASC) -> bytes:
    return (head + "".join(f"{line}\n" for line in lines)).encode()


# --- BLF ---


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


def numbers(found: list[Record]) -> list[int]:
    return [each.can_id - 0x100 for each in found]


# --- pcap and pcapng ---


def frame(can_id: int, data: bytes, flags: int = 0, *, order: str = ">", room: int = 8) -> bytes:
    """SocketCAN's struct can_frame or canfd_frame (room=64)."""
    return struct.pack(f"{order}IBB2x", can_id, len(data), flags) + data.ljust(room, b"\0")


def pcap(order: str, link: int, packets: list[bytes], *, nanoseconds: bool = True) -> bytes:
    magic, part = (0xA1B23C4D, NS) if nanoseconds else (0xA1B2C3D4, NS // 1000)
    file = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 262144, link)
    for packet in packets:
        file += struct.pack(f"{order}IIII", SECONDS, part, len(packet), len(packet)) + packet
    return file


def option(order: str, code: int, value: bytes) -> bytes:
    return struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)


def block(order: str, kind: int, body: bytes) -> bytes:
    size = 12 + len(body)
    return struct.pack(f"{order}II", kind, size) + body + struct.pack(f"{order}I", size)


def section(order: str) -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(order: str, link: int, name: str, *options: bytes) -> bytes:
    body = struct.pack(f"{order}HHI", link, 0, 0) + option(order, 2, name.encode())
    return block(order, 1, body + b"".join(options) + option(order, 0, b""))


def enhanced(order: str, number: int, ticks: int, packet: bytes, *options: bytes) -> bytes:
    head = struct.pack(f"{order}IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(packet), len(packet))
    return block(order, 6, head + packet + bytes(-len(packet) % 4) + b"".join(options))


# --- compression ---

PAYLOADS = random.Random(5).randbytes(8 * 20_000)
LOG = b"".join(
    b"(%d.0) can0 123#%s\n" % (second, PAYLOADS[8 * second : 8 * second + 8].hex().encode())
    for second in range(20_000)
)


def packers() -> dict[str, Any]:
    found: dict[str, Any] = {
        "gz": gzip.compress,
        "bz2": functools.partial(bz2.compress, compresslevel=1),
        "xz": lzma.compress,
    }
    try:
        from compression import zstd
    except ImportError:
        try:
            from backports import zstd
        except ImportError:
            return found
    return found | {"zstd": zstd.compress}
