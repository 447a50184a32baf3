"""Each known defect of can-isotp 2.0.7 that no test of its own pins, and what happens here instead."""

from __future__ import annotations

import inspect
import logging
import queue
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import isotp
from isotp.errors import CallbackError

# No time-out is part of what is tested here: this one only ends a test that has failed.
PATIENCE = 10.0

ADDRESS = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=0x456, rxid=0x123)

CTS = "30 00 00"
FIRST_FRAME = "10 0A 01 02 03 04 05 06"
MS = 1_000_000  # ns


def frame(data: str) -> isotp.CanMessage:
    return isotp.CanMessage(0x123, 0, bytes.fromhex(data))


class Errors(list[Exception]):
    """An error handler that keeps what it is told, to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.arrival = threading.Condition()

    def __call__(self, error: Exception) -> None:
        with self.arrival:
            self.append(error)
            self.arrival.notify_all()

    def wait_for(self, count: int) -> None:
        with self.arrival:
            assert self.arrival.wait_for(lambda: len(self) >= count, PATIENCE), list(self)


class Peer:
    """A layer, and the test as the other end of its bus: what it is to read, what it sent."""

    layer: isotp.TransportLayer

    def __init__(self) -> None:
        self.to_read: queue.Queue[isotp.CanMessage] = queue.Queue()
        self.sent: queue.Queue[isotp.CanMessage] = queue.Queue()
        self.errors = Errors()
        self.requests: list[Any] = []

    def rxfn(self, timeout: float) -> isotp.CanMessage | None:
        try:
            return self.to_read.get(timeout=timeout)
        except queue.Empty:
            return None

    def put(self, *frames: str) -> None:
        for data in frames:
            self.to_read.put(frame(data))

    def take(self) -> bytes:
        return bytes(self.sent.get(timeout=PATIENCE).data)

    def receive(self) -> bytes:
        message = self.layer.recv(block=True, timeout=PATIENCE)
        assert message is not None
        return bytes(message)

    def assert_works(self) -> None:
        """The layer is started, and both directions work, with single frames and without."""
        assert self.layer.started
        while not self.sent.empty():
            self.sent.get()
        self.put("02 01 02")
        assert self.receive() == b"\x01\x02"
        self.layer.send(b"\xaa", send_timeout=PATIENCE)
        assert self.take() == b"\x01\xaa"
        self.put("10 08 01 02 03 04 05 06")
        assert self.take()[0] == 0x30
        self.put("21 07 08")
        assert self.receive() == bytes(range(1, 9))


MakePeer = Callable[..., Peer]


@pytest.fixture
def make_peer() -> Iterator[MakePeer]:
    """A function that makes a layer, not started yet, to be stopped with the test."""
    made: list[Peer] = []

    def make(**kwargs: Any) -> Peer:
        peer = Peer()
        arguments: dict[str, Any] = {
            "rxfn": peer.rxfn,
            "txfn": peer.sent.put,
            "address": ADDRESS,
            "error_handler": peer.errors,
            "post_send_callback": peer.requests.append,
            "read_timeout": 0.01,  # how long it takes to stop
        }
        peer.layer = isotp.TransportLayer(**{**arguments, **kwargs})
        made.append(peer)
        return peer

    yield make
    for peer in made:
        peer.layer.stop()


def in_thread(function: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def join(thread: threading.Thread) -> None:
    thread.join(PATIENCE)
    assert not thread.is_alive()


class Blocked:
    """A thread in a blocking send without a time-out, and the exception that ended it."""

    def __init__(self, layer: isotp.TransportLayer, payload: bytes) -> None:
        self.error: Exception | None = None
        queued = threading.Event()
        layer.post_send_callback = lambda request: queued.set()
        self.thread = in_thread(lambda: self.send(layer, payload))
        assert queued.wait(PATIENCE)

    def send(self, layer: isotp.TransportLayer, payload: bytes) -> None:
        try:
            layer.send(payload)
        except isotp.IsoTpError as error:
            self.error = error

    def outcome(self) -> Exception | None:
        join(self.thread)
        return self.error


# --- 1. stop() before any start() ---------------------------------------------------------------------------


def test_stop_before_start(make_peer: MakePeer) -> None:
    """There: AttributeError."""
    peer = make_peer()
    peer.layer.stop()
    peer.layer.stop()
    assert not peer.layer.started
    peer.layer.start()
    peer.assert_works()


def test_stop_before_start_forgets_nothing(make_peer: MakePeer) -> None:
    """A layer that is polled is not started, so stop() has nothing to do with it."""
    peer = make_peer()
    peer.put("01 AA")
    peer.layer.process()
    peer.layer.send(b"\xbb")
    peer.layer.stop()
    assert peer.layer.recv() == b"\xaa"
    peer.layer.process()
    assert peer.take() == b"\x01\xbb"


# --- 2. rxfn without a parameter, and start() ---------------------------------------------------------------


def test_rxfn_without_a_parameter(make_peer: MakePeer) -> None:
    """There: reception dies, and process() raises TypeError after stop()."""
    peer = make_peer(rxfn=lambda: peer.rxfn(0))
    assert not peer.layer.blocking_rxfn
    peer.layer.start()
    peer.assert_works()
    peer.layer.stop()
    peer.put("01 AA")
    peer.layer.process()
    assert peer.layer.recv() == b"\xaa"
    peer.layer.start()
    peer.assert_works()
    assert peer.errors == []


def test_rxfn_with_an_object_for_its_default(make_peer: MakePeer) -> None:
    """As 1.x documents it: the parameter is a handle, not a time-out."""
    hardware: queue.Queue[isotp.CanMessage] = queue.Queue()

    def rxfn(hardware: queue.Queue[isotp.CanMessage] = hardware) -> isotp.CanMessage | None:
        return None if hardware.empty() else hardware.get()

    peer = make_peer(rxfn=rxfn)
    peer.to_read = hardware
    peer.layer.start()
    peer.assert_works()
    assert peer.errors == []


class _NoSignature:
    """A callable whose parameters cannot be found out, as some that are written in C."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    @property
    def __signature__(self) -> Any:
        raise ValueError("no signature found")

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)


@pytest.mark.parametrize("takes_timeout", [True, False])
def test_rxfn_whose_signature_can_not_be_found_out(make_peer: MakePeer, takes_timeout: bool) -> None:
    """There: ValueError."""

    def without_a_parameter() -> isotp.CanMessage | None:
        return peer.rxfn(0)

    def with_a_timeout(timeout: float) -> isotp.CanMessage | None:
        return peer.rxfn(timeout)

    rxfn = _NoSignature(with_a_timeout if takes_timeout else without_a_parameter)
    with pytest.raises(ValueError, match="no signature"):
        inspect.signature(rxfn)
    peer = make_peer(rxfn=rxfn)
    peer.layer.start()
    peer.assert_works()
    assert peer.errors == []


# --- 3. Callbacks that raise --------------------------------------------------------------------------------


class Broken:
    """A txfn that raises while it is broken, from the frame on that is given by its number.

    Each First Frame gets its Flow Control.
    """

    def __init__(self, failure: Exception, at: int = 1) -> None:
        self.failure = failure
        self.at = at
        self.broken = True
        self.calls = 0
        self.peer: Peer

    def __call__(self, message: isotp.CanMessage) -> None:
        self.calls += 1
        if self.broken and self.calls >= self.at:
            raise self.failure
        self.peer.sent.put(message)
        if message.data[0] >> 4 == 1:
            self.peer.put(CTS)


MESSAGES = {"single_frame": (b"\xaa", 1), "first_frame": (bytes(20), 1), "last_frame": (bytes(20), 3)}


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "not_blocking"])
def test_txfn_that_raises_threaded(
    make_peer: MakePeer, caplog: pytest.LogCaptureFixture, message: str, blocking: bool
) -> None:
    """There: the thread dies without a word, and a blocking single frame even counts as sent."""
    payload, at = MESSAGES[message]
    failure = OSError("no buffer space left")
    txfn = Broken(failure, at)
    txfn.peer = peer = make_peer(txfn=txfn, params={"blocking_send": blocking})
    peer.layer.start()
    if blocking:
        with pytest.raises(isotp.BlockingSendFailure, match="no buffer space left") as failed:
            peer.layer.send(payload, send_timeout=PATIENCE)
        assert not isinstance(failed.value, isotp.BlockingSendTimeout)
        assert failed.value.__cause__ is failure
    else:
        peer.layer.send(payload)
    peer.errors.wait_for(1)
    assert [type(error) for error in peer.errors] == [CallbackError]
    assert peer.errors[0].__cause__ is failure
    assert isinstance(peer.errors[0], isotp.IsoTpError)
    assert peer.requests[0].success is False
    assert peer.requests[0].failure is failure
    assert not peer.layer.transmitting()
    (logged,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert logged.exc_info is not None
    assert logged.exc_info[1] is failure
    assert logged.name == "isotp"

    txfn.broken = False
    peer.assert_works()


@pytest.mark.parametrize("message", MESSAGES)
def test_txfn_that_raises_polled(make_peer: MakePeer, message: str) -> None:
    """The exception itself comes out of process(); only that message is lost."""
    payload, at = MESSAGES[message]
    failure = OSError("no buffer space left")
    txfn = Broken(failure, at)
    txfn.peer = peer = make_peer(txfn=txfn)
    peer.layer.send(payload)
    peer.layer.send(b"\xbb")
    with pytest.raises(OSError, match="no buffer space left") as raised:
        peer.layer.process()
    assert raised.value is failure
    assert peer.errors == []
    assert peer.requests[0].success is False
    assert peer.requests[0].failure is failure
    assert peer.requests[1].success is None

    txfn.broken = False
    while not peer.sent.empty():
        peer.take()
    peer.layer.process()
    assert peer.take() == b"\x01\xbb"
    assert peer.requests[1].success is True
    assert not peer.layer.transmitting()


def test_txfn_that_raises_polled_with_a_blocked_sender(make_peer: MakePeer) -> None:
    """One thread polls, another waits in send(): both get to know."""
    failure = OSError("no buffer space left")
    txfn = Broken(failure)
    txfn.peer = peer = make_peer(txfn=txfn, params={"blocking_send": True})
    blocked = Blocked(peer.layer, b"\xaa")
    with pytest.raises(OSError, match="no buffer space left"):
        peer.layer.process()
    error = blocked.outcome()
    assert type(error) is isotp.BlockingSendFailure
    assert error.__cause__ is failure


def test_txfn_that_raises_for_a_flow_control_frame(make_peer: MakePeer) -> None:
    txfn = Broken(OSError("no buffer space left"))
    txfn.peer = peer = make_peer(txfn=txfn)
    peer.layer.start()
    peer.put(FIRST_FRAME)
    peer.errors.wait_for(1)
    assert isinstance(peer.errors[0], CallbackError)
    assert peer.errors[0].__cause__ is txfn.failure
    txfn.broken = False
    peer.assert_works()


def test_rxfn_that_raises(make_peer: MakePeer, caplog: pytest.LogCaptureFixture) -> None:
    """The bus is gone for a while: told, but not thousands of times; once it is back, all is well."""
    gone = True
    failure = OSError("network is down")

    def rxfn(timeout: float) -> isotp.CanMessage | None:
        if gone:
            raise failure
        return peer.rxfn(timeout)

    peer = make_peer(rxfn=rxfn)
    peer.layer.start()
    peer.errors.wait_for(3)
    assert {type(error) for error in peer.errors} == {CallbackError}
    assert {error.__cause__ for error in peer.errors} == {failure}
    peer.layer.send(b"\xaa")
    assert peer.take() == b"\x01\xaa"  # sending needs no rxfn
    assert peer.layer.started
    threading.Event().wait(0.3)
    # Doubling pauses from 10 ms on: some 6 until now, with room for a slow machine that counted 3 late
    assert len(peer.errors) <= 10
    assert sum(record.levelno == logging.ERROR for record in caplog.records) <= 10
    gone = False
    peer.assert_works()


def test_rxfn_that_raises_polled(make_peer: MakePeer) -> None:
    failure = OSError("network is down")
    frames: list[Exception | isotp.CanMessage] = [frame("01 AA"), failure, frame("01 BB")]

    def rxfn() -> isotp.CanMessage | None:
        item = frames.pop(0) if frames else None
        if isinstance(item, Exception):
            raise item
        return item

    peer = make_peer(rxfn=rxfn)
    with pytest.raises(OSError, match="network is down") as raised:
        peer.layer.process()
    assert raised.value is failure
    peer.layer.process()
    assert [peer.layer.recv(), peer.layer.recv()] == [b"\xaa", b"\xbb"]
    assert peer.errors == []


def test_stop_does_not_wait_for_a_bus_that_is_gone(make_peer: MakePeer) -> None:
    """The pauses between the attempts become long: stop() ends them."""

    def rxfn(timeout: float) -> None:
        raise OSError("network is down")

    peer = make_peer(rxfn=rxfn)
    peer.layer.start()
    thread = peer.layer.main_thread
    assert thread is not None
    peer.errors.wait_for(5)
    peer.layer.stop()
    assert not thread.is_alive()


def test_error_handler_that_raises_threaded(make_peer: MakePeer, caplog: pytest.LogCaptureFixture) -> None:
    """It is told of its own failure, once; the log has both."""
    handled = Errors()
    failure = KeyError("in the handler")

    def error_handler(error: Exception) -> None:
        handled(error)
        raise failure

    peer = make_peer(error_handler=error_handler)
    peer.layer.start()
    peer.put("21 00")
    handled.wait_for(2)
    assert isinstance(handled[0], isotp.UnexpectedConsecutiveFrameError)
    assert isinstance(handled[1], CallbackError)
    assert handled[1].__cause__ is failure
    peer.assert_works()
    assert len(handled) == 2
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.exc_info and record.exc_info[1] for record in errors] == [failure, failure]


def test_error_handler_that_raises_costs_no_message(make_peer: MakePeer) -> None:
    """A single frame interrupts a reception: reported, and received though the handler raises."""

    def error_handler(error: Exception) -> None:
        raise KeyError("in the handler")

    peer = make_peer(error_handler=error_handler)
    peer.layer.start()
    peer.put(FIRST_FRAME, "01 AA")
    assert peer.receive() == b"\xaa"
    peer.assert_works()


def test_error_handler_that_raises_polled(make_peer: MakePeer) -> None:
    failure = KeyError("in the handler")

    def error_handler(error: Exception) -> None:
        raise failure

    peer = make_peer(error_handler=error_handler)
    peer.put("21 00", "01 AA")
    with pytest.raises(KeyError) as raised:
        peer.layer.process()
    assert raised.value is failure
    peer.layer.process()
    assert peer.layer.recv() == b"\xaa"


def test_generator_that_raises_threaded(make_peer: MakePeer) -> None:
    failure = OSError("file is gone")

    def payload() -> Any:
        yield from bytes(10)
        raise failure

    txfn = Broken(failure)
    txfn.broken = False
    txfn.peer = peer = make_peer(txfn=txfn, params={"blocking_send": True})
    peer.layer.start()
    with pytest.raises(isotp.BlockingSendFailure, match="file is gone") as failed:
        peer.layer.send((payload(), 50), send_timeout=PATIENCE)
    assert failed.value.__cause__ is failure
    peer.errors.wait_for(1)
    assert isinstance(peer.errors[0], CallbackError)
    assert peer.errors[0].__cause__ is failure
    peer.layer.params.blocking_send = False
    peer.assert_works()


def test_blocking_send_tells_the_reason(make_peer: MakePeer) -> None:
    peer = make_peer(params={"blocking_send": True})
    peer.layer.start()
    peer.put("32 00 00")
    peer.errors.wait_for(1)  # an Overflow that nobody waits for is reported as well
    peer.errors.clear()
    blocked = Blocked(peer.layer, bytes(100))
    assert peer.take()[0] == 0x10
    peer.put("32 00 00")
    error = blocked.outcome()
    assert type(error) is isotp.BlockingSendFailure
    assert isinstance(error.__cause__, isotp.OverflowError)
    peer.errors.wait_for(1)
    assert peer.errors == [error.__cause__]


# --- 4. A message counts as sent once txfn has returned -----------------------------------------------------


@pytest.mark.parametrize(("payload", "frames"), [(b"\xaa", 1), (bytes(20), 3)], ids=["single", "multi"])
def test_done_only_after_txfn_has_returned(make_peer: MakePeer, payload: bytes, frames: int) -> None:
    seen: list[tuple[Any, bool]] = []

    def txfn(message: isotp.CanMessage) -> None:
        request = peer.requests[0]
        seen.append((request.success, request.complete_event.is_set()))

    peer = make_peer(txfn=txfn)
    peer.layer.send(payload)
    peer.layer.process()
    peer.put(CTS)
    peer.layer.process()
    assert seen == [(None, False)] * frames
    assert peer.requests[0].success is True
    assert peer.requests[0].complete_event.is_set()


def test_blocking_send_waits_for_the_last_frame(make_peer: MakePeer) -> None:
    go_on = threading.Event()
    last = threading.Event()

    def txfn(message: isotp.CanMessage) -> None:
        peer.sent.put(message)
        if message.data[0] == 0x22:
            last.set()
            assert go_on.wait(PATIENCE)

    peer = make_peer(txfn=txfn, params={"blocking_send": True})
    peer.layer.start()
    blocked = Blocked(peer.layer, bytes(20))
    assert peer.take()[0] == 0x10
    peer.put(CTS)
    assert last.wait(PATIENCE)
    assert blocked.thread.is_alive()
    go_on.set()
    assert blocked.outcome() is None


# --- 5. No N_Cr time-out of a reception that has ended ------------------------------------------------------


class Clocked:
    """A polled layer whose time is a number."""

    def __init__(self, **params: Any) -> None:
        self.now = 0
        self.frames: list[isotp.CanMessage] = []
        self.sent: list[bytes] = []
        self.errors: list[Exception] = []
        self.layer = isotp.TransportLayer(
            lambda: self.frames.pop(0) if self.frames else None,
            lambda message: self.sent.append(bytes(message.data)),
            ADDRESS,
            self.errors.append,
            params,
        )
        self.layer.clock = lambda: self.now

    def at(self, milliseconds: int, *frames: str) -> None:
        self.now = milliseconds * MS
        self.frames += [frame(data) for data in frames]
        self.layer.process()


@pytest.mark.parametrize(
    ("interruption", "error"),
    [
        ("01 AA", isotp.ReceptionInterruptedWithSingleFrameError),
        ("1F FF 01 02 03 04 05 06", isotp.FrameTooLongError),
        ("22 AA", isotp.WrongSequenceNumberError),
        ("00 00", isotp.InvalidCanDataError),
        ("10 0B 01 02 03", isotp.ReceptionInterruptedWithFirstFrameError),
    ],
    ids=["single_frame", "too_long_first_frame", "wrong_sn", "invalid", "first_frame"],
)
def test_no_time_out_after_an_interruption(interruption: str, error: type[Exception]) -> None:
    """There: N_Cr of the reception that ended goes on, and is reported later."""
    one = Clocked(max_frame_size=100)
    one.at(0, FIRST_FRAME)
    one.at(500, interruption)
    assert error in [type(reported) for reported in one.errors]
    one.errors.clear()
    if error is isotp.ReceptionInterruptedWithFirstFrameError:
        one.at(1400)  # past the first one's time, not the second one's
        assert one.errors == []
        one.at(1500)
        assert [type(reported) for reported in one.errors] == [isotp.ConsecutiveFrameTimeoutError]
        return
    assert one.layer.deadline_ns() is None
    one.at(60_000)
    assert one.errors == []


def test_no_time_out_after_stop_receiving() -> None:
    one = Clocked()
    one.at(0, FIRST_FRAME)
    one.layer.stop_receiving()
    one.at(60_000)
    assert one.errors == []


# --- 6. stop_sending() and stop_receiving() -----------------------------------------------------------------


def test_every_stop_sending_acts_at_once(make_peer: MakePeer) -> None:
    """There: only the first one waits until it is done. Here: done when it returns, each time."""
    peer = make_peer(params={"blocking_send": True})
    peer.layer.start()
    for turn in range(5):
        blocked = Blocked(peer.layer, bytes(100))
        assert peer.take()[0] == 0x10
        peer.layer.stop_sending()
        assert not peer.layer.transmitting()
        assert peer.layer.tx_state is isotp.TransportLayer.TxState.IDLE
        error = blocked.outcome()
        assert type(error) is isotp.BlockingSendFailure, turn
        assert error.__cause__ is None
    assert peer.errors == []
    peer.layer.params.blocking_send = False
    peer.assert_works()


@pytest.mark.parametrize("method", ["stop_sending", "stop_receiving", "clear_rx_queue", "clear_tx_queue"])
def test_stopping_waits_for_no_thread(make_peer: MakePeer, method: str) -> None:
    """All threads of the layer are held up, in rxfn and in txfn; there it waits for them, up to a second."""
    in_rxfn, in_txfn, let_go = threading.Event(), threading.Event(), threading.Event()

    def rxfn(timeout: float) -> None:
        in_rxfn.set()
        let_go.wait(PATIENCE)

    def txfn(message: isotp.CanMessage) -> None:
        in_txfn.set()
        let_go.wait(PATIENCE)

    peer = make_peer(rxfn=rxfn, txfn=txfn)
    peer.layer.start()
    sender = in_thread(lambda: peer.layer.send(bytes(100)))
    try:
        assert in_rxfn.wait(PATIENCE)
        assert in_txfn.wait(PATIENCE)
        peer.layer.send(b"next")
        stopper = in_thread(getattr(peer.layer, method))
        join(stopper)
        assert not let_go.is_set()
        assert sender.is_alive()
        assert peer.requests[0].success is (False if method == "stop_sending" else None)
        assert peer.requests[1].success is (False if method == "clear_tx_queue" else None)
    finally:
        let_go.set()
    join(sender)


def test_stop_receiving_acts_at_once(make_peer: MakePeer) -> None:
    """udsoncan calls it before each request."""
    peer = make_peer()
    peer.layer.start()
    for _ in range(5):
        peer.put(FIRST_FRAME)
        assert peer.take()[0] == 0x30
        assert peer.layer.is_rx_active()
        peer.layer.stop_receiving()
        assert not peer.layer.is_rx_active()
    peer.put("21 07 08 09 0A")
    peer.errors.wait_for(1)
    assert isinstance(peer.errors[0], isotp.UnexpectedConsecutiveFrameError)
    peer.assert_works()


# --- 7. start() twice on a notifier -------------------------------------------------------------------------


def test_notifier_knows_a_stack_once() -> None:
    """There: the second start() raises, but only after it has registered the stack again."""
    can = pytest.importorskip("can")
    with (
        can.Bus("better", interface="virtual") as bus,
        can.Bus("better", interface="virtual") as other,
        can.Notifier(bus, [], timeout=0.02) as notifier,
    ):
        stack = isotp.NotifierBasedCanStack(bus, notifier, address=ADDRESS)
        stack.start()
        try:
            with pytest.raises(RuntimeError, match="started"):
                stack.start()
            assert len(notifier.listeners) == 1
            for data in (b"\x01\xaa", b"\x01\xbb"):
                other.send(can.Message(arbitration_id=0x123, data=data, is_extended_id=False))
            assert stack.recv(block=True, timeout=PATIENCE) == b"\xaa"
            assert stack.recv(block=True, timeout=PATIENCE) == b"\xbb"
        finally:
            stack.stop()
        assert list(notifier.listeners) == []


# --- 8. Dropped messages release their senders --------------------------------------------------------------


@pytest.mark.parametrize("how", ["clear_tx_queue", "stop"])
def test_dropped_messages_release_their_senders(make_peer: MakePeer, how: str) -> None:
    """There: who waits for a message that was dropped waits for ever."""
    peer = make_peer(params={"blocking_send": True})
    peer.layer.start()
    active = Blocked(peer.layer, bytes(100))
    assert peer.take()[0] == 0x10
    waiting = [Blocked(peer.layer, bytes([k])) for k in range(3)]
    getattr(peer.layer, how)()
    for blocked in waiting:
        assert type(blocked.outcome()) is isotp.BlockingSendFailure
    if how == "clear_tx_queue":
        assert active.thread.is_alive()
        peer.put(CTS)
        assert active.outcome() is None
    else:
        assert type(active.outcome()) is isotp.BlockingSendFailure


def test_reset_releases_senders(make_peer: MakePeer) -> None:
    """Polled: one thread waits in send(), the one that polls resets the layer."""
    peer = make_peer(params={"blocking_send": True})
    blocked = [Blocked(peer.layer, bytes(100)), Blocked(peer.layer, b"\xaa")]
    peer.layer.process()
    assert peer.layer.transmitting()
    peer.layer.reset()
    assert [type(one.outcome()) for one in blocked] == [isotp.BlockingSendFailure] * 2


# --- 9. No single frame that ISO 15765-2 forbids ------------------------------------------------------------


@pytest.mark.parametrize("min_length", [12, 16, 20, 24, 32, 48, 64])
@pytest.mark.parametrize("size", [1, 6, 7, 8])
def test_single_frame_that_padding_takes_beyond_8_bytes(min_length: int, size: int) -> None:
    """Its length comes in the escape form. There: in one byte, which its own receiver refuses."""
    params = {"tx_data_length": 64, "tx_data_min_length": min_length, "can_fd": True}
    one, other = Clocked(**params), Clocked(**params)
    payload = bytes(range(1, size + 1))
    one.layer.send(payload)
    one.layer.process()
    assert one.sent == [bytes([0, size]) + payload + bytes([0xCC]) * (min_length - 2 - size)]
    other.at(0, one.sent[0].hex())
    assert other.layer.recv() == payload
    assert other.errors == []


@pytest.mark.parametrize("min_length", [None, 1, 7, 8])
def test_single_frame_of_up_to_8_bytes(min_length: int | None) -> None:
    """There, the escape form is what ISO forbids."""
    one = Clocked(tx_data_length=64, tx_data_min_length=min_length, can_fd=True)
    one.layer.send(b"\xaa" * 7)
    one.layer.process()
    assert one.sent == [b"\x07" + b"\xaa" * 7]


# --- Parameters ---------------------------------------------------------------------------------------------


def test_parameters_cost_no_sleep() -> None:
    """There: each params.set() sleeps for a millisecond, and so do each construction and load_params()."""
    program = """
        import time
        sleeps = []
        time.sleep = sleeps.append
        import isotp
        layer = isotp.TransportLayer(
            lambda: None, print, isotp.Address(rxid=1, txid=2), params={"stmin": 1, "wait_func": time.sleep}
        )
        layer.params.set("stmin", 5)
        layer.params.set("wait_func", time.sleep)
        layer.params.validate()
        layer.load_params()
        print(sleeps)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.stderr, done.stdout, done.returncode) == ("", "[]\n", 0)


def test_wait_func_of_a_user_is_tried_once(make_peer: MakePeer) -> None:
    waits: list[float] = []
    peer = make_peer(params={"wait_func": waits.append})
    assert waits == [0.001]
    peer.layer.params.set("stmin", 5)
    peer.layer.load_params()
    assert waits == [0.001]


@pytest.mark.parametrize(
    ("name", "value"), [("stmin", 256), ("blocksize", "8"), ("tx_data_length", 9), ("can_fd", 1)]
)
def test_refused_parameter_is_not_kept(make_peer: MakePeer, name: str, value: Any) -> None:
    """There: it is, and the layer works with it."""
    peer = make_peer(params={"stmin": 7})
    before = getattr(peer.layer.params, name)
    with pytest.raises(ValueError, match=repr(value)):
        peer.layer.params.set(name, value)
    assert getattr(peer.layer.params, name) == before
    peer.layer.load_params()
    peer.layer.start()
    peer.put(FIRST_FRAME)
    assert peer.take() == bytes([0x30, 8, 7])


# --- Payloads and identifiers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    ["text", 5, None, 1.5, [256], [-1], [1, "2"], [None], (1, 2, 256), object(), {"a": 1}],
    ids=repr,
)
@pytest.mark.parametrize("started", [False, True], ids=["polled", "started"])
def test_bad_payload_is_refused_by_send(make_peer: MakePeer, payload: Any, started: bool) -> None:
    """There: some are queued, and blow up later, in process() or in the thread."""
    peer = make_peer()
    if started:
        peer.layer.start()
    with pytest.raises((ValueError, TypeError)):
        peer.layer.send(payload)
    assert not peer.layer.transmitting()
    assert peer.requests == []
    peer.layer.send(b"\xaa")
    if not started:
        peer.layer.process()
    assert peer.take() == b"\x01\xaa"


@pytest.mark.parametrize("size", [-1, 1 << 32, 1.0, None, "1", True], ids=repr)
def test_bad_size_is_refused_by_send(make_peer: MakePeer, size: Any) -> None:
    peer = make_peer()
    with pytest.raises(ValueError, match="size"):
        peer.layer.send((iter(b"abc"), size))
    assert not peer.layer.transmitting()


@pytest.mark.parametrize(
    "mode",
    [isotp.AddressingMode.Normal_29bits, isotp.AddressingMode.Extended_29bits],
    ids=lambda mode: mode.name,
)
@pytest.mark.parametrize("name", ["txid", "rxid"])
def test_29_bit_identifiers_are_checked(mode: isotp.AddressingMode, name: str) -> None:
    """There: no upper bound."""
    ids = {"txid": 0x1FFFFFFF, "rxid": 0x1FFFFFFE}
    isotp.Address(mode, **ids, target_address=1, source_address=2)
    with pytest.raises(ValueError, match="20000000"):
        isotp.Address(mode, **{**ids, name: 0x20000000}, target_address=1, source_address=2)
