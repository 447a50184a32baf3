"""Blocks of pcapng (draft-ietf-opsawg-pcapng), in little endian: what frames and messages are packets in."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import IO

__all__ = ["COMMENT", "SENT_FLAG", "PcapngFile", "packet"]

SECTION, INTERFACE, PACKET = 0x0A0D0D0A, 1, 6
# Options: of any block, of an interface, of a packet.
END, COMMENT, IF_NAME, IF_TSRESOL, EPB_FLAGS = 0, 1, 2, 9, 2
OUTBOUND = 2
#: The option of a packet that went out from where the log was written; of others we do not know it.
SENT_FLAG = (EPB_FLAGS, struct.pack("<I", OUTBOUND))
MOST_CAPTURED = 262_144  # bytes of a packet that Wireshark takes


class PcapngFile:
    """One section, its interfaces by name, times in ns.

    :param link_type: of all its interfaces.
    """

    def __init__(self, stream: IO[bytes], link_type: int) -> None:
        self._stream = stream
        self._link_type = link_type
        self._interfaces: dict[str, int] = {}
        stream.write(block(SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)))

    def interface(self, name: str) -> int:
        """Its number; described before its first packet."""
        if name not in self._interfaces:
            self._interfaces[name] = len(self._interfaces)
            body = struct.pack("<HHI", self._link_type, 0, 0)
            body += options(((IF_NAME, name.encode()), (IF_TSRESOL, b"\x09")))
            self._stream.write(block(INTERFACE, body))
        return self._interfaces[name]

    def flush(self) -> None:
        self._stream.flush()

    def write(self, packets: Iterable[bytes]) -> None:
        self._stream.writelines(packets)
        self._stream.flush()


def packet(interface: int, time: int, data: bytes, more: Iterable[tuple[int, bytes]] = ()) -> bytes:
    """The block of a packet; one that is too long for Wireshark is cut, as a capture with a limit is."""
    captured = data[:MOST_CAPTURED]
    high, low = time >> 32 & 0xFFFFFFFF, time & 0xFFFFFFFF
    body = struct.pack("<IIIII", interface, high, low, len(captured), len(data)) + captured
    return block(PACKET, body + bytes(-len(body) % 4) + options(more))


def options(values: Iterable[tuple[int, bytes]]) -> bytes:
    found = b"".join(
        struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4) for code, value in values
    )
    return found + struct.pack("<HH", END, 0) if found else b""


def block(kind: int, body: bytes) -> bytes:
    """Its body filled up to 4 bytes between type and length, and the length once more."""
    filling = -len(body) % 4
    size = struct.pack("<I", len(body) + filling + 12)
    return struct.pack("<I", kind) + size + body + bytes(filling) + size
