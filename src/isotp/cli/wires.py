"""A bus as frames, each with its time: a raw CAN socket, a bus of python-can, or several of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple, Protocol

from isotp._can_ids import BRS, EFF_FLAG, EFF_MASK, ESI, FDF, SFF_MASK
from isotp._core import CanMessage
from isotp.cli.complaints import explained
from isotp.cli.options.bus import Place, open_bus

__all__ = ["Frame", "Receiver", "SeveralWires", "Wire", "frames_of", "message_of", "open_wire"]

# Frames that are taken together if they are there, and the longest wait until a look whether it was interrupted (s).
AT_ONCE = 512
PIECE = 0.2


class Frame(NamedTuple):
    """A data frame: ns since 1970, CAN ID with EFF_FLAG, data, flags of CAN FD; its bus, if there are several."""

    timestamp: int
    can_id: int
    data: bytes
    flags: int
    channel: str = ""


class Receiver(Protocol):
    """Frames in."""

    def receive(self, timeout: float) -> list[Frame]:
        """The data frames that are there, or come first within so many seconds; or none, and not later than that."""


class Wire(Receiver, Protocol):
    """Frames in and out."""

    def send(self, message: CanMessage) -> None: ...
    def close(self) -> None: ...


def open_wire(place: Place, identifiers: Iterable[int] | None) -> Wire:
    """The bus, with the frames that have these CAN IDs; None: all.

    :raises typer.Exit: if that is not possible, having said why.
    """
    with explained():
        return SocketWire(place, identifiers) if place.native else BusWire(place, identifiers)


def frames_of(wire: Receiver, quiet: float | None = None) -> Iterator[list[Frame]]:
    """Frames as they come, those together that are there; ends if none came for `quiet` seconds.

    An empty list now and then, while nothing comes: for who has to look around.
    """
    deadline = None if quiet is None else time.monotonic() + quiet
    while deadline is None or time.monotonic() < deadline:
        left = PIECE if deadline is None else min(PIECE, max(deadline - time.monotonic(), 0))
        found = wire.receive(left)
        if found and quiet is not None:
            deadline = time.monotonic() + quiet
        yield found


class SeveralWires:
    """Several buses at once: what they have is put in the order of its times."""

    # Seconds that one of them is waited for, until the others are looked at.
    TURN = 0.02

    def __init__(self, places: Sequence[Place], identifiers: Iterable[int] | None) -> None:
        with ExitStack() as stack:
            self._wires: list[tuple[str, Wire]] = []
            for place in places:
                wire = open_wire(place, identifiers)
                stack.callback(wire.close)
                self._wires.append((place.name, wire))
            self._cleanup = stack.pop_all()

    def receive(self, timeout: float) -> list[Frame]:
        found: list[Frame] = []
        patience = min(timeout, self.TURN)
        for name, wire in self._wires:
            found += [frame._replace(channel=name) for frame in wire.receive(0 if found else patience)]
        # Who is waited for first changes, so that one busy bus does not make the others late.
        self._wires.append(self._wires.pop(0))
        return sorted(found)

    def close(self) -> None:
        self._cleanup.close()


def message_of(frame: Frame) -> CanMessage:
    """As layers and PDU take it."""
    return CanMessage(
        frame.can_id & EFF_MASK,
        data=frame.data,
        extended_id=bool(frame.can_id & EFF_FLAG),
        is_fd=bool(frame.flags & FDF),
    )


class SocketWire:
    """A raw CAN socket."""

    def __init__(self, place: Place, identifiers: Iterable[int] | None) -> None:
        from isotp.socketcan import open_can_socket

        can_socket = open_can_socket(place.name)
        can_socket.set_filters(identifiers)
        self._receive = can_socket.receive_stamped
        self.send = can_socket.send
        self.close = can_socket.close

    def receive(self, timeout: float) -> list[Frame]:
        return [Frame(*each) for each in self._receive(timeout)]


class BusWire:
    """A bus of python-can."""

    def __init__(self, place: Place, identifiers: Iterable[int] | None) -> None:
        self._bus = open_bus(place)
        if identifiers is not None:
            self._bus.set_filters(
                [
                    {
                        "can_id": number & EFF_MASK,
                        "can_mask": EFF_MASK if number & EFF_FLAG else SFF_MASK,
                        "extended": bool(number & EFF_FLAG),
                    }
                    for number in identifiers
                ]
            )
        self.close = self._bus.shutdown

    def receive(self, timeout: float) -> list[Frame]:
        found: list[Frame] = []
        deadline = time.monotonic() + timeout
        while len(found) < AT_ONCE:
            message = self._bus.recv(0 if found else max(deadline - time.monotonic(), 0))
            if message is None:
                break
            if message.is_error_frame or message.is_remote_frame:
                continue
            flags = FDF if message.is_fd else 0
            flags |= BRS * message.bitrate_switch | ESI * message.error_state_indicator
            number = message.arbitration_id | (EFF_FLAG if message.is_extended_id else 0)
            found.append(Frame(round(message.timestamp * 1e6) * 1000, number, bytes(message.data), flags))
        return found

    def send(self, message: CanMessage) -> None:
        from isotp.protocol import send_on_bus

        send_on_bus(self._bus, message)
