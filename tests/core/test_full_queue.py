"""A python-can bus whose driver has no room for a frame: layers wait, up to N_As (ISO 15765-2, 9.8.1)."""

from __future__ import annotations

import errno
import itertools
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

import isotp
from tests.frames import MS, SECOND, SLOW, Clock

can = pytest.importorskip("can")
virtual = pytest.importorskip("can.interfaces.virtual")

# No time-out is part of what is tested here: this one only ends a test that has failed.
PATIENCE = 20.0
SHORT_N_AS = 20  # ms, for started layers, which wait for real
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


def polled(bus: Bus, **kwargs: Any) -> isotp.CanStack:
    """A stack whose time moves when told to."""
    stack = isotp.CanStack(bus, address=HERE, **kwargs)
    stack.clock = Clock()
    return stack


def poll(stack: isotp.CanStack) -> int:
    """Process, and again at each deadline, until nothing is left to do; returns the ns that passed."""
    began = stack.clock.ns
    stack.process()
    while stack.transmitting() or stack.pending_flow_control_tx:
        deadline = stack.deadline_ns()
        assert deadline > stack.clock.ns
        stack.clock.ns = deadline
        stack.process()
    return stack.clock.ns - began


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
    stack = isotp.CanStack(open_bus(), address=THERE, params=SLOW)
    stack.start()
    cleanup.callback(stack.stop)
    return stack


# --- There is room in the end -------------------------------------------------------------------------------


@pytest.mark.parametrize("wording", FULL)
def test_frame_waits_for_room(open_bus: OpenBus, wording: str) -> None:
    other, bus = open_bus(), open_bus()
    bus.refusal, bus.refuse = FULL[wording], 5
    stack = polled(bus)
    stack.send(b"abc")
    poll(stack)
    assert other.recv(0).data == b"\x03abc"
    assert other.recv(0) is None
    assert len(bus.refused) == 5


def test_message_is_whole_and_in_order(make_layer: MakeLayer, peer: isotp.CanStack) -> None:
    """The queue is full again and again, for the first frame, in the middle and for the last one."""
    errors: list[Exception] = []
    layer, bus = make_layer(params={**SLOW, "blocking_send": True}, error_handler=errors.append)
    sent = bus.send
    tries = itertools.count()

    def refuse_twice_each(msg: Any, timeout: float | None = None) -> None:
        if next(tries) % 3 != 2:
            raise can.CanOperationError("Transmit buffer full")
        sent(msg, timeout)

    bus.send = refuse_twice_each
    for size in (5, 20, 200):
        layer.send(LONG[:size], send_timeout=PATIENCE)
        assert peer.recv(block=True, timeout=PATIENCE) == LONG[:size]
    assert errors == []
    # SF; FF and 2 CFs; FF and 28 CFs
    assert next(tries) == 3 * (1 + 3 + 29)


def test_flow_control_waits_for_room(make_layer: MakeLayer, open_bus: OpenBus) -> None:
    other = open_bus()
    errors: list[Exception] = []
    layer, bus = make_layer(params=SLOW, error_handler=errors.append)
    bus.refuse = 20
    other.send(can.Message(arbitration_id=0x123, data=b"\x10\x08abcdef", is_extended_id=False))
    assert other.recv(PATIENCE).data == b"\x30\x08\x00"
    other.send(can.Message(arbitration_id=0x123, data=b"\x21gh", is_extended_id=False))
    assert layer.recv(block=True, timeout=PATIENCE) == b"abcdefgh"
    assert errors == []
    assert len(bus.refused) == 20


@pytest.mark.parametrize(("early_ns", "arrives"), [(1, True), (0, False)])
def test_room_at_the_edge_of_n_as(open_bus: OpenBus, early_ns: int, arrives: bool) -> None:
    errors: list[Exception] = []
    other, bus = open_bus(), open_bus()
    bus.refuse = FOREVER
    stack = polled(bus, error_handler=errors.append)
    stack.send(b"abc")
    stack.process()
    stack.clock.ns += SECOND - early_ns
    if arrives:
        bus.refuse = 0
    stack.process()
    assert (other.recv(0) is not None) is arrives
    assert [type(error) for error in errors] == ([] if arrives else [isotp.TransmitTimeoutError])


# --- There is none ------------------------------------------------------------------------------------------


def test_gives_up_after_n_as(open_bus: OpenBus) -> None:
    """The error handler is told, with what the driver said last, and the message fails with that."""
    requests: list[Any] = []
    errors: list[Exception] = []
    other, bus = open_bus(), open_bus()
    bus.refuse = FOREVER
    stack = polled(bus, error_handler=errors.append, post_send_callback=requests.append)
    stack.send(b"lost")
    assert poll(stack) == SECOND
    assert [type(error) for error in errors] == [isotp.TransmitTimeoutError]
    assert errors[0].__cause__ is bus.refused[-1]
    assert requests[0].success is False
    assert requests[0].failure is errors[0]

    bus.refuse = 0
    stack.send(b"kept")
    poll(stack)
    assert other.recv(0).data == b"\x04kept"
    assert other.recv(0) is None


@pytest.mark.parametrize("limit_ms", [0, 1, 100])
def test_the_limit_is_a_parameter(open_bus: OpenBus, limit_ms: int) -> None:
    errors: list[Exception] = []
    bus = open_bus()
    bus.refuse = FOREVER
    stack = polled(bus, error_handler=errors.append, params={"tx_frame_timeout": limit_ms})
    stack.send(b"lost")
    assert poll(stack) == limit_ms * MS
    assert [type(error) for error in errors] == [isotp.TransmitTimeoutError]


def test_flow_control_that_finds_no_room_ends_the_reception(open_bus: OpenBus) -> None:
    """N_Ar."""
    errors: list[Exception] = []
    other, bus = open_bus(), open_bus()
    stack = polled(bus, error_handler=errors.append)
    bus.refuse = FOREVER
    other.send(can.Message(arbitration_id=0x123, data=b"\x10\x08abcdef", is_extended_id=False))
    assert poll(stack) == SECOND
    assert [type(error) for error in errors] == [isotp.TransmitTimeoutError]
    assert not stack.is_rx_active()
    assert stack.recv() is None


@pytest.mark.parametrize("payload", [b"short", LONG], ids=["single_frame", "multi_frame"])
def test_blocking_send_gives_up_with_that_cause(
    make_layer: MakeLayer, peer: isotp.CanStack, payload: bytes
) -> None:
    layer, bus = make_layer(params={"blocking_send": True, "tx_frame_timeout": SHORT_N_AS})
    bus.refuse = FOREVER
    with pytest.raises(isotp.BlockingSendFailure) as failed:
        layer.send(payload, send_timeout=PATIENCE)
    assert not isinstance(failed.value, isotp.BlockingSendTimeout)
    assert isinstance(failed.value.__cause__, isotp.TransmitTimeoutError)
    assert failed.value.__cause__.__cause__ is bus.refused[-1]
    assert layer.last_error is failed.value.__cause__
    assert layer.started

    bus.refuse = 0
    layer.send(payload, send_timeout=PATIENCE)
    assert peer.recv(block=True, timeout=PATIENCE) == payload


def test_error_handler_is_told(make_layer: MakeLayer, peer: isotp.CanStack) -> None:
    told = threading.Event()
    errors: list[Exception] = []

    def note(error: Exception) -> None:
        errors.append(error)
        told.set()

    layer, bus = make_layer(error_handler=note, params={"tx_frame_timeout": SHORT_N_AS})
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
def test_other_failures_are_not_waited_for(open_bus: OpenBus, failure: Exception) -> None:
    bus = open_bus()
    bus.refusal, bus.refuse = lambda: failure, FOREVER
    stack = polled(bus)
    stack.send(b"abc")
    with pytest.raises(type(failure)) as raised:
        poll(stack)
    assert raised.value is failure
    assert len(bus.refused) == 1


def test_bus_that_fails_while_its_queue_is_full(open_bus: OpenBus) -> None:
    """The wait is over as soon as the bus says that something else is wrong."""
    bus = open_bus()
    bus.refuse = FOREVER
    failure = can.CanOperationError("Bus off")
    bus.refusal = lambda: FULL["text"]() if len(bus.refused) < 3 else failure
    stack = polled(bus)
    stack.send(b"abc")
    with pytest.raises(can.CanOperationError) as raised:
        poll(stack)
    assert raised.value is failure
    assert len(bus.refused) == 4
    assert not stack.transmitting()
