"""Files of frames: candump and pcapng."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import IO, Any, Protocol

from isotp._can_ids import BRS, ESI, FDF, id_text

__all__ = ["CandumpWriter", "FrameWriter", "PcapngWriter"]

ChannelName = Callable[[int], str]
# Records as a structured array: see isotp.record_dtype.
FrameArray = Any

FD_FLAGS = BRS | ESI


def frames_of(frames: FrameArray) -> Iterator[tuple[int, int, int, int, bytes]]:
    """Time, CAN ID, flags, channel and data of each frame."""
    columns = (frames[name].tolist() for name in ("timestamp", "can_id", "flags", "channel", "len"))
    room = frames.dtype["data"].shape[0]
    data = frames["data"].tobytes()
    places = range(0, len(data), room)
    for time, can_id, flags, channel, size, place in zip(*columns, places, strict=True):
        yield time, can_id, flags, channel, data[place : place + size]


class FrameWriter(Protocol):
    """Where frames go, many at a time."""

    def write(self, frames: FrameArray) -> None: ...


class CandumpWriter:
    """The lines of `candump -L`: times in us, as can-utils reads them."""

    def __init__(self, stream: IO[str], channel_name: ChannelName) -> None:
        self._stream = stream
        self._channel_name = channel_name

    def write(self, frames: FrameArray) -> None:
        self._stream.writelines(self._line(*frame) for frame in frames_of(frames))
        self._stream.flush()

    def _line(self, time: int, can_id: int, flags: int, channel: int, data: bytes) -> str:
        seconds, ns = divmod(time, 10**9)
        fd = f"#{flags & FD_FLAGS:X}" if flags & FDF else ""
        name = interface_name(self._channel_name(channel))
        return f"({seconds:010}.{ns // 1000:06}) {name} {id_text(can_id)}#{fd}{data.hex().upper()}\n"


class PcapngWriter:
    """pcapng with the link type of SocketCAN, times in ns and the channels by name; Wireshark reads it.

    Blocks are those of draft-ietf-opsawg-pcapng, in little endian; the frame in a packet is in network order, as
    LINKTYPE_CAN_SOCKETCAN has it.
    """

    LINKTYPE_CAN_SOCKETCAN = 227
    SECTION, INTERFACE, PACKET = 0x0A0D0D0A, 1, 6
    IF_NAME, IF_TSRESOL = 2, 9

    def __init__(self, stream: IO[bytes], channel_name: ChannelName) -> None:
        self._stream = stream
        self._channel_name = channel_name
        self._interfaces: dict[int, int] = {}
        stream.write(block(self.SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)))

    def _interface(self, channel: int) -> int:
        if channel not in self._interfaces:
            self._interfaces[channel] = len(self._interfaces)
            options = (
                (self.IF_NAME, interface_name(self._channel_name(channel)).encode()),
                (self.IF_TSRESOL, b"\x09"),
                (0, b""),
            )
            body = struct.pack("<HHI", self.LINKTYPE_CAN_SOCKETCAN, 0, 0)
            for code, it in options:
                body += struct.pack("<HH", code, len(it)) + it + bytes(-len(it) % 4)
            self._stream.write(block(self.INTERFACE, body))
        return self._interfaces[channel]

    def write(self, frames: FrameArray) -> None:
        # The interfaces first: each has to be described before its first packet.
        interfaces = {
            channel: self._interface(channel) for channel in sorted(set(frames["channel"].tolist()))
        }
        self._stream.writelines(
            self._packet(interfaces[channel], time, can_id, flags, data)
            for time, can_id, flags, channel, data in frames_of(frames)
        )
        self._stream.flush()

    def _packet(self, interface: int, time: int, can_id: int, flags: int, data: bytes) -> bytes:
        fd_flags = flags & (FDF | FD_FLAGS) if flags & FDF else 0
        packet = struct.pack(">IBBxx", can_id, len(data), fd_flags) + data
        high, low = time >> 32 & 0xFFFFFFFF, time & 0xFFFFFFFF
        return block(
            self.PACKET, struct.pack("<IIIII", interface, high, low, len(packet), len(packet)) + packet
        )


def block(kind: int, body: bytes) -> bytes:
    """A block of pcapng: its body filled up to 4 bytes between type and length, and the length once more."""
    filling = -len(body) % 4
    size = struct.pack("<I", len(body) + filling + 12)
    return struct.pack("<I", kind) + size + body + bytes(filling) + size


def interface_name(channel: str) -> str:
    """Logs without names number their channels; candump and pcapng want names."""
    return f"can{channel}" if channel.isdecimal() else channel.replace(" ", "_")
