"""The frames of chosen sessions and messages out of a log, and candump and pcapng files of them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, NamedTuple, Protocol

import numpy
from numpy.typing import NDArray

from isotp.address import AbstractAddress, TargetAddressType
from isotp.bulk._messages import Messages
from isotp.bulk._records import Records
from isotp.cli.addresses import CAN_EFF_FLAG, sides_of
from isotp.message import MessageStatus

__all__ = ["CandumpWriter", "FrameFilter", "FrameWriter", "PcapngWriter", "Spans"]

ChannelName = Callable[[int], str]
Numbers = NDArray[numpy.int64]
# Records as a structured array: see isotp.record_dtype.
FrameArray = Any

CAN_EFF_MASK = 0x1FFFFFFF  # linux/can.h
CANFD_FLAGS = 0x03  # CANFD_BRS and CANFD_ESI, linux/can.h
CANFD_FDF = 0x04
NO_PREFIX = 0x100  # in the place of the byte before the N_PCI
ANY_CHANNEL = 0x10000


class Lane(NamedTuple):
    """What says which session a frame belongs to."""

    channel: int
    can_id: int
    prefix: int

    @property
    def key(self) -> int:
        return (self.channel << 41) | (self.prefix << 32) | self.can_id


def lanes_of(address: AbstractAddress, channel: int | None) -> Iterator[Lane]:
    where = ANY_CHANNEL if channel is None else channel
    for side in sides_of(address):
        if side is None:
            continue
        for kind in TargetAddressType:
            yield Lane(where, side.can_id(kind), NO_PREFIX if side.extension is None else side.extension)


class Spans:
    """When chosen messages were on the bus, by session and channel.

    One that broke off reaches up to the next message of its session, N_Cr at most, so that the frame it broke off at
    is within it.
    """

    def __init__(self, n_cr_ns: int) -> None:
        self._n_cr_ns = n_cr_ns
        self._chosen: dict[tuple[int, int], list[tuple[Numbers, Numbers, Numbers]]] = {}
        self._starts: dict[tuple[int, int], list[Numbers]] = {}
        self._sorted: dict[tuple[int, int], tuple[Numbers, Numbers]] = {}

    def add(self, messages: Messages) -> None:
        """Choose these messages."""
        for key, rows in by_lane(messages):
            start, end, status = (
                numpy.asarray(messages.column(name))[rows] for name in ("start", "end", "status")
            )
            self._chosen.setdefault(key, []).append((start, end, status))

    def add_starts(self, messages: Messages) -> None:
        """Know when these began, chosen or not."""
        for key, rows in by_lane(messages):
            self._starts.setdefault(key, []).append(numpy.asarray(messages.column("start"))[rows])

    def cover(self, session: int, channel: int, times: Numbers) -> NDArray[numpy.bool_]:
        """Which of the times lie within a chosen message of the session."""
        if (session, channel) not in self._chosen:
            return numpy.zeros(len(times), numpy.bool_)
        starts, latest = self._in_order(session, channel)
        place = numpy.searchsorted(starts, times, side="right") - 1
        covered: NDArray[numpy.bool_] = (place >= 0) & (latest[place] >= times)
        return covered

    def _in_order(self, session: int, channel: int) -> tuple[Numbers, Numbers]:
        """When the messages began, and the latest end of those so far: those of the two directions may overlap."""
        key = session, channel
        if key not in self._sorted:
            start, end, status = (numpy.concatenate(parts) for parts in zip(*self._chosen[key], strict=True))
            reach = numpy.minimum(self._next_start(key, end), end + self._n_cr_ns)
            end = numpy.where(status == MessageStatus.OK, end, numpy.maximum(end, reach))
            order = numpy.argsort(start, kind="stable")
            self._sorted[key] = start[order], numpy.maximum.accumulate(end[order])
        return self._sorted[key]

    def _next_start(self, key: tuple[int, int], times: Numbers) -> Numbers:
        """The last ns before the session's next message begins."""
        starts = numpy.append(numpy.sort(numpy.concatenate(self._starts[key])), numpy.iinfo(numpy.int64).max)
        following: Numbers = starts[numpy.searchsorted(starts[:-1], times, side="right")] - 1
        return following


def by_lane(messages: Messages) -> Iterator[tuple[tuple[int, int], NDArray[numpy.bool_]]]:
    """Each session and channel of the table, with its rows."""
    session, channel = (numpy.asarray(messages.column(name)) for name in ("session", "channel"))
    for key in sorted(set(zip(session.tolist(), channel.tolist(), strict=True))):
        yield key, (session == key[0]) & (channel == key[1])


class FrameFilter:
    """Tells which frames belong to sessions; with `spans`, only those of chosen messages, flow control among them."""

    def __init__(
        self, sessions: Sequence[tuple[AbstractAddress, int | None]], spans: Spans | None = None
    ) -> None:
        indices: dict[AbstractAddress, int] = {}
        owners: dict[int, int] = {}
        for address, channel in sessions:
            index = indices.setdefault(address, len(indices))
            for lane in lanes_of(address, channel):
                # As the Reassembler has it, the first session keeps what several have in common.
                owners.setdefault(lane.key, index)
        self._keys = numpy.array(sorted(owners), numpy.int64)
        self._owners = numpy.array([owners[key] for key in sorted(owners)], numpy.int64)
        self._spans = spans

    def select(self, records: Records) -> FrameArray:
        """The frames of `records` that belong to the sessions, in their order, as an array of records."""
        frames: FrameArray = numpy.asarray(records)
        owners = self._owners_of(frames)
        chosen = owners >= 0
        if self._spans is not None:
            chosen &= self._covered(frames, owners)
        return frames[chosen]

    def _owners_of(self, frames: FrameArray) -> Numbers:
        """The session of each frame, -1 for none."""
        found = numpy.full(len(frames), -1, numpy.int64)
        if len(self._keys) == 0:
            return found
        can_id = frames["can_id"].astype(numpy.int64)
        channel = frames["channel"].astype(numpy.int64)
        prefix = numpy.where(frames["len"] > 0, frames["data"][:, 0].astype(numpy.int64), NO_PREFIX)
        for where in (channel, numpy.int64(ANY_CHANNEL)):
            for before in (numpy.int64(NO_PREFIX), prefix):
                keys = (where << 41) | (before << 32) | can_id
                place = numpy.minimum(numpy.searchsorted(self._keys, keys), len(self._keys) - 1)
                hit = (self._keys[place] == keys) & (found < 0)
                found[hit] = self._owners[place[hit]]
        return found

    def _covered(self, frames: FrameArray, owners: Numbers) -> NDArray[numpy.bool_]:
        assert self._spans is not None
        covered = numpy.zeros(len(frames), numpy.bool_)
        channels = frames["channel"].astype(numpy.int64)
        times = frames["timestamp"].astype(numpy.int64)
        for session, channel in set(zip(owners.tolist(), channels.tolist(), strict=True)):
            if session >= 0:
                chosen = (owners == session) & (channels == channel)
                covered[chosen] = self._spans.cover(session, channel, times[chosen])
        return covered


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
        shown_id = f"{can_id & CAN_EFF_MASK:08X}" if can_id & CAN_EFF_FLAG else f"{can_id:03X}"
        fd = f"#{flags & CANFD_FLAGS:X}" if flags & CANFD_FDF else ""
        name = interface_name(self._channel_name(channel))
        return f"({seconds:010}.{ns // 1000:06}) {name} {shown_id}#{fd}{data.hex().upper()}\n"


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
        self._block(self.SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))

    def _block(self, kind: int, body: bytes) -> None:
        self._stream.write(block(kind, body))

    def _interface(self, channel: int) -> int:
        if channel not in self._interfaces:
            self._interfaces[channel] = len(self._interfaces)
            options = (
                (self.IF_NAME, interface_name(self._channel_name(channel)).encode()),
                (self.IF_TSRESOL, b"\x09"),
                (0, b""),
            )
            self._block(
                self.INTERFACE,
                struct.pack("<HHI", self.LINKTYPE_CAN_SOCKETCAN, 0, 0)
                + b"".join(
                    struct.pack("<HH", code, len(it)) + it + bytes(-len(it) % 4) for code, it in options
                ),
            )
        return self._interfaces[channel]

    def write(self, frames: FrameArray) -> None:
        # The interfaces first: each has to be described before its first packet.
        interfaces = {
            channel: self._interface(channel) for channel in numpy.unique(frames["channel"]).tolist()
        }
        self._stream.writelines(
            self._packet(interfaces[channel], time, can_id, flags, data)
            for time, can_id, flags, channel, data in frames_of(frames)
        )
        self._stream.flush()

    def _packet(self, interface: int, time: int, can_id: int, flags: int, data: bytes) -> bytes:
        fd_flags = flags & (CANFD_FDF | CANFD_FLAGS) if flags & CANFD_FDF else 0
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
