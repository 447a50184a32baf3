"""CanStack and NotifierBasedCanStack on python-can's virtual bus; also where buses fail and callers err."""

from __future__ import annotations

import copy
import errno
import gc
import os
import pickle
import select
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import isotp

can = pytest.importorskip("can")
virtual = pytest.importorskip("can.interfaces.virtual")

# No time-out is part of what is tested here: this one only ends a test that has failed.
PATIENCE = 20.0
LONG = bytes(range(256)) * 3

HERE = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=0x456, rxid=0x123)
THERE = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=0x123, rxid=0x456)


class Bus(virtual.VirtualBus):
    """A virtual bus that notes the time-outs of its reads, and raises `failure` on sending if that is set."""

    def __init__(self, channel: str) -> None:
        super().__init__(channel=channel, receive_own_messages=False)
        self.failure: Exception | None = None
        self.timeouts: list[float | None] = []

    def recv(self, timeout: float | None = None) -> Any:
        self.timeouts.append(timeout)
        return super().recv(timeout)

    def send(self, msg: Any, timeout: float | None = None) -> None:
        if self.failure is not None:
            raise self.failure
        super().send(msg, timeout)


class Notifier(can.Notifier):
    """A notifier whose listeners can be looked at as a list."""

    @property
    def heard_by(self) -> list[Any]:
        return list(self.listeners)


OpenBus = Callable[..., Bus]
MakeStack = Callable[..., Any]


@pytest.fixture
def open_bus(request: pytest.FixtureRequest) -> Iterator[OpenBus]:
    """A function that opens one more connection to a bus that belongs to this test."""
    with ExitStack() as stack:

        def open_one(name: str = "") -> Bus:
            return stack.enter_context(Bus(channel=request.node.nodeid + name))

        yield open_one


@pytest.fixture
def make_can_stack(open_bus: OpenBus) -> Iterator[MakeStack]:
    """A function that makes a CanStack, to be stopped with the test."""
    made: list[isotp.CanStack] = []

    def make(address: isotp.Address = HERE, **kwargs: Any) -> isotp.CanStack:
        made.append(isotp.CanStack(open_bus(), address=address, **kwargs))
        return made[-1]

    yield make
    for stack in made:
        stack.stop()


@pytest.fixture
def make_notifier_based(open_bus: OpenBus) -> Iterator[MakeStack]:
    """The same for a NotifierBasedCanStack, with a notifier of its own."""
    made: list[isotp.NotifierBasedCanStack] = []

    def make(address: isotp.Address = HERE, **kwargs: Any) -> isotp.NotifierBasedCanStack:
        bus = open_bus()
        made.append(
            isotp.NotifierBasedCanStack(bus, Notifier(bus, [], timeout=0.05), address=address, **kwargs)
        )
        return made[-1]

    yield make
    for stack in made:
        stack.stop()
        stack.notifier.stop()


@pytest.fixture(params=["CanStack", "NotifierBasedCanStack"])
def make_stack(
    request: pytest.FixtureRequest, make_can_stack: MakeStack, make_notifier_based: MakeStack
) -> MakeStack:
    """Either of the two."""
    return make_can_stack if request.param == "CanStack" else make_notifier_based


def single_frame(payload: bytes, arbitration_id: int = 0x123) -> Any:
    data = bytes((len(payload),)) + payload
    return can.Message(arbitration_id=arbitration_id, data=data, is_extended_id=False)


def process_until(done: Callable[[], bool], *stacks: isotp.CanStack) -> None:
    """Poll the stacks until it is done; the number of turns is far more than is ever needed."""
    for _ in range(10_000):
        if done():
            return
        for stack in stacks:
            stack.process()
    pytest.fail("not done after 10000 turns")


# --- Payloads -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("params", [{}, {"can_fd": True, "tx_data_length": 64}], ids=["classic", "fd"])
def test_payloads_go_both_ways(
    make_stack: MakeStack, make_can_stack: MakeStack, params: dict[str, Any]
) -> None:
    here, there = make_stack(HERE, params=params), make_can_stack(THERE, params=params)
    here.start()
    there.start()
    for payload in (b"x", LONG, bytes(4095)):
        here.send(payload)
        assert there.recv(block=True, timeout=PATIENCE) == payload
        there.send(payload[::-1])
        assert here.recv(block=True, timeout=PATIENCE) == payload[::-1]


def test_polled_as_in_the_first_generation(make_can_stack: MakeStack) -> None:
    here, there = make_can_stack(HERE), make_can_stack(THERE)
    here.send(LONG)
    there.send(LONG[::-1])
    process_until(lambda: here.available() and there.available(), here, there)
    assert there.recv() == LONG
    assert here.recv() == LONG[::-1]
    process_until(lambda: not here.transmitting() and not there.transmitting(), here, there)


def test_blocking_send(make_stack: MakeStack, make_can_stack: MakeStack) -> None:
    here, there = make_stack(HERE, params={"blocking_send": True}), make_can_stack(THERE)
    here.start()
    there.start()
    here.send(LONG, send_timeout=PATIENCE)
    assert not here.transmitting()
    assert there.recv(block=True, timeout=PATIENCE) == LONG


@pytest.mark.parametrize(
    ("address", "params", "arbitration_id", "is_extended_id", "is_fd", "bitrate_switch"),
    [
        (HERE, {}, 0x456, False, False, False),
        (HERE, {"can_fd": True, "bitrate_switch": True}, 0x456, False, True, True),
        (
            isotp.Address(isotp.AddressingMode.NormalFixed_29bits, target_address=0x33, source_address=0xF1),
            {"can_fd": True},
            0x18DA33F1,
            True,
            True,
            False,
        ),
    ],
    ids=["classic_11bits", "fd_brs", "fd_29bits"],
)
def test_what_is_on_the_bus(
    make_stack: MakeStack,
    open_bus: OpenBus,
    address: isotp.Address,
    params: dict[str, Any],
    arbitration_id: int,
    is_extended_id: bool,
    is_fd: bool,
    bitrate_switch: bool,
) -> None:
    spy = open_bus()
    stack = make_stack(address, params={"tx_padding": 0xAA, **params})
    stack.send(b"abc")
    stack.process()
    message = spy.recv(timeout=0)
    assert message.arbitration_id == arbitration_id
    assert message.data == b"\x03abc\xaa\xaa\xaa\xaa"
    assert message.dlc == 8
    assert message.is_extended_id == is_extended_id
    assert message.is_fd == is_fd
    assert message.bitrate_switch == bitrate_switch
    assert not message.is_remote_frame
    assert not message.is_error_frame


def test_copies_of_what_is_sent(make_stack: MakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Buses copy and pickle what they are given: each copy is python-can's own class, with all that is in it."""
    given: list[Any] = []
    stack = make_stack(params={"can_fd": True, "bitrate_switch": True, "tx_data_length": 64})
    monkeypatch.setattr(stack.bus, "send", given.append)
    stack.send(LONG[:60])
    stack.process()
    (message,) = given
    assert isinstance(message, can.Message)
    message.timestamp, message.channel, message.is_rx, message.error_state_indicator = (
        1.5,
        "vcan0",
        False,
        True,
    )
    for copied in (copy.deepcopy(message), copy.copy(message), pickle.loads(pickle.dumps(message))):
        assert type(copied) is can.Message
        assert {name: getattr(copied, name) for name in can.Message.__slots__ if name != "__weakref__"} == {
            name: getattr(message, name) for name in can.Message.__slots__ if name != "__weakref__"
        }
    assert copy.deepcopy(message).data is not message.data


def test_flags_of_received_frames(make_stack: MakeStack, open_bus: OpenBus) -> None:
    """A 29-bit frame with the right number is not ours, and one of 64 bytes (CAN FD) is read as such."""
    other, stack = open_bus(), make_stack()
    stack.start()
    other.send(can.Message(arbitration_id=0x123, data=b"\x03bad", is_extended_id=True))
    other.send(
        can.Message(arbitration_id=0x123, data=b"\x00\x3e" + LONG[:62], is_extended_id=False, is_fd=True)
    )
    assert stack.recv(block=True, timeout=PATIENCE) == LONG[:62]
    assert not stack.available()


# --- Remote and error frames --------------------------------------------------------------------------------

NO_DATA = {
    "remote": {"is_remote_frame": True, "dlc": 8},
    "error": {"is_error_frame": True},
}


@pytest.mark.parametrize("kind", NO_DATA)
def test_frames_without_data_are_ignored(make_stack: MakeStack, open_bus: OpenBus, kind: str) -> None:
    errors: list[Exception] = []
    other, stack = open_bus(), make_stack(error_handler=errors.append)
    stack.start()
    for _ in range(100):
        other.send(can.Message(arbitration_id=0x123, is_extended_id=False, **NO_DATA[kind]))
    other.send(single_frame(b"data"))
    assert stack.recv(block=True, timeout=PATIENCE) == b"data"
    assert not stack.available()
    assert errors == []


@pytest.mark.parametrize("kind", NO_DATA)
def test_frames_without_data_do_not_hold_up_polling(
    make_can_stack: MakeStack, open_bus: OpenBus, kind: str
) -> None:
    other, stack = open_bus(), make_can_stack()
    for _ in range(100):
        other.send(can.Message(arbitration_id=0x123, is_extended_id=False, **NO_DATA[kind]))
    other.send(single_frame(b"data"))
    stack.process()
    assert stack.recv() == b"data"


# --- Construction -------------------------------------------------------------------------------------------


def test_arguments_by_name(open_bus: OpenBus) -> None:
    bus = open_bus()
    errors: list[Exception] = []
    params = {"stmin": 5}
    stack = isotp.CanStack(
        bus=bus, address=HERE, error_handler=errors.append, params=params, read_timeout=0.25
    )
    assert stack.bus is bus
    assert stack.address is HERE
    assert stack.params.stmin == 5
    assert stack.default_read_timeout == 0.25

    notifier = Notifier(bus, [], timeout=0.05)
    try:
        based = isotp.NotifierBasedCanStack(bus=bus, notifier=notifier, address=HERE, params=params)
        assert based.bus is bus
        assert based.notifier is notifier
        assert based.params.stmin == 5
    finally:
        notifier.stop()


def test_is_a_transport_layer(make_stack: MakeStack) -> None:
    stack = make_stack()
    assert isinstance(stack, isotp.TransportLayer)
    assert isinstance(stack, isotp.TransportLayerLogic)


@pytest.mark.parametrize("wrong", ["vcan0", None, 0, object], ids=["text", "none", "number", "class"])
def test_bus_of_a_wrong_type(open_bus: OpenBus, wrong: Any) -> None:
    with pytest.raises(ValueError, match="bus") as refused:
        isotp.CanStack(wrong, address=HERE)
    assert repr(wrong) in str(refused.value)

    bus = open_bus()
    notifier = Notifier(bus, [], timeout=0.05)
    try:
        with pytest.raises(ValueError, match="bus"):
            isotp.NotifierBasedCanStack(wrong, notifier, address=HERE)
    finally:
        notifier.stop()
    with pytest.raises(ValueError, match="notifier") as refused:
        isotp.NotifierBasedCanStack(bus, wrong, address=HERE)
    assert repr(wrong) in str(refused.value)


def test_arguments_that_are_not_taken(open_bus: OpenBus) -> None:
    bus = open_bus()
    with pytest.raises(TypeError):
        isotp.CanStack()
    with pytest.raises((TypeError, ValueError)):  # 1.9 takes it for a time-out and misses the address
        isotp.CanStack(bus, HERE)
    with pytest.raises(TypeError):
        isotp.CanStack(bus, 0.0, HERE)
    with pytest.raises(TypeError, match="no_such_thing"):
        isotp.CanStack(bus, address=HERE, no_such_thing=1)
    with pytest.raises(ValueError, match="address"):
        isotp.CanStack(bus)
    with pytest.raises(ValueError, match="address"):
        isotp.CanStack(bus, address="0x123")
    with pytest.raises(TypeError):
        isotp.NotifierBasedCanStack(bus)
    notifier = Notifier(bus, [], timeout=0.05)
    try:
        with pytest.raises(TypeError):
            isotp.NotifierBasedCanStack(bus, notifier, HERE)
        with pytest.raises(TypeError, match="no_such_thing"):
            isotp.NotifierBasedCanStack(bus, notifier, address=HERE, no_such_thing=1)
    finally:
        notifier.stop()


def test_without_python_can() -> None:
    """The package works; only the two stacks are refused, with a word on what is missing."""
    program = """
import sys
sys.modules["can"] = None  # as if it were not installed
import isotp
import isotp.protocol
assert isotp.protocol._can_available is False
assert not hasattr(isotp.protocol, "can")
address = isotp.Address(rxid=0x123, txid=0x456)
for make in (
    lambda: isotp.CanStack(object(), address=address),
    lambda: isotp.NotifierBasedCanStack(object(), object(), address=address),
):
    try:
        make()
    except RuntimeError as error:
        assert "python-can" in str(error), error
    else:
        raise SystemExit("made without python-can")
sent = []
layer = isotp.TransportLayer(rxfn=lambda: None, txfn=sent.append, address=address)
layer.send(b"abc")
layer.process()
print(bytes(sent[0].data))
"""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.stderr == ""
    assert run.stdout == "b'\\x03abc'\n"
    assert run.returncode == 0


# --- The bus ------------------------------------------------------------------------------------------------


def test_set_bus(make_can_stack: MakeStack, open_bus: OpenBus) -> None:
    stack = make_can_stack()
    first, second = open_bus(), open_bus("another bus")
    second_here = open_bus("another bus")

    stack.set_bus(second_here)
    assert stack.bus is second_here
    first.send(single_frame(b"first"))
    second.send(single_frame(b"second"))
    stack.process()
    assert stack.recv() == b"second"
    assert not stack.available()
    stack.send(b"back")
    stack.process()
    assert first.recv(timeout=0) is None
    assert second.recv(timeout=0).data == b"\x04back"


def test_set_bus_refuses_what_is_no_bus(make_can_stack: MakeStack) -> None:
    stack = make_can_stack()
    bus = stack.bus
    with pytest.raises(ValueError, match="vcan0"):
        stack.set_bus("vcan0")
    assert stack.bus is bus


@pytest.mark.parametrize(
    ("arguments", "keywords", "expected"),
    [((), {}, 0.0), ((), {"timeout": 0.01}, 0.01), ((0.02,), {}, 0.02)],
    ids=["default", "by_name", "by_position"],
)
def test_timeout_of_the_first_generation(
    open_bus: OpenBus, arguments: tuple[float, ...], keywords: dict[str, float], expected: float
) -> None:
    bus = open_bus()
    stack = isotp.CanStack(bus, *arguments, address=HERE, **keywords)
    stack.process()
    assert bus.timeouts == [expected]


def test_timeout_of_the_second_generation(open_bus: OpenBus) -> None:
    """A time-out given to process() is the one that counts."""
    bus = open_bus()
    stack = isotp.CanStack(bus, address=HERE, timeout=0.5)
    stack.process(rx_timeout=0.01)
    assert bus.timeouts == [0.01]


@pytest.mark.parametrize("wrong", ["0.1", None, [1]], ids=repr)
def test_timeout_of_a_wrong_type(open_bus: OpenBus, wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="timeout"):
        isotp.CanStack(open_bus(), address=HERE, timeout=wrong)


@pytest.mark.parametrize("timeout", [float("inf"), float("nan"), -1, pytest.param(10**400, id="10**400")])
def test_a_timeout_that_no_bus_can_wait_for(open_bus: OpenBus, timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout must be a finite number of seconds"):
        isotp.CanStack(open_bus(), timeout, address=HERE)


def test_rx_canbus_and_tx_canbus(make_can_stack: MakeStack, open_bus: OpenBus) -> None:
    """The two ends of the layer, as code of the first generation calls them."""
    other, stack = open_bus(), make_can_stack()
    assert stack.rx_canbus() is None
    other.send(can.Message(arbitration_id=0x1ABCDEF, data=b"abc", is_extended_id=True))
    message = stack.rx_canbus()
    assert isinstance(message, isotp.CanMessage)
    assert (message.arbitration_id, bytes(message.data), message.is_extended_id) == (0x1ABCDEF, b"abc", True)
    assert (message.is_fd, message.bitrate_switch) == (False, False)

    stack.tx_canbus(
        isotp.CanMessage(arbitration_id=0x7F, dlc=9, data=bytes(12), is_fd=True, bitrate_switch=True)
    )
    sent = other.recv(timeout=0)
    assert (sent.arbitration_id, bytes(sent.data), sent.is_extended_id) == (0x7F, bytes(12), False)
    assert (sent.dlc, sent.is_fd, sent.bitrate_switch) == (12, True, True)


def test_subclass_that_overrides_the_two_ends(open_bus: OpenBus) -> None:
    class Watched(isotp.CanStack):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.seen: list[str] = []
            super().__init__(*args, **kwargs)

        def rx_canbus(self, *args: Any) -> isotp.CanMessage | None:
            message = super().rx_canbus(*args)
            if message is not None:
                self.seen.append(f"rx {bytes(message.data).hex()}")
            return message

        def tx_canbus(self, msg: isotp.CanMessage) -> None:
            self.seen.append(f"tx {bytes(msg.data).hex()}")
            super().tx_canbus(msg)

    other, stack = open_bus(), Watched(open_bus(), address=HERE)
    other.send(single_frame(b"\x01"))
    stack.process()
    assert stack.recv() == b"\x01"
    stack.send(b"\x02")
    stack.process()
    assert other.recv(timeout=0).data == b"\x01\x02"
    assert stack.seen == ["rx 0101", "tx 0102"]


# --- Starting and stopping ----------------------------------------------------------------------------------


def test_stop_before_start(make_stack: MakeStack) -> None:
    stack = make_stack()
    stack.stop()
    assert not stack.started


def test_start_stop_and_again(make_stack: MakeStack, make_can_stack: MakeStack) -> None:
    here, there = make_stack(HERE), make_can_stack(THERE)
    there.start()
    for turn in range(3):
        here.start()
        assert here.started
        here.send(LONG + bytes([turn]))
        assert there.recv(block=True, timeout=PATIENCE) == LONG + bytes([turn])
        there.send(LONG[turn:])
        assert here.recv(block=True, timeout=PATIENCE) == LONG[turn:]
        here.stop()
        here.stop()
        assert not here.started


def test_stop_forgets_what_was_received(make_stack: MakeStack, open_bus: OpenBus) -> None:
    other, stack = open_bus(), make_stack()
    stack.start()
    other.send(single_frame(b"first"))
    other.send(single_frame(b"second"))
    assert stack.recv(block=True, timeout=PATIENCE) == b"first"
    other.send(single_frame(b"third"))
    assert stack.recv(block=True, timeout=PATIENCE) == b"second"
    stack.stop()
    assert not stack.available()
    assert stack.recv() is None


def test_start_twice(make_stack: MakeStack, open_bus: OpenBus) -> None:
    other, stack = open_bus(), make_stack()
    stack.start()
    with pytest.raises(RuntimeError):
        stack.start()
    assert stack.started
    other.send(single_frame(b"once"))
    other.send(single_frame(b"end"))
    assert stack.recv(block=True, timeout=PATIENCE) == b"once"
    assert stack.recv(block=True, timeout=PATIENCE) == b"end"


def test_listener_is_there_once_and_only_while_started(make_notifier_based: MakeStack) -> None:
    stack = make_notifier_based()
    assert stack.notifier.heard_by == []
    for _ in range(2):
        stack.start()
        assert len(stack.notifier.heard_by) == 1
        with pytest.raises(RuntimeError):
            stack.start()
        assert len(stack.notifier.heard_by) == 1
        stack.stop()
        assert stack.notifier.heard_by == []


def test_notifier_is_shared(make_notifier_based: MakeStack, open_bus: OpenBus) -> None:
    """Several stacks and a listener of the user's live on one notifier, and each goes without the others."""
    first, other = make_notifier_based(HERE), open_bus()
    second_address = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=0x457, rxid=0x124)
    second = isotp.NotifierBasedCanStack(first.bus, first.notifier, address=second_address)
    reader = can.BufferedReader()
    first.notifier.add_listener(reader)
    first.start()
    second.start()
    try:
        other.send(single_frame(b"one", 0x123))
        other.send(single_frame(b"two", 0x124))
        assert first.recv(block=True, timeout=PATIENCE) == b"one"
        assert second.recv(block=True, timeout=PATIENCE) == b"two"
        first.stop()
        other.send(single_frame(b"three", 0x124))
        assert second.recv(block=True, timeout=PATIENCE) == b"three"
        assert [reader.get_message(timeout=PATIENCE).arbitration_id for _ in range(3)] == [
            0x123,
            0x124,
            0x124,
        ]
    finally:
        second.stop()
    assert first.notifier.heard_by == [reader]


def test_notifier_based_stack_that_was_not_started(make_notifier_based: MakeStack, open_bus: OpenBus) -> None:
    """It hears nothing, but sends what fits one frame when it is polled."""
    other, stack = open_bus(), make_notifier_based()
    other.send(single_frame(b"data"))
    stack.process()
    assert not stack.available()
    stack.send(b"abc")
    stack.process()
    assert other.recv(timeout=0).data == b"\x03abc"


def test_process_is_refused_while_started(make_stack: MakeStack) -> None:
    stack = make_stack()
    stack.start()
    with pytest.raises(RuntimeError):
        stack.process()
    with pytest.raises(RuntimeError):
        stack.reset()
    stack.stop()
    stack.process()
    stack.reset()


# --- A bus that fails ---------------------------------------------------------------------------------------


def broken() -> Exception:
    return can.CanOperationError("no buffer space left")


@pytest.mark.parametrize("payload", [b"short", LONG], ids=["single_frame", "multi_frame"])
def test_blocking_send_on_a_failing_bus(
    make_stack: MakeStack, make_can_stack: MakeStack, payload: bytes
) -> None:
    here, there = make_stack(HERE, params={"blocking_send": True}), make_can_stack(THERE)
    here.start()
    there.start()
    here.bus.failure = failure = broken()
    for _ in range(2):
        with pytest.raises(isotp.BlockingSendFailure) as failed:
            here.send(payload, send_timeout=PATIENCE)
        assert not isinstance(failed.value, isotp.BlockingSendTimeout)
        assert failed.value.__cause__ is failure
        assert not here.transmitting()
        assert here.started

    here.bus.failure = None
    here.send(payload, send_timeout=PATIENCE)
    assert there.recv(block=True, timeout=PATIENCE) == payload
    there.send(payload[::-1])
    assert here.recv(block=True, timeout=PATIENCE) == payload[::-1]


def test_bus_that_fails_amid_a_message(make_stack: MakeStack, open_bus: OpenBus) -> None:
    """The First Frame goes out; the bus breaks down before the Flow Control arrives."""
    other, stack = open_bus(), make_stack(params={"blocking_send": True})
    stack.start()
    result: list[Exception] = []

    def send() -> None:
        try:
            stack.send(LONG, send_timeout=PATIENCE)
        except isotp.BlockingSendFailure as error:
            result.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    assert other.recv(timeout=PATIENCE).data == b"\x13\x00" + LONG[:6]
    stack.bus.failure = failure = broken()
    other.send(can.Message(arbitration_id=0x123, data=b"\x30\x00\x00", is_extended_id=False))
    sender.join(PATIENCE)
    (error,) = result
    assert error.__cause__ is failure


def test_send_on_a_failing_bus(make_stack: MakeStack, make_can_stack: MakeStack) -> None:
    """Without waiting for it: the error handler gets to know, and the messages after it are sent."""
    reported = threading.Event()
    errors: list[Exception] = []

    def on_error(error: Exception) -> None:
        errors.append(error)
        reported.set()

    here, there = make_stack(HERE, error_handler=on_error), make_can_stack(THERE)
    here.start()
    there.start()
    here.bus.failure = failure = broken()
    here.send(b"lost")
    assert reported.wait(PATIENCE)
    assert isinstance(errors[0], isotp.IsoTpError)
    assert errors[0].__cause__ is failure

    here.bus.failure = None
    here.send(LONG)
    assert there.recv(block=True, timeout=PATIENCE) == LONG
    assert not there.available()
    assert len(errors) == 1


def test_reception_on_a_failing_bus(make_stack: MakeStack, open_bus: OpenBus) -> None:
    """The Flow Control cannot be sent: that is reported, and the layer receives what comes later."""
    reported = threading.Event()
    errors: list[Exception] = []

    def on_error(error: Exception) -> None:
        errors.append(error)
        reported.set()

    other, stack = open_bus(), make_stack(error_handler=on_error)
    stack.start()
    stack.bus.failure = failure = broken()
    other.send(can.Message(arbitration_id=0x123, data=b"\x10\x14" + bytes(6), is_extended_id=False))
    assert reported.wait(PATIENCE)
    assert errors[0].__cause__ is failure
    stack.bus.failure = None
    other.send(single_frame(b"later"))
    assert stack.recv(block=True, timeout=PATIENCE) == b"later"


def test_polled_on_a_failing_bus(make_can_stack: MakeStack, open_bus: OpenBus) -> None:
    """Polled, the exception reaches who polls; the message is given up, the next one is sent."""
    requests: list[Any] = []
    other, stack = open_bus(), make_can_stack(post_send_callback=requests.append)
    stack.bus.failure = failure = broken()
    stack.send(b"lost")
    stack.send(b"kept")
    with pytest.raises(can.CanOperationError) as raised:
        stack.process()
    assert raised.value is failure
    assert requests[0].success is False

    stack.bus.failure = None
    stack.process()
    assert other.recv(timeout=0).data == b"\x04kept"
    assert other.recv(timeout=0) is None
    assert requests[1].success is True
    assert not stack.transmitting()


def test_bus_that_fails_on_reading(make_can_stack: MakeStack, open_bus: OpenBus) -> None:
    """A read that raises is reported; the layer goes on reading."""
    reported = threading.Event()
    errors: list[Exception] = []

    def on_error(error: Exception) -> None:
        errors.append(error)
        reported.set()

    class Stumbling(Bus):
        def recv(self, timeout: float | None = None) -> Any:
            if not reported.is_set():
                raise failure
            return super().recv(timeout)

    failure = broken()
    other = open_bus()
    with Stumbling(other.channel_id) as bus:
        stack = isotp.CanStack(bus, address=HERE, error_handler=on_error)
        stack.start()
        try:
            assert reported.wait(PATIENCE)
            assert errors[0].__cause__ is failure
            other.send(single_frame(b"data"))
            assert stack.recv(block=True, timeout=PATIENCE) == b"data"
        finally:
            stack.stop()


# --- A notifier that others change ----------------------------------------------------------------------------


def test_stop_where_the_notifier_has_lost_the_stack(
    make_notifier_based: MakeStack, open_bus: OpenBus
) -> None:
    other, stack = open_bus(), make_notifier_based()
    for lose in (
        lambda: stack.notifier.remove_listener(stack.buffered_reader),
        lambda: stack.notifier.listeners.clear(),
    ):
        stack.start()
        lose()
        stack.stop()
        assert not stack.started
    stack.start()
    other.send(single_frame(b"data"))
    assert stack.recv(block=True, timeout=PATIENCE) == b"data"


def test_start_where_the_notifier_refuses(
    make_notifier_based: MakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exception is the notifier's own, and the stack is stopped."""

    def refuse(listener: Any) -> None:
        raise LookupError("no more listeners")

    stack = make_notifier_based()
    with monkeypatch.context() as refusing:
        refusing.setattr(stack.notifier, "add_listener", refuse)
        with pytest.raises(LookupError, match="no more listeners"):
            stack.start()
    assert not stack.started
    stack.process()
    stack.start()
    assert stack.started


def test_frames_before_a_notifier_knows_the_stack_begin_no_message(
    make_notifier_based: MakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The notifier may still be amid a frame for the stack as it was before stop(); it then misses others."""
    stack = make_notifier_based()
    add = stack.notifier.add_listener

    def add_late(listener: Any) -> None:
        listener(can.Message(arbitration_id=0x123, data=b"\x10\x0aabcdef", is_extended_id=False))
        add(listener)

    monkeypatch.setattr(stack.notifier, "add_listener", add_late)
    stack.start()
    assert not stack.is_rx_active()


# --- A bus with a file descriptor: nothing is polled ----------------------------------------------------------


class DescriptorBus(can.BusABC):
    """A bus on a socket of its own, as SocketCAN's; reads ahead as far as it is told."""

    def __init__(self) -> None:
        super().__init__(channel="descriptor")
        self.here, self.there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.here.setblocking(False)
        self.ahead: deque[bytes] = deque()
        self.read_ahead = 1
        self.reads = 0
        self.waits: list[float | None] = []

    def fileno(self) -> int:
        return self.here.fileno()

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        if timeout != 0:
            self.waits.append(timeout)
        self.reads += 1
        while len(self.ahead) < self.read_ahead:
            try:
                self.ahead.append(self.here.recv(100))
            except BlockingIOError:
                break
        if not self.ahead:
            return None, True
        return can.Message(arbitration_id=0x123, data=self.ahead.popleft(), is_extended_id=False), True

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        self.here.send(bytes(msg.data))

    def shutdown(self) -> None:
        super().shutdown()
        self.here.close()
        self.there.close()


@pytest.fixture
def descriptor_buses() -> Iterator[list[DescriptorBus]]:
    buses = [DescriptorBus(), DescriptorBus()]
    yield buses
    for bus in buses:
        bus.shutdown()
        assert bus.waits == [], "waiting is not for the bus"


needs_poll = pytest.mark.skipif(not hasattr(select, "poll"), reason="no poll() on this system")
FOREVER = 10_000.0


@needs_poll
@pytest.mark.parametrize("read_ahead", [1, 100])
def test_reader_sleeps_until_something_happens(
    descriptor_buses: list[DescriptorBus], read_ahead: int
) -> None:
    bus = descriptor_buses[0]
    bus.read_ahead = read_ahead
    stack = isotp.CanStack(bus, address=isotp.Address(txid=0x456, rxid=0x123), read_timeout=FOREVER)
    stack.start()
    for k in range(3):
        for j in range(10):
            bus.there.send(bytes([2, k, j]))
        for j in range(10):
            assert stack.recv(block=True, timeout=20) == bytes([k, j])
    stack.stop()  # would wait for read_timeout if the reader could not be woken
    assert bus.reads < 100


def test_the_smallest_read_timeout_counts(open_bus: OpenBus) -> None:
    """A bus without a descriptor is read for as long as the least patient stack on it has it."""
    bus = open_bus()
    first, second = (isotp.CanStack(bus, address=HERE, read_timeout=seconds) for seconds in (0.04, 0.03))
    for expected in ([first], 0.04), ([first, second], 0.03), ([first], 0.04):
        stacks, timeout = expected
        for stack in (first, second):
            if stack in stacks and not stack.started:
                stack.start()
            elif stack not in stacks:
                stack.stop()
        bus.timeouts.clear()
        while bus.timeouts[-1:] != [timeout]:
            time.sleep(0)
    first.stop()


def test_wait_func_is_called(make_can_stack: MakeStack, open_bus: OpenBus) -> None:
    """A stack with a way to wait of the user's has a thread of its own, which waits between the frames of a message."""
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        time.sleep(seconds)

    other = open_bus()
    stack = make_can_stack(params={"wait_func": wait})
    stack.start()
    stack.send(bytes(20))
    assert other.recv(PATIENCE).data[:2] == b"\x10\x14"
    other.send(can.Message(arbitration_id=0x123, data=b"\x30\x00\x05", is_extended_id=False))
    assert [other.recv(PATIENCE).data[0] for _ in range(2)] == [0x21, 0x22]
    assert waits


@needs_poll
def test_deadlines_end_the_sleep(descriptor_buses: list[DescriptorBus]) -> None:
    errors: list[Exception] = []
    told = threading.Event()
    bus = descriptor_buses[0]
    params = {"rx_consecutive_frame_timeout": 20, "rx_flowcontrol_timeout": 20}
    stack = isotp.CanStack(
        bus,
        address=isotp.Address(txid=0x456, rxid=0x123),
        read_timeout=FOREVER,
        params=params,
        error_handler=lambda error: (errors.append(error), told.set()),
    )
    stack.start()
    stack.send(bytes(20))
    assert told.wait(20)
    told.clear()
    bus.there.send(b"\x10\x14abcdef")
    assert told.wait(20)
    stack.stop()
    assert [type(error) for error in errors] == [
        isotp.FlowControlTimeoutError,
        isotp.ConsecutiveFrameTimeoutError,
    ]


@needs_poll
def test_another_bus_while_the_reader_sleeps(descriptor_buses: list[DescriptorBus]) -> None:
    first, second = descriptor_buses
    stack = isotp.CanStack(first, address=isotp.Address(txid=0x456, rxid=0x123), read_timeout=FOREVER)
    stack.start()
    first.there.send(b"\x01\x01")
    assert stack.recv(block=True, timeout=20) == b"\x01"
    stack.set_bus(second)
    second.there.send(b"\x01\x02")
    assert stack.recv(block=True, timeout=20) == b"\x02"
    stack.stop()


@needs_poll
def test_start_without_another_descriptor(
    descriptor_buses: list[DescriptorBus], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_more() -> tuple[int, int]:
        raise OSError(errno.EMFILE, "too many open files")

    unraisable: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    stack = isotp.CanStack(descriptor_buses[0], address=HERE)
    with monkeypatch.context() as refusing:
        refusing.setattr(os, "pipe", no_more)
        with pytest.raises(OSError, match="too many"):
            stack.start()
    gc.collect()
    assert not stack.started
    assert unraisable == []
    stack.start()
    stack.stop()
