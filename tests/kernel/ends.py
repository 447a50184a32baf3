"""The ends of a session on vcan0, built from the same words: our layers, and the kernel's ISO-TP sockets."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, Protocol, TypeVar

import can

import isotp
from isotp import Address, AddressingMode, AsymmetricAddress

INTERFACE = "vcan0"
# Seconds, far beyond what any step takes: only a failing test waits so long.
PATIENCE = 60.0
# Bytes of kernel memory for frames that wait to be read; the kernel sends faster than Python reads.
ROOM = 8 << 20
PAD = 0xA5

_CLASSIC, _FD = struct.Struct("=IB3x8s"), struct.Struct("=IBB2x64s")
_EFF_FLAG, _RTR_FLAG, _EFF_MASK, _FDF, _BRS = 0x8000_0000, 0x4000_0000, 0x1FFF_FFFF, 4, 1
# linux/socket.h; Python has no name for it. Unlike SO_RCVBUF it may exceed net.core.rmem_max, for root.
_SO_RCVBUFFORCE = 33

_Value = TypeVar("_Value")


def payload(size: int) -> bytes:
    """Bytes in which every neighbour and every 256-byte block differs."""
    return bytes((i * 7 + i // 256) & 0xFF for i in range(size))


def make_room(raw: socket.socket) -> None:
    """Let a raw CAN socket hold all frames of the longest messages of these tests."""
    raw.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, ROOM)


def run(*command: str) -> None:
    """Run a command that must succeed."""
    program = shutil.which(command[0], path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    assert program is not None, f"{command[0]} is missing: apt-get install iproute2"
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"


_NORMAL_11, _NORMAL_29, _FIXED_29, _EXTENDED_11, _EXTENDED_29, _MIXED_11, _MIXED_29 = AddressingMode
_EXTENDED = {"target_address": 0x55, "source_address": 0xAA}
_EXTENDED_BACK = {"target_address": 0xAA, "source_address": 0x55}

MODES: dict[str, tuple[Address, Address]] = {
    # mode: (address of the tester, of the ECU)
    "Normal_11bits": (
        Address(_NORMAL_11, txid=0x456, rxid=0x123),
        Address(_NORMAL_11, txid=0x123, rxid=0x456),
    ),
    "Normal_29bits": (
        Address(_NORMAL_29, txid=0x456, rxid=0x12345678),
        Address(_NORMAL_29, txid=0x12345678, rxid=0x456),
    ),
    "NormalFixed_29bits": (Address(_FIXED_29, **_EXTENDED), Address(_FIXED_29, **_EXTENDED_BACK)),
    "Extended_11bits": (
        Address(_EXTENDED_11, txid=0x456, rxid=0x123, **_EXTENDED),
        Address(_EXTENDED_11, txid=0x123, rxid=0x456, **_EXTENDED_BACK),
    ),
    "Extended_29bits": (
        Address(_EXTENDED_29, txid=0x456, rxid=0x12345678, **_EXTENDED),
        Address(_EXTENDED_29, txid=0x12345678, rxid=0x456, **_EXTENDED_BACK),
    ),
    "Mixed_11bits": (
        Address(_MIXED_11, txid=0x456, rxid=0x123, address_extension=0x99),
        Address(_MIXED_11, txid=0x123, rxid=0x456, address_extension=0x99),
    ),
    "Mixed_29bits": (
        Address(_MIXED_29, address_extension=0x99, **_EXTENDED),
        Address(_MIXED_29, address_extension=0x99, **_EXTENDED_BACK),
    ),
}


@dataclass(frozen=True)
class Frames:
    """The kind of frames that both ends send."""

    fd: bool = False
    tx_dl: int = 8
    brs: bool = False

    def __str__(self) -> str:
        return f"FD{self.tx_dl}{'+BRS' if self.brs else ''}" if self.fd else "classic"


CLASSIC = Frames()
FD_LENGTHS = (8, 12, 16, 20, 24, 32, 48, 64)


@dataclass(frozen=True)
class Setup:
    """What the two ends of a session agree on, and what the receiving one asks for."""

    frames: Frames = CLASSIC
    bs: int = 0
    stmin: int = 0
    padded: bool = False

    def params(self) -> dict[str, Any]:
        """For a layer of ours. Time-outs are long: an emulated CPU may take a nap."""
        return {
            "can_fd": self.frames.fd,
            "tx_data_length": self.frames.tx_dl,
            "bitrate_switch": self.frames.brs,
            "blocksize": self.bs,
            "stmin": self.stmin,
            "tx_padding": PAD if self.padded else None,
            # What the kernel does whenever padding is on; see docs/kernel.md.
            "tx_data_min_length": 8 if self.padded else None,
            "max_frame_size": 10_000,
            "rx_flowcontrol_timeout": 30_000,
            "rx_consecutive_frame_timeout": 30_000,
        }

    def apply(self, end: isotp.socket) -> None:
        """For a socket of the kernel, which is to check that frames are as short, or padded, as agreed."""
        flags = isotp.socket.flags
        end.set_fc_opts(bs=self.bs, stmin=self.stmin)
        if self.frames.fd:
            end.set_ll_opts(isotp.socket.LinkLayerProtocol.CAN_FD, self.frames.tx_dl, self.frames.brs)
        if self.padded:
            end.set_opts(optflag=flags.CHK_PAD_LEN | flags.CHK_PAD_DATA, txpad=PAD, rxpad=PAD)
        else:
            end.set_opts(optflag=flags.CHK_PAD_LEN)


class End(Protocol):
    """One end of a session."""

    def send(self, data: bytes) -> None:
        """Send a message."""

    def recv(self) -> bytes:
        """The next message; an AssertionError or the kernel's error if there is none."""

    def errors(self) -> list[Exception]:
        """What went wrong on the bus."""


class KernelEnd:
    """The kernel's ISO-TP socket."""

    def __init__(self, address: Address | AsymmetricAddress, setup: Setup) -> None:
        self.socket = isotp.socket(PATIENCE)
        setup.apply(self.socket)
        self.socket.bind(INTERFACE, address)

    def send(self, data: bytes) -> None:
        self.socket.send(data)

    def recv(self) -> bytes:
        return bytes(self.socket.recv())

    def errors(self) -> list[Exception]:
        pending = self.socket.real_socket().getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return [OSError(pending, "pending on the socket")] if pending else []


class OurEnd:
    """A started layer of ours."""

    def __init__(self, layer: isotp.TransportLayer) -> None:
        self.layer = layer
        self.reported: list[Exception] = []
        layer.error_handler = self.reported.append

    def send(self, data: bytes) -> None:
        self.layer.send(data)

    def recv(self) -> bytes:
        message = self.layer.recv(block=True, timeout=PATIENCE)
        assert message is not None, f"no message came, errors: {self.reported}"
        return bytes(message)

    def errors(self) -> list[Exception]:
        return list(self.reported)


class _Frames:
    """rxfn and txfn of a user who has no python-can: a raw CAN socket of Python's own."""

    def __init__(self, raw: socket.socket) -> None:
        self.raw = raw

    def receive(self, timeout: float) -> isotp.CanMessage | None:
        if not select.select([self.raw], [], [], timeout)[0]:
            return None
        received = self.raw.recv(_FD.size)
        if len(received) == _FD.size:
            number, length, flags, data = _FD.unpack(received)
        else:
            number, length, data = _CLASSIC.unpack(received)
            flags = 0
        if number & _RTR_FLAG:
            return None  # a remote frame carries no data
        return isotp.CanMessage(
            number & _EFF_MASK,
            data=data[:length],
            extended_id=bool(number & _EFF_FLAG),
            is_fd=len(received) == _FD.size,
            bitrate_switch=bool(flags & _BRS),
        )

    def send(self, message: isotp.CanMessage) -> None:
        number = message.arbitration_id | (_EFF_FLAG if message.is_extended_id else 0)
        if message.is_fd:
            flags = _FDF | (_BRS if message.bitrate_switch else 0)
            self.raw.send(_FD.pack(number, len(message.data), flags, message.data))
        else:
            self.raw.send(_CLASSIC.pack(number, len(message.data), message.data))


@contextlib.contextmanager
def _transport_layer(address: Address, params: dict[str, Any]) -> Iterator[isotp.TransportLayer]:
    with socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as raw:
        raw.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
        make_room(raw)
        raw.bind((INTERFACE,))
        frames = _Frames(raw)
        layer = isotp.TransportLayer(frames.receive, frames.send, address, params=params)
        try:
            yield layer
        finally:
            layer.stop()


@contextlib.contextmanager
def _can_stack(address: Address, params: dict[str, Any]) -> Iterator[isotp.TransportLayer]:
    with can.Bus(interface="socketcan", channel=INTERFACE, fd=True) as bus:
        make_room(bus.socket)
        layer = isotp.CanStack(bus, address=address, params=params)
        try:
            yield layer
        finally:
            layer.stop()


@contextlib.contextmanager
def _socket_can_stack(address: Address, params: dict[str, Any]) -> Iterator[isotp.TransportLayer]:
    with isotp.SocketCanStack(INTERFACE, address=address, params=params) as layer:
        yield layer


_LAYERS = {"TransportLayer": _transport_layer, "CanStack": _can_stack, "SocketCanStack": _socket_can_stack}
LAYERS = tuple(_LAYERS)


@contextlib.contextmanager
def our_end(kind: str, address: Address, setup: Setup, **params: Any) -> Iterator[OurEnd]:
    """A started layer of one of the LAYERS."""
    with _LAYERS[kind](address, {**setup.params(), **params}) as layer:
        end = OurEnd(layer)
        layer.start()
        yield end


@contextlib.contextmanager
def kernel_end(address: Address | AsymmetricAddress, setup: Setup) -> Iterator[KernelEnd]:
    """A socket of the kernel."""
    end = KernelEnd(address, setup)
    with end.socket:
        yield end


def covering_pairs(*dimensions: Sequence[_Value]) -> list[tuple[_Value, ...]]:
    """Rows of one value of each dimension, such that any two values of two dimensions meet in one of them.

    Always the same rows: the first pair that has not met yet starts a row, and each further place takes the
    value that lets most pairs meet.
    """
    places = range(len(dimensions))
    missing = {
        (a, x, b, y): None
        for a, b in combinations(places, 2)
        for x, y in product(range(len(dimensions[a])), range(len(dimensions[b])))
    }
    rows = []
    while missing:
        a, x, b, y = next(iter(missing))
        row = {a: x, b: y}
        for place in places:
            if place not in row:
                row[place] = max(
                    range(len(dimensions[place])),
                    key=lambda value: sum(
                        ((p, row[p], place, value) if p < place else (place, value, p, row[p])) in missing
                        for p in row
                    ),
                )
        for p, q in combinations(places, 2):
            missing.pop((p, row[p], q, row[q]), None)
        rows.append(tuple(dimensions[place][row[place]] for place in places))
    return rows
