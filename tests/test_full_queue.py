"""A python-can bus whose driver has no room for a frame: layers wait, up to N_As (ISO 15765-2, 9.8.1)."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import isotp

can = pytest.importorskip("can")
virtual = pytest.importorskip("can.interfaces.virtual")

# No time-out is part of what is tested here: this one only ends a test that has failed.
PATIENCE = 20.0
N_AS = 1.0
LONG = bytes(range(200))

HERE = isotp.Address(txid=0x456, rxid=0x123)
THERE = isotp.Address(txid=0x123, rxid=0x456)

# As the drivers of python-can word it: SocketCAN, PCAN, Vector, IXXAT.
FULL = {
    "socketcan": lambda: can.CanOperationError("Failed to transmit: No buffer space left", errno.ENOBUFS),
    "text": lambda: can.CanOperationError("Transmit buffer full"),
    "vector": lambda: can.CanOperationError("xlCanTransmit failed (XL_ERR_QUEUE_IS_FULL)"),
    "pcan": lambda: can.CanOperationError("The transmit queue is full [Error Code 128]", 128),
}


class Clock:
    """Stands for the module `time`: a pause is over at once, and the clock shows that it has passed."""

    perf_counter_ns = staticmethod(time.perf_counter_ns)

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses = 0
        self.after_pause: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds < 0.1
        self.now += seconds
        self.pauses += 1
        self.after_pause()


class Bus(virtual.VirtualBus):
    """A virtual bus that refuses as many frames as it is told to."""

    def __init__(self, channel: str) -> None:
        super().__init__(channel=channel, receive_own_messages=False)
        self.refuse = 0
        self.refusal: Callable[[], Exception] = FULL["socketcan"]
        self.refused: list[Exception] = []

    def send(self, msg: Any, timeout: float | None = None) -> None:
        if self.refuse:
            self.refuse -= 1
            self.refused.append(self.refusal())
            raise self.refused[-1]
        super().send(msg, timeout)


FOREVER = 10**9

OpenBus = Callable[[], Bus]
MakeLayer = Callable[..., Any]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("isotp.protocol.time", clock)
    return clock


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def open_bus(request: pytest.FixtureRequest, cleanup: ExitStack) -> OpenBus:
    """A function that opens one more connection to a bus that belongs to this test."""
    return lambda: cleanup.enter_context(Bus(request.node.nodeid))


@pytest.fixture(params=["CanStack", "NotifierBasedCanStack", "Hub", "Hub on a notifier"])
def make_layer(request: pytest.FixtureRequest, open_bus: OpenBus, cleanup: ExitStack) -> MakeLayer:
    """A function that starts a layer of each kind that sends on a python-can bus; returns it and the bus."""

    def make(**kwargs: Any) -> tuple[Any, Bus]:
        bus = open_bus()
        kwargs = {"address": HERE, **kwargs}
        notifier = None
        if "otifier" in request.param:
            notifier = can.Notifier(bus, [], timeout=0.05)
            cleanup.callback(notifier.stop)
        layer: Any
        if request.param == "CanStack":
            layer = isotp.CanStack(bus, **kwargs)
        elif request.param == "NotifierBasedCanStack":
            layer = isotp.NotifierBasedCanStack(bus, notifier, **kwargs)
        else:
            layer = cleanup.enter_context(isotp.Hub(bus, notifier)).session(**kwargs)
        layer.start()
        cleanup.callback(layer.stop)
        return layer, bus

    return make


@pytest.fixture
def peer(open_bus: OpenBus, cleanup: ExitStack) -> isotp.CanStack:
    """Who is on the other side, started."""
    stack = isotp.CanStack(open_bus(), address=THERE)
    stack.start()
    cleanup.callback(stack.stop)
    return stack


# --- There is room in the end -------------------------------------------------------------------------------


@pytest.mark.parametrize("wording", FULL)
def test_frame_waits_for_room(open_bus: OpenBus, clock: Clock, wording: str) -> None:
    other, bus = open_bus(), open_bus()
    bus.refusal, bus.refuse = FULL[wording], 5
    stack = isotp.CanStack(bus, address=HERE)
    stack.send(b"abc")
    stack.process()
    assert other.recv(0).data == b"\x03abc"
    assert other.recv(0) is None
    assert clock.pauses == 5
    assert not stack.transmitting()


def test_message_is_whole_and_in_order(make_layer: MakeLayer, peer: isotp.CanStack, clock: Clock) -> None:
    """The queue is full again and again, for the first frame, in the middle and for the last one."""
    errors: list[Exception] = []
    layer, bus = make_layer(params={"blocking_send": True}, error_handler=errors.append)
    sent = bus.send

    def refuse_twice_each(msg: Any, timeout: float | None = None) -> None:
        if clock.pauses % 3 != 2:
            raise can.CanOperationError("Transmit buffer full")
        sent(msg, timeout)
        clock.pauses += 1

    bus.send = refuse_twice_each
    for size in (5, 20, 200):
        layer.send(LONG[:size], send_timeout=PATIENCE)
        assert peer.recv(block=True, timeout=PATIENCE) == LONG[:size]
    assert errors == []
    # SF; FF and 2 CFs; FF and 28 CFs
    assert clock.pauses == 3 * (1 + 3 + 29)


def test_flow_control_waits_for_room(make_layer: MakeLayer, open_bus: OpenBus, clock: Clock) -> None:
    other = open_bus()
    errors: list[Exception] = []
    layer, bus = make_layer(error_handler=errors.append)
    bus.refuse = 20
    other.send(can.Message(arbitration_id=0x123, data=b"\x10\x08abcdef", is_extended_id=False))
    assert other.recv(PATIENCE).data == b"\x30\x08\x00"
    other.send(can.Message(arbitration_id=0x123, data=b"\x21gh", is_extended_id=False))
    assert layer.recv(block=True, timeout=PATIENCE) == b"abcdefgh"
    assert errors == []
    assert clock.pauses == 20


def test_room_just_in_time(open_bus: OpenBus, clock: Clock) -> None:
    other, bus = open_bus(), open_bus()
    bus.refuse = FOREVER
    began = clock.now

    def free_in_time() -> None:
        if clock.now >= began + N_AS - 0.001:
            bus.refuse = 0

    clock.after_pause = free_in_time
    stack = isotp.CanStack(bus, address=HERE)
    stack.send(b"abc")
    stack.process()
    assert other.recv(0).data == b"\x03abc"


def test_sessions_wait_in_turn(open_bus: OpenBus, cleanup: ExitStack, clock: Clock) -> None:
    """While one session of a hub waits for room, another one's frame does not go on the bus first."""
    other, bus = open_bus(), open_bus()
    hub = cleanup.enter_context(isotp.Hub(bus))
    first, second = (hub.session(isotp.Address(txid=0x456 + k, rxid=0x123 + k)) for k in range(2))
    first.start()
    second.start()
    waiting, room = threading.Event(), threading.Event()

    def wait_for_room() -> None:
        waiting.set()
        assert room.wait(PATIENCE)

    clock.after_pause = wait_for_room
    bus.refuse = 1
    senders = [threading.Thread(target=layer.send, args=(b"abc",)) for layer in (first, second)]
    senders[0].start()
    assert waiting.wait(PATIENCE)
    senders[1].start()
    assert other.recv(0) is None
    room.set()
    for sender in senders:
        sender.join(PATIENCE)
    assert [other.recv(PATIENCE).arbitration_id for _ in range(2)] == [0x456, 0x457]


# --- There is none ------------------------------------------------------------------------------------------


def test_gives_up_after_n_as(open_bus: OpenBus, clock: Clock) -> None:
    """Polled: the error handler is told, with what the driver said last, and the message fails with that."""
    requests: list[Any] = []
    errors: list[Exception] = []
    other, bus = open_bus(), open_bus()
    bus.refuse = FOREVER
    stack = isotp.CanStack(bus, address=HERE, error_handler=errors.append, post_send_callback=requests.append)
    stack.send(b"lost")
    began = clock.now
    stack.process()
    assert [type(error) for error in errors] == [isotp.TransmitTimeoutError]
    assert errors[0].__cause__ is bus.refused[-1]
    assert clock.now - began == pytest.approx(N_AS, abs=0.01)
    assert requests[0].success is False
    assert requests[0].failure is errors[0]
    assert not stack.transmitting()

    bus.refuse = 0
    stack.send(b"kept")
    stack.process()
    assert other.recv(0).data == b"\x04kept"
    assert other.recv(0) is None


@pytest.mark.parametrize(("limit_ms", "pauses"), [(0, 1), (1, 2), (100, 200)])
def test_the_limit_is_a_parameter(open_bus: OpenBus, clock: Clock, limit_ms: int, pauses: int) -> None:
    errors: list[Exception] = []
    bus = open_bus()
    bus.refuse = FOREVER
    stack = isotp.CanStack(
        bus, address=HERE, error_handler=errors.append, params={"tx_frame_timeout": limit_ms}
    )
    stack.send(b"lost")
    stack.process()
    assert [type(error) for error in errors] == [isotp.TransmitTimeoutError]
    assert clock.pauses == pytest.approx(pauses, abs=1)


def test_flow_control_that_finds_no_room_ends_the_reception(open_bus: OpenBus, clock: Clock) -> None:
    """N_Ar."""
    errors: list[Exception] = []
    other, bus = open_bus(), open_bus()
    stack = isotp.CanStack(bus, address=HERE, error_handler=errors.append)
    bus.refuse = FOREVER
    other.send(can.Message(arbitration_id=0x123, data=b"\x10\x08abcdef", is_extended_id=False))
    stack.process()
    assert [type(error) for error in errors] == [isotp.TransmitTimeoutError]
    assert not stack.is_rx_active()
    assert stack.recv() is None


@pytest.mark.parametrize("payload", [b"short", LONG], ids=["single_frame", "multi_frame"])
def test_blocking_send_gives_up_with_that_cause(
    make_layer: MakeLayer, peer: isotp.CanStack, clock: Clock, payload: bytes
) -> None:
    layer, bus = make_layer(params={"blocking_send": True})
    bus.refuse = FOREVER
    began = clock.now
    with pytest.raises(isotp.BlockingSendFailure) as failed:
        layer.send(payload, send_timeout=PATIENCE)
    assert not isinstance(failed.value, isotp.BlockingSendTimeout)
    assert isinstance(failed.value.__cause__, isotp.TransmitTimeoutError)
    assert failed.value.__cause__.__cause__ is bus.refused[-1]
    assert clock.now - began == pytest.approx(N_AS, abs=0.01)
    assert layer.last_error is failed.value.__cause__
    assert layer.started

    bus.refuse = 0
    layer.send(payload, send_timeout=PATIENCE)
    assert peer.recv(block=True, timeout=PATIENCE) == payload


def test_error_handler_is_told(make_layer: MakeLayer, peer: isotp.CanStack, clock: Clock) -> None:
    told = threading.Event()
    errors: list[Exception] = []

    def note(error: Exception) -> None:
        errors.append(error)
        told.set()

    layer, bus = make_layer(error_handler=note)
    bus.refuse = FOREVER
    layer.send(LONG)
    assert told.wait(PATIENCE)
    bus.refuse = 0
    assert [error.__cause__ for error in errors] == bus.refused[-1:]
    layer.send(LONG)
    assert peer.recv(block=True, timeout=PATIENCE) == LONG
    assert not peer.available()


@pytest.mark.parametrize(
    "failure",
    [
        can.CanOperationError("Bus off", errno.ENETDOWN),
        can.CanOperationError("message was not transmitted successfully"),
        ValueError("full of errors, but not python-can's"),
    ],
    ids=["bus_off", "no_whole_word", "foreign"],
)
def test_other_failures_are_not_waited_for(open_bus: OpenBus, clock: Clock, failure: Exception) -> None:
    bus = open_bus()
    bus.refusal, bus.refuse = lambda: failure, FOREVER
    stack = isotp.CanStack(bus, address=HERE)
    stack.send(b"abc")
    with pytest.raises(type(failure)) as raised:
        stack.process()
    assert raised.value is failure
    assert clock.pauses == 0


def test_bus_that_fails_while_its_queue_is_full(open_bus: OpenBus, clock: Clock) -> None:
    """The wait is over as soon as the bus says that something else is wrong."""
    bus = open_bus()
    bus.refuse = FOREVER
    failure = can.CanOperationError("Bus off")

    def go_bus_off() -> None:
        if clock.pauses == 3:
            bus.refusal = lambda: failure

    clock.after_pause = go_bus_off
    stack = isotp.CanStack(bus, address=HERE)
    stack.send(b"abc")
    with pytest.raises(can.CanOperationError) as raised:
        stack.process()
    assert raised.value is failure
    assert clock.pauses == 3
