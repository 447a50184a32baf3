"""What is measured: every case, defined once and run unchanged on either package.

Both packages are imported as ``isotp``, so nothing here knows which one it drives. A case measures a
*workload*: an object that does the work in ``run()`` (the only part under the clock) and proves
in ``verify()`` (outside the clock) that every payload arrived byte for byte.

The bus is two deques and four plain Python callables, the same for both packages: what a user's own
``rxfn`` and ``txfn`` cost is part of every figure.
"""

from __future__ import annotations

import math
import random
import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain, cycle, islice
from typing import Any, NoReturn, Protocol

import isotp

CLIENT_ID = 0x7E0
SERVER_ID = 0x7E8

# One process() puts a whole message on the bus when BS is 0. A slow stack spends more than the default
# second in there, and then finds time-outs for frames that have long arrived: none may cut a run short.
TIMEOUT_MS = 600_000

MakeWriter = Callable[["deque[isotp.CanMessage]"], Callable[["isotp.CanMessage"], None]]


class Workload(Protocol):
    """Work that can be repeated; one repetition is called a message."""

    @property
    def units(self) -> int:
        """Units (frames on the bus, or round trips) in one message."""

    def run(self, messages: int) -> list[Any]:
        """Do the work `messages` times; return what was received. Only this is timed."""

    def verify(self, messages: int, received: list[Any]) -> None:
        """Raise RuntimeError unless `received` is exactly what run(messages) had to deliver."""


@dataclass(frozen=True)
class Case:
    """One line of the result table."""

    name: str
    meaning: str
    """What the figure says to a user, in one sentence."""
    unit: str
    """What the time is divided by."""
    goal: float
    """Ratio to can-isotp 2.0.7 that the project has set itself."""
    prepare: Callable[[], Workload]


def payloads(length: int) -> tuple[bytes, bytes]:
    """Return two different payloads of `length` bytes, the same on every run.

    Sending them by turns lets verify() notice a stack that delivers one buffer twice.
    """
    generator = random.Random(15765)
    return generator.randbytes(length), generator.randbytes(length)


def parameters(blocksize: int, fd: bool, length: int, listen_mode: bool = False) -> dict[str, object]:
    """Return the layer parameters, for both sides and both packages alike."""
    return {
        "stmin": 0,
        "blocksize": blocksize,
        "tx_data_length": 64 if fd else 8,
        "can_fd": fd,
        "max_frame_size": length,
        "rx_flowcontrol_timeout": TIMEOUT_MS,
        "rx_consecutive_frame_timeout": TIMEOUT_MS,
        # Only named where needed, for peers that are older than this parameter.
        **({"listen_mode": True} if listen_mode else {}),
    }


def raise_error(error: Exception) -> NoReturn:
    """Error handler of every layer: a protocol error is never part of a measurement."""
    raise error


def transport_layer(
    rxfn: Callable[..., isotp.CanMessage | None],
    txfn: Callable[[isotp.CanMessage], None],
    rxid: int,
    txid: int,
    params: dict[str, object],
) -> isotp.TransportLayer:
    """Return a layer that is polled, not started, and raises on protocol errors."""
    address = isotp.Address(isotp.AddressingMode.Normal_11bits, rxid=rxid, txid=txid)
    return isotp.TransportLayer(rxfn, txfn, address=address, error_handler=raise_error, params=params)


def reader(bus: deque[isotp.CanMessage]) -> Callable[..., isotp.CanMessage | None]:
    """Return a rxfn as users write it; the default lets can-isotp 1.x call it, which passes nothing."""
    return lambda timeout=0.0: bus.popleft() if bus else None


def writer(bus: deque[isotp.CanMessage]) -> Callable[[isotp.CanMessage], None]:
    """Return a txfn as users write it: the queue's own method."""
    return bus.append


def expect(expected: Iterable[object], received: list[object], messages: int) -> None:
    """Raise RuntimeError unless the first `messages` items of `expected` are exactly `received`."""
    wanted = list(islice(expected, messages))
    if received == wanted:
        return
    if len(received) != messages:
        raise RuntimeError(f"{messages} messages were sent, {len(received)} received")
    for index, (want, got) in enumerate(zip(wanted, received, strict=True)):
        if want != got:
            raise RuntimeError(f"message {index} did not arrive as it was sent: {got!r:.80}")


class Loopback:
    """Messages from a client to a server over an in-memory bus, both polled by turns in one thread."""

    def __init__(self, length: int, blocksize: int, fd: bool, make_writer: MakeWriter, units: int) -> None:
        params = parameters(blocksize, fd, length)
        to_server: deque[isotp.CanMessage] = deque()
        to_client: deque[isotp.CanMessage] = deque()
        self.client = transport_layer(reader(to_client), make_writer(to_server), SERVER_ID, CLIENT_ID, params)
        self.server = transport_layer(reader(to_server), make_writer(to_client), CLIENT_ID, SERVER_ID, params)
        self.payloads = payloads(length)
        self.units = units

    def run(self, messages: int) -> list[Any]:
        client, server = self.client, self.server
        received = []
        for payload in islice(cycle(self.payloads), messages):
            client.send(payload)
            while not server.available():
                client.process()
                server.process()
            received.append(server.recv())
        return received

    def verify(self, messages: int, received: list[Any]) -> None:
        expect(cycle(self.payloads), received, messages)
        if self.client.transmitting():
            raise RuntimeError("the client still transmits after its message has arrived")


def loopback(length: int, blocksize: int, fd: bool) -> Loopback:
    """Return the workload, with the frames of one message (FC included) counted on the bus beforehand."""
    frames: list[isotp.CanMessage] = []

    def counting_writer(bus: deque[isotp.CanMessage]) -> Callable[[isotp.CanMessage], None]:
        def txfn(message: isotp.CanMessage) -> None:
            frames.append(message)
            bus.append(message)

        return txfn

    counted = Loopback(length, blocksize, fd, counting_writer, units=1)
    counted.verify(1, counted.run(1))
    return Loopback(length, blocksize, fd, writer, units=len(frames))


class RoundTrip:
    """A request that fits a Single Frame, and its answer: one frame each way."""

    units = 1

    def __init__(self, length: int = 7) -> None:
        params = parameters(blocksize=0, fd=False, length=length)
        to_server: deque[isotp.CanMessage] = deque()
        to_client: deque[isotp.CanMessage] = deque()
        self.client = transport_layer(reader(to_client), writer(to_server), SERVER_ID, CLIENT_ID, params)
        self.server = transport_layer(reader(to_server), writer(to_client), CLIENT_ID, SERVER_ID, params)
        self.exchanges = tuple((request, request[::-1]) for request in payloads(length))

    def run(self, messages: int) -> list[Any]:
        client, server = self.client, self.server
        received = []
        for request, response in islice(cycle(self.exchanges), messages):
            client.send(request)
            client.process()
            server.process()
            received.append(server.recv())
            server.send(response)
            server.process()
            client.process()
            received.append(client.recv())
        return received

    def verify(self, messages: int, received: list[Any]) -> None:
        expect(chain.from_iterable(cycle(self.exchanges)), received, 2 * messages)


class Listening:
    """A silent listener is handed the frames of somebody else's transfer, made beforehand.

    Putting a ready list on the bus is part of the timed work; it costs a few nanoseconds a frame.
    """

    def __init__(self, length: int) -> None:
        self.payloads = payloads(length)
        self.transfers = [segment(payload) for payload in self.payloads]
        self.units = len(self.transfers[0])
        self.bus: deque[isotp.CanMessage] = deque()
        params = parameters(blocksize=0, fd=False, length=length, listen_mode=True)
        self.layer = transport_layer(reader(self.bus), raise_sent, CLIENT_ID, SERVER_ID, params)

    def run(self, messages: int) -> list[Any]:
        bus, layer = self.bus, self.layer
        received = []
        for transfer in islice(cycle(self.transfers), messages):
            bus.extend(transfer)
            while not layer.available():
                layer.process()
            received.append(layer.recv())
        return received

    def verify(self, messages: int, received: list[Any]) -> None:
        expect(cycle(self.payloads), received, messages)


def segment(payload: bytes) -> list[isotp.CanMessage]:
    """Return the classic frames, FF then CFs, of a payload of 8 to 4095 bytes."""
    if not 8 <= len(payload) <= 0xFFF:
        raise ValueError(f"payload must have 8 to 4095 bytes, not {len(payload)}")
    data = [bytes([0x10 | len(payload) >> 8, len(payload) & 0xFF, *payload[:6]])]
    for number, start in enumerate(range(6, len(payload), 7), start=1):
        data.append(bytes([0x20 | number & 0xF, *payload[start : start + 7]]))
    return [isotp.CanMessage(arbitration_id=CLIENT_ID, dlc=len(frame), data=frame) for frame in data]


def raise_sent(message: isotp.CanMessage) -> NoReturn:
    """txfn of the listener, who has nothing to send."""
    raise RuntimeError(f"a listener sent {message!r}")


def sessions_case(sessions: int, goal: float) -> Case:
    """Return the case of so many sessions."""

    def prepare() -> Workload:
        # It needs python-can, which no other case does.
        from benchmarks.sessions import Sessions

        return Sessions(sessions)

    meaning = f"{sessions} sessions on one bus, all sending at once: is a frame dearer when there are more?"
    return Case(f"sessions-{sessions}", meaning, "frame", goal, prepare)


CASES = (
    Case(
        "classic-4095-bs0",
        "A 4095-byte message over classic CAN without pauses: what one frame of a long transfer costs.",
        "frame",
        60,
        lambda: loopback(4095, blocksize=0, fd=False),
    ),
    Case(
        "classic-4095-bs8",
        "The same with a Flow Control every 8 frames, as most ECUs ask for: the price of the handshakes.",
        "frame",
        60,
        lambda: loopback(4095, blocksize=8, fd=False),
    ),
    Case(
        "fd-4095-bs0",
        "A 4095-byte message in 64-byte CAN FD frames without pauses.",
        "frame",
        60,
        lambda: loopback(4095, blocksize=0, fd=True),
    ),
    Case(
        "fd-4095-bs8",
        "The same with a Flow Control every 8 frames.",
        "frame",
        60,
        lambda: loopback(4095, blocksize=8, fd=True),
    ),
    Case(
        "fd-1mib",
        "One MiB in CAN FD frames, as in flashing an ECU: does the speed hold when a message is large?",
        "frame",
        30,
        lambda: loopback(1024 * 1024, blocksize=0, fd=True),
    ),
    Case(
        "single-frame",
        "A 7-byte request and its 7-byte answer: the stack's share of every diagnostic question.",
        "round trip",
        35,
        RoundTrip,
    ),
    Case(
        "listen-4095",
        "Following somebody else's 4095-byte classic transfers in listen mode: how busy a bus may be.",
        "frame",
        40,
        lambda: Listening(4095),
    ),
    sessions_case(1, 5),
    sessions_case(10, 20),
    sessions_case(100, 100),
)


def case(name: str) -> Case:
    """Return the case of that name, with any number of sessions, or the floor of one; ValueError if there is none."""
    if name.startswith("floor:"):
        # It needs a C compiler, which no other case does.
        from benchmarks.floor import floor_case

        return floor_case(case(name.removeprefix("floor:")))
    if number := re.fullmatch(r"sessions-([1-9]\d{0,3})", name):
        return sessions_case(int(number[1]), math.inf)
    for candidate in CASES:
        if candidate.name == name:
            return candidate
    raise ValueError(f"no case is called {name!r}; there are: {', '.join(each.name for each in CASES)}")
