"""on_message: messages are given to a function of the user; and callbacks that are slow or raise, on a hub."""

from __future__ import annotations

import asyncio
import logging
import queue
import subprocess
import sys
import textwrap
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

import isotp
from isotp.threads.courier import Courier
from tests.frames import HERE, MS, Bench, counted, frame

can = pytest.importorskip("can")
PATIENCE = 20.0


def test_each_message_with_address_and_time() -> None:
    calls: list[Any] = []
    bench = Bench()
    bench.layer.on_message = lambda *arguments: calls.append(arguments)
    bench.hear("03 01 02 03")
    first = bench.clock.ns
    bench.wait(5 * MS)
    bench.hear("10 08 01 02 03 04 05 06")
    bench.wait(7 * MS)
    bench.hear("21 07 08")
    assert calls == [
        (bytearray(b"\1\2\3"), HERE, first),
        (bytearray(range(1, 9)), HERE, first + 12 * MS),
    ]
    assert bench.received() == []


def test_address_that_the_message_came_in_on() -> None:
    calls: list[Any] = []
    functional = isotp.Address(rxid=0x7DF, txid=0x123)
    bench = Bench()
    bench.layer.on_message = lambda payload, address, timestamp: calls.append((bytes(payload), address))
    bench.layer.receive_also([isotp.Address(rxid=0x700, txid=0x123), functional])
    bench.hear("7DF#02 3E 00", "01 AA", "700#01 BB")
    assert calls[0] == (b"\x3e\x00", functional)
    assert calls[1] == (b"\xaa", HERE)
    assert calls[2][1].get_rx_arbitration_id() == 0x700


def test_address_that_was_taken_away_while_the_message_came() -> None:
    came: list[Any] = []
    bench = Bench()
    bench.layer.receive_also([isotp.Address(rxid=0x7DF, rx_only=True)])
    bench.layer.receive_into = lambda size: lambda piece: bench.layer.receive_also([])
    bench.layer.on_message = lambda payload, address, now: came.append(address)
    bench.hear("7DF#10 08 01 02 03 04 05 06", "7DF#21 07 08")
    assert [address.get_rx_arbitration_id() for address in came] == [0x7DF]


def test_taken_back_messages_go_to_recv() -> None:
    bench = Bench()
    calls: list[Any] = []
    bench.layer.on_message = lambda *arguments: calls.append(arguments)
    bench.hear("01 AA")
    bench.layer.on_message = None
    bench.hear("01 BB")
    assert len(calls) == 1
    assert bench.received() == [b"\xbb"]


def test_given_on_construction() -> None:
    calls: list[Any] = []
    frames: deque[isotp.CanMessage] = deque([isotp.CanMessage(0x456, data=b"\x01\xaa")])
    layer = isotp.TransportLayer(
        lambda: frames.popleft() if frames else None,
        lambda message: None,
        HERE,
        on_message=lambda *arguments: calls.append(arguments),
    )
    layer.process()
    assert [bytes(payload) for payload, _, _ in calls] == [b"\xaa"]


def test_that_raises_while_polled_costs_no_other_message() -> None:
    bench = Bench()
    seen: list[bytes] = []

    def on_message(payload: bytearray, address: isotp.Address, timestamp: int) -> None:
        seen.append(bytes(payload))
        if len(seen) == 1:
            raise LookupError("first")

    bench.layer.on_message = on_message
    bench.arrive("10 08 01 02 03 04 05 06", "01 AA", "01 BB")
    with pytest.raises(LookupError, match="first"):
        bench.run()
    # The message that the single frame interrupted was reported all the same.
    assert bench.complaints() == [isotp.ReceptionInterruptedWithSingleFrameError]
    bench.run()
    assert seen == [b"\xaa", b"\xbb"]


def test_may_answer_at_once() -> None:
    bench = Bench()
    bench.layer.on_message = lambda payload, address, timestamp: bench.layer.send(payload[::-1])
    assert bench.hear("03 01 02 03") == ["03 03 02 01"]


# --- What a callback of a started layer raises ----------------------------------------------------------------

ANYTHING = [LookupError, SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError]


class Started:
    """A started layer with a reader, and a callback that raises, once."""

    def __init__(self, what: type[BaseException], callback: str) -> None:
        self.what: type[BaseException] | None = what
        self.callback = callback
        self.frames: queue.SimpleQueue[isotp.CanMessage] = queue.SimpleQueue()
        self.sent: queue.SimpleQueue[isotp.CanMessage] = queue.SimpleQueue()
        self.reports: queue.SimpleQueue[isotp.CallbackError] = queue.SimpleQueue()
        self.layer = isotp.TransportLayer(self.rxfn, self.txfn, HERE, self.on_error, read_timeout=0.01)
        self.layer.receive_into = self.receive_into
        self.layer.start()

    def maybe_raise(self, callback: str) -> None:
        what = self.what
        if callback == self.callback and what is not None:
            self.what = None
            raise what("by a callback")

    def rxfn(self, timeout: float) -> isotp.CanMessage | None:
        self.maybe_raise("rxfn")
        try:
            return self.frames.get(timeout=timeout)
        except queue.Empty:
            return None

    def txfn(self, message: isotp.CanMessage) -> None:
        self.maybe_raise("txfn")
        self.sent.put(message)

    def receive_into(self, size: int) -> None:
        self.maybe_raise("receive_into")

    def on_error(self, error: Exception) -> None:
        if isinstance(error, isotp.CallbackError):
            self.reports.put(error)
        self.maybe_raise("error_handler")


@pytest.mark.parametrize("callback", ["rxfn", "txfn", "receive_into", "error_handler"])
@pytest.mark.parametrize("what", ANYTHING)
def test_whatever_a_callback_raises_the_reader_goes_on(what: type[BaseException], callback: str) -> None:
    one = Started(what, callback)
    try:
        if callback != "rxfn":
            # A frame that must not come now, and the beginning of a message, which is to be answered.
            one.frames.put(frame("21 00"))
            one.frames.put(frame("10 14 00 01 02 03 04 05"))
        report = one.reports.get(timeout=PATIENCE)
        assert type(report.__cause__) is what
        one.frames.put(frame("01 AA"))
        assert one.layer.recv(block=True, timeout=PATIENCE) == b"\xaa"
        one.layer.send(b"\xbb")
        while one.sent.get(timeout=PATIENCE).data != b"\x01\xbb":
            pass
    finally:
        one.layer.stop()


class Fed(isotp.TransportLayer):
    """A started layer that gets its frames by feed()."""

    def _start_reading(self) -> None:
        pass

    def _stop_reading(self) -> None:
        pass


@pytest.fixture
def fed(cleanup: ExitStack) -> Fed:
    layer = Fed(lambda: None, lambda message: None, HERE, params={"rx_flowcontrol_timeout": 60_000})
    layer.start()
    cleanup.callback(layer.stop)
    return layer


def test_system_exit_of_txfn_is_no_end_of_the_thread_that_sends(fed: Fed) -> None:
    """What a callback raises is that message's own; only KeyboardInterrupt of the main thread goes to the user."""
    reports: list[Any] = []
    sent: list[bytes] = []

    def txfn(message: isotp.CanMessage) -> None:
        if message.data == b"\x01\xaa":
            sys.exit("no bus")
        sent.append(bytes(message.data))

    fed.txfn, fed.error_handler = txfn, reports.append
    fed.send(b"\xaa")
    fed.send(b"\xbb")
    assert sent == [b"\x01\xbb"]
    assert [type(report.__cause__) for report in reports] == [SystemExit]


def test_keyboard_interrupt_amid_a_report_goes_to_the_user(fed: Fed) -> None:
    """The layer is not left as if somebody were at work for ever."""

    def txfn(message: isotp.CanMessage) -> None:
        raise LookupError("no bus")

    def interrupt(error: Exception) -> None:
        raise KeyboardInterrupt

    fed.txfn, fed.error_handler = txfn, interrupt
    with pytest.raises(KeyboardInterrupt):
        fed.send(b"\xaa")
    fed._feed(frame("01 BB"))
    assert fed.recv() == b"\xbb"


def test_exception_that_can_not_be_shown_is_reported(fed: Fed) -> None:
    class Shy(Exception):
        def __repr__(self) -> str:
            raise SystemExit

    def on_message(*_: object) -> None:
        raise Shy

    reports: list[Any] = []
    fed.on_message, fed.error_handler = on_message, reports.append
    fed._feed(frame("01 AA"))
    assert [str(report) for report in reports] == [
        "a callback of the layer raised Shy, whose repr() raised SystemExit"
    ]


def test_log_that_raises_harms_no_report(fed: Fed) -> None:
    def on_message(*_: object) -> None:
        raise LookupError

    def refuse(record: logging.LogRecord) -> bool:
        raise SystemExit

    reports: list[Any] = []
    fed.logger = logging.getLogger("isotp.refuses")
    fed.logger.addFilter(refuse)
    fed.on_message, fed.error_handler = on_message, reports.append
    fed._feed(frame("01 AA"))
    assert [type(report.__cause__) for report in reports] == [LookupError]
    fed.on_message = None
    fed._feed(frame("01 BB"))
    assert fed.recv() == b"\xbb"


def test_message_goes_whatever_post_send_callback_raises(fed: Fed) -> None:
    """That exception is for the caller of send()."""

    def post_send_callback(request: Any) -> None:
        raise LookupError("by the callback")

    sent: list[bytes] = []
    fed.txfn, fed.post_send_callback = lambda message: sent.append(bytes(message.data)), post_send_callback
    with pytest.raises(LookupError, match="by the callback"):
        fed.send(counted(5))
    assert sent == [b"\x05" + counted(5)]


# --- On a hub -----------------------------------------------------------------------------------------------


@pytest.fixture
def buses(request: pytest.FixtureRequest) -> Iterator[list[Any]]:
    opened = [can.Bus(request.node.name, interface="virtual") for _ in range(2)]
    yield opened
    for bus in opened:
        bus.shutdown()


def test_slow_callback_does_not_keep_a_notifier(buses: list[Any]) -> None:
    release, entered = threading.Event(), threading.Event()

    def slow(error: Exception) -> None:
        entered.set()
        assert release.wait(PATIENCE)

    notifier = can.Notifier(buses[0], [], timeout=0.05)
    stacks = [isotp.NotifierBasedCanStack(buses[0], notifier, address=pair(k)[0]) for k in range(2)]
    stacks[0].error_handler = slow
    try:
        for stack in stacks:
            stack.start()
        for data in (b"\x21", b"\x21"):
            buses[1].send(can.Message(arbitration_id=0x200, data=data, is_extended_id=False))
        assert entered.wait(PATIENCE)
        buses[1].send(can.Message(arbitration_id=0x201, data=b"\x01\xaa", is_extended_id=False))
        assert stacks[1].recv(block=True, timeout=PATIENCE) == b"\xaa"
    finally:
        release.set()
        for stack in stacks:
            stack.stop()
        notifier.stop()


def pair(number: int) -> tuple[isotp.Address, isotp.Address]:
    here = isotp.Address(txid=0x100 + number, rxid=0x200 + number)
    return here, isotp.Address(txid=0x200 + number, rxid=0x100 + number)


@pytest.mark.parametrize("kind", ["on_message", "error_handler"])
def test_slow_callback_harms_no_other_session(buses: list[Any], kind: str) -> None:
    release, entered = threading.Event(), threading.Event()

    def slow(*arguments: Any) -> None:
        entered.set()
        assert release.wait(PATIENCE)

    with isotp.Hub(buses[0]) as hub, isotp.Hub(buses[1]) as peers:
        sessions = [hub.session(pair(k)[0]) for k in range(2)]
        others = [peers.session(pair(k)[1]) for k in range(2)]
        for session in (*sessions, *others):
            session.start()
        setattr(sessions[0], kind, slow)
        if kind == "on_message":
            others[0].send(b"one message")
        else:
            buses[1].send(can.Message(arbitration_id=0x200, data=b"\x21", is_extended_id=False))
        assert entered.wait(PATIENCE)
        # While it is stuck: a message for the same session, and both ways for the other one.
        payload = bytes(range(200))
        others[0].send(payload)
        others[1].send(payload)
        assert bytes(sessions[1].recv(block=True, timeout=PATIENCE)) == payload
        sessions[1].send(payload)
        assert bytes(others[1].recv(block=True, timeout=PATIENCE)) == payload
        release.set()


def test_callbacks_of_a_session_keep_their_order(buses: list[Any]) -> None:
    seen: list[bytes] = []
    done = threading.Event()

    def on_message(payload: bytearray, address: isotp.Address, timestamp: int) -> None:
        seen.append(bytes(payload))
        if len(seen) == 100:
            done.set()

    with ThreadPoolExecutor(3) as executor, isotp.Hub(buses[0], executor=executor) as hub:
        session = hub.session(pair(0)[0], on_message=on_message)
        session.start()
        for k in range(100):
            buses[1].send(can.Message(arbitration_id=0x200, data=[1, k], is_extended_id=False))
        assert done.wait(PATIENCE)
    assert seen == [bytes([k]) for k in range(100)]


def test_raising_callback_on_a_hub_is_reported(buses: list[Any]) -> None:
    errors: list[Exception] = []
    told = threading.Event()

    def on_message(payload: bytearray, address: isotp.Address, timestamp: int) -> None:
        if payload == b"\xaa":
            raise LookupError("no")
        told.set()

    with isotp.Hub(buses[0]) as hub:
        session = hub.session(pair(0)[0], on_message=on_message, error_handler=errors.append)
        session.start()
        for value in (0xAA, 0xBB):
            buses[1].send(can.Message(arbitration_id=0x200, data=[1, value], is_extended_id=False))
        assert told.wait(PATIENCE)
    assert [type(error) for error in errors] == [isotp.errors.CallbackError]
    assert isinstance(errors[0].__cause__, LookupError)


def test_stopped_session_hears_of_nothing_more(buses: list[Any]) -> None:
    seen: list[bytes] = []
    entered, release = threading.Event(), threading.Event()

    def on_message(payload: bytearray, address: isotp.Address, timestamp: int) -> None:
        seen.append(bytes(payload))
        entered.set()
        assert release.wait(PATIENCE)

    with ThreadPoolExecutor(1) as executor, isotp.Hub(buses[0], executor=executor) as hub:
        session = hub.session(pair(0)[0], on_message=on_message)
        other = hub.session(pair(1)[0])
        session.start()
        other.start()
        for identifier in (0x200, 0x200, 0x201):
            buses[1].send(can.Message(arbitration_id=identifier, data=b"\x01\xaa", is_extended_id=False))
        assert entered.wait(PATIENCE)
        # The hub has handled both messages of the session once it has handled that of the other one.
        assert other.recv(block=True, timeout=PATIENCE) == b"\xaa"
        session.stop()
        release.set()
    assert seen == [b"\xaa"]


def test_courier_without_an_executor_says_so_and_goes_on() -> None:
    calls: list[int] = []

    class Executor(ThreadPoolExecutor):
        refuses = True

        def submit(self, *arguments: Any, **named: Any) -> Any:
            if self.refuses:
                raise RuntimeError("no more work, please")
            return super().submit(*arguments, **named)

    with Executor(1) as executor:
        courier = Courier(pytest.fail, executor)
        with pytest.raises(RuntimeError, match="no more work"):
            courier(calls.append, 1)
        executor.refuses = False
        courier(calls.append, 2)
    assert calls == [1, 2]


@pytest.mark.parametrize("what", ANYTHING)
def test_whatever_they_raise_the_threads_go_on(what: type[BaseException]) -> None:
    """More often than there are threads, by one courier and by many."""
    reports: queue.SimpleQueue[BaseException] = queue.SimpleQueue()
    called = threading.Event()

    def clumsy() -> None:
        raise what

    for courier in [Courier(reports.put)] * 8 + [Courier(reports.put) for _ in range(8)]:
        courier(clumsy)
        assert type(reports.get(timeout=PATIENCE)) is what
    courier(called.set)
    assert called.wait(PATIENCE)


def test_keyboard_interrupt_where_the_main_thread_calls() -> None:
    """It is the user's; those who wait are called with the next one."""

    class AtOnce:
        def submit(self, work: Any) -> None:
            work()

    def interrupt() -> None:
        courier(calls.append, "waited")
        raise KeyboardInterrupt

    calls: list[str] = []
    courier = Courier(pytest.fail, AtOnce())
    with pytest.raises(KeyboardInterrupt):
        courier(interrupt)
    courier(calls.append, "next")
    assert calls == ["waited", "next"]


def test_without_another_thread_those_that_there_are_do_the_work() -> None:
    program = """
        import queue, threading
        from isotp.threads.courier import Courier

        def no_more_threads(thread):
            raise RuntimeError("can't start new thread")

        def stuck():
            entered.set()
            assert release.wait(20)

        entered, release, calls = threading.Event(), threading.Event(), queue.SimpleQueue()
        refused, first, second = (Courier(print) for _ in range(3))
        start = threading.Thread.start
        threading.Thread.start = no_more_threads
        try:
            refused(calls.put, "refused")
        except RuntimeError as error:
            print(error)
        threading.Thread.start = start
        first(stuck)
        assert entered.wait(20)
        threading.Thread.start = no_more_threads
        second(calls.put, "second")
        release.set()
        print(calls.get(timeout=20), calls.empty())
        refused(calls.put, "next")
        print(calls.get(timeout=20), calls.get(timeout=20))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        timeout=60,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    # A courier forgets nothing: what was refused goes with the next call.
    assert done.stdout.splitlines() == ["can't start new thread", "second True", "refused next"]


def test_stuck_callbacks_leave_threads_for_others_up_to_four() -> None:
    release = threading.Event()
    started = threading.Semaphore(0)
    done = threading.Semaphore(0)

    def stuck() -> None:
        started.release()
        assert release.wait(PATIENCE)
        done.release()

    couriers = [Courier(pytest.fail) for _ in range(6)]
    for courier in couriers[:4]:
        courier(stuck)
    for _ in range(4):
        assert started.acquire(timeout=PATIENCE)
    for courier in couriers[4:]:
        courier(stuck)
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("isotp callbacks") == 4
    release.set()
    for _ in couriers:
        assert done.acquire(timeout=PATIENCE)


def test_callback_that_never_returns_does_not_hold_up_the_end_of_the_program() -> None:
    program = (
        "import threading\n"
        "from isotp.threads.courier import Courier\n"
        "entered = threading.Event()\n"
        "Courier(print)(lambda: (entered.set(), threading.Event().wait()))\n"
        "assert entered.wait(20)\n"
    )
    subprocess.run([sys.executable, "-c", program], timeout=60, check=True)
