"""Files of frames: candump and pcapng."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import IO, Any, Protocol

from isotp._can_ids import BRS, ESI, FDF, SENT, id_text
from isotp.cli.shown.pcapng import SENT_FLAG, PcapngFile, packet

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
    """The lines of `candump -L`: times in us, as can-utils reads them, and a T behind what the recorder sent."""

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
        sent = " T" if flags & SENT else ""
        return f"({seconds:010}.{ns // 1000:06}) {name} {id_text(can_id)}#{fd}{data.hex().upper()}{sent}\n"


class PcapngWriter:
    """pcapng with the link type of SocketCAN, times in ns and the channels by name; Wireshark reads it.

    The frame in a packet is in network order, as LINKTYPE_CAN_SOCKETCAN has it.
    """

    LINKTYPE_CAN_SOCKETCAN = 227

    def __init__(self, stream: IO[bytes], channel_name: ChannelName) -> None:
        self._channel_name = channel_name
        self._file = PcapngFile(stream, self.LINKTYPE_CAN_SOCKETCAN)

    def write(self, frames: FrameArray) -> None:
        # The interfaces first: each has to be described before its first packet.
        interfaces = {
            channel: self._file.interface(interface_name(self._channel_name(channel)))
            for channel in sorted(set(frames["channel"].tolist()))
        }
        self._file.write(
            packet(
                interfaces[channel], time, frame_bytes(can_id, flags, data), [SENT_FLAG] * bool(flags & SENT)
            )
            for time, can_id, flags, channel, data in frames_of(frames)
        )


def frame_bytes(can_id: int, flags: int, data: bytes) -> bytes:
    fd_flags = flags & (FDF | FD_FLAGS) if flags & FDF else 0
    return struct.pack(">IBBxx", can_id, len(data), fd_flags) + data


def interface_name(channel: str) -> str:
    """Logs without names number their channels; candump and pcapng want names."""
    return f"can{channel}" if channel.isdecimal() else channel.replace(" ", "_")
