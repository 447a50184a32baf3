"""pcap and pcapng, packet by packet."""

from __future__ import annotations

import struct

SECONDS, NS = 1_700_000_000, 123_456_789
CAN, SLL, SLL2, ETHERNET = 227, 113, 276, 1


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
