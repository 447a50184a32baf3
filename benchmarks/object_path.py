"""The object path: polled layers, a frame an object, in one thread and without any waiting.

Both packages are imported as ``isotp``, so nothing here knows which one it drives. A workload does the work in
``run()`` (the only part under the clock) and proves in ``verify()`` (outside the clock) that every payload
arrived byte for byte.

The bus is two deques and four plain Python callables, the same for both packages: what a user's own
``rxfn`` and ``txfn`` cost is part of every figure.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable
from itertools import chain, cycle, islice
from typing import Any, NoReturn

import isotp

CLIENT_ID = 0x7E0
SERVER_ID = 0x7E8

# One process() puts a whole message on the bus when BS is 0. A slow stack spends more than the default
# second in there, and then finds time-outs for frames that have long arrived: none may cut a run short.
TIMEOUT_MS = 600_000

MakeWriter = Callable[["deque[isotp.CanMessage]"], Callable[["isotp.CanMessage"], None]]


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

    def __init__(self, length: int, fd: bool = False) -> None:
        self.payloads = payloads(length)
        self.transfers = [segment(payload, fd) for payload in self.payloads]
        self.units = len(self.transfers[0])
        self.bus: deque[isotp.CanMessage] = deque()
        params = parameters(blocksize=0, fd=fd, length=length, listen_mode=True)
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


def segment(payload: bytes, fd: bool = False) -> list[isotp.CanMessage]:
    """Return the frames, FF then CFs, of a payload of 8 (FD: 63) to 4095 bytes; the last one as short as can be."""
    room = 64 if fd else 8
    if not room - fd <= len(payload) <= 0xFFF:
        raise ValueError(f"payload must have {room - fd} to 4095 bytes, not {len(payload)}")
    data = [bytes([0x10 | len(payload) >> 8, len(payload) & 0xFF, *payload[: room - 2]])]
    for number, start in enumerate(range(room - 2, len(payload), room - 1), start=1):
        data.append(bytes([0x20 | number & 0xF, *payload[start : start + room - 1]]))
    # CAN FD has no lengths between these.
    lengths = (*range(9), 12, 16, 20, 24, 32, 48, 64)
    filled = [frame.ljust(next(each for each in lengths if each >= len(frame)), b"\xcc") for frame in data]
    return [
        isotp.CanMessage(arbitration_id=CLIENT_ID, dlc=lengths.index(len(frame)), data=frame, is_fd=fd)
        for frame in filled
    ]


def raise_sent(message: isotp.CanMessage) -> NoReturn:
    """txfn of the listener, who has nothing to send."""
    raise RuntimeError(f"a listener sent {message!r}")
