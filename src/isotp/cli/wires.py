"""A bus as frames, each with its time: a raw CAN socket, or a bus of python-can."""

from __future__ import annotations

import select
import socket
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from isotp._core import CanMessage
from isotp.cli.addresses import CAN_EFF_FLAG
from isotp.cli.complaints import explained
from isotp.cli.places import Place, open_bus

__all__ = ["FDF", "Frame", "Wire", "frames_of", "id_text", "message_of", "open_wire"]

# linux/can.h
CAN_RTR_FLAG, CAN_ERR_FLAG = 0x40000000, 0x20000000
CANFD_BRS, CANFD_ESI, FDF = 0x01, 0x02, 0x04
CLASSIC, FD = struct.Struct("=IB3x8s"), struct.Struct("=IBB2x64s")
SCM_TIMESTAMPNS = 35  # asm-generic/socket.h; open_can_socket() asks for it
TIMESPEC = struct.Struct("@ll")
# Frames that are taken together if they are there, and the longest wait until a look whether it was interrupted (s).
AT_ONCE = 512
PIECE = 0.2


class Frame(NamedTuple):
    """A data frame: ns since 1970, CAN ID with CAN_EFF_FLAG, data, flags of CAN FD."""

    timestamp: int
    can_id: int
    data: bytes
    flags: int


class Wire(Protocol):
    """Frames in and out."""

    def receive(self, timeout: float) -> Frame | None:
        """The next data frame, None if there is none in time."""

    def send(self, message: CanMessage) -> None: ...
    def close(self) -> None: ...


def open_wire(place: Place, identifiers: Iterable[int] | None) -> Wire:
    """The bus, with the frames that have these CAN IDs; None: all.

    :raises typer.Exit: if that is not possible, having said why.
    """
    with explained():
        return SocketWire(place, identifiers) if place.native else BusWire(place, identifiers)


def frames_of(wire: Wire, quiet: float | None = None) -> Iterator[list[Frame]]:
    """Frames as they come, those together that are there; ends if none came for `quiet` seconds.

    An empty list now and then, while nothing comes: for who has to look around.
    """
    deadline = None if quiet is None else time.monotonic() + quiet
    while deadline is None or time.monotonic() < deadline:
        left = PIECE if deadline is None else min(PIECE, max(deadline - time.monotonic(), 0))
        frame = wire.receive(left)
        found = []
        while frame is not None:
            found.append(frame)
            frame = wire.receive(0) if len(found) < AT_ONCE else None
        if found and quiet is not None:
            deadline = time.monotonic() + quiet
        yield found


def id_text(can_id: int) -> str:
    return f"{can_id & ~CAN_EFF_FLAG:08X}" if can_id & CAN_EFF_FLAG else f"{can_id:03X}"


def message_of(frame: Frame) -> CanMessage:
    """As layers and PDU take it."""
    return CanMessage(
        frame.can_id & ~CAN_EFF_FLAG,
        data=frame.data,
        extended_id=bool(frame.can_id & CAN_EFF_FLAG),
        is_fd=bool(frame.flags & FDF),
    )


class SocketWire:
    """A raw CAN socket."""

    def __init__(self, place: Place, identifiers: Iterable[int] | None) -> None:
        from isotp.socketcan import open_can_socket

        self._can = open_can_socket(place.name)
        self._can.set_filters(identifiers)
        self._socket = self._can.socket

    def receive(self, timeout: float) -> Frame | None:
        assert sys.platform == "linux"
        deadline = time.monotonic() + timeout
        while True:
            try:
                raw, controls, _, _ = self._socket.recvmsg(FD.size, socket.CMSG_SPACE(TIMESPEC.size))
            except BlockingIOError:
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                select.select([self._socket], [], [], left)
                continue
            number, length, flags, data = FD.unpack(raw) if len(raw) == FD.size else unpack_classic(raw)
            if number & (CAN_RTR_FLAG | CAN_ERR_FLAG):
                continue
            stamps = [
                TIMESPEC.unpack(data)
                for level, kind, data in controls
                if level == socket.SOL_SOCKET and kind == SCM_TIMESTAMPNS
            ]
            now = stamps[0][0] * 10**9 + stamps[0][1] if stamps else time.time_ns()
            return Frame(now, number, data[:length], flags)

    def send(self, message: CanMessage) -> None:
        self._can.send(message)

    def close(self) -> None:
        self._can.close()


def unpack_classic(raw: bytes) -> tuple[int, int, int, bytes]:
    number, length, data = CLASSIC.unpack(raw)
    return number, length, 0, data


class BusWire:
    """A bus of python-can."""

    def __init__(self, place: Place, identifiers: Iterable[int] | None) -> None:
        self._bus = open_bus(place)
        if identifiers is not None:
            self._bus.set_filters(
                [
                    {
                        "can_id": number & ~CAN_EFF_FLAG,
                        "can_mask": 0x1FFFFFFF if number & CAN_EFF_FLAG else 0x7FF,
                        "extended": bool(number & CAN_EFF_FLAG),
                    }
                    for number in identifiers
                ]
            )

    def receive(self, timeout: float) -> Frame | None:
        deadline = time.monotonic() + timeout
        while True:
            message = self._bus.recv(max(deadline - time.monotonic(), 0))
            if message is None:
                return None
            if message.is_error_frame or message.is_remote_frame:
                continue
            flags = FDF if message.is_fd else 0
            flags |= CANFD_BRS * message.bitrate_switch | CANFD_ESI * message.error_state_indicator
            number = message.arbitration_id | (CAN_EFF_FLAG if message.is_extended_id else 0)
            return Frame(round(message.timestamp * 1e6) * 1000, number, bytes(message.data), flags)

    def send(self, message: CanMessage) -> None:
        from isotp.protocol import send_on_bus

        send_on_bus(self._bus, message)

    def close(self) -> None:
        self._bus.shutdown()
