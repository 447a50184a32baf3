"""Functions of the user that raise: the exception arrives where it is said to, and no frame and no message is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import isotp
from isotp import errors
from tests.frames import MS, SECOND, Bench, counted, frame

CTS = "30 00 00"
FF_20 = "10 14 00 01 02 03 04 05"
CFS_20 = ("21 06 07 08 09 0A 0B 0C", "22 0D 0E 0F 10 11 12 13")


class Broken(Exception):
    """What a function of the user raises."""


class Fragile(Bench):
    """A bench whose error handler raises the exceptions of `raises`, one with each error."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(error_handler=self.complain, rxfn=self.wait_for_frame, **kwargs)
        self.raises: list[BaseException] = []
        self.pauses: list[int] = []

    def complain(self, error: Exception) -> None:
        self.errors.append(error)
        if self.raises:
            raise self.raises.pop(0)

    def wait_for_frame(self, timeout: float = 0.0) -> Any:
        """Each frame comes after the next of the pauses."""
        self.wait(self.pauses.pop(0) if self.pauses else 0)
        return self.next_frame()

    def start(self) -> None:
        self.layer._set_driven(True, lambda deadline: None)


def broken_clock(bench: Bench, good: int) -> Callable[[], int]:
    """A clock that raises once, after so many good answers."""
    left = [good]

    def clock() -> int:
        left[0] -= 1
        if left[0] == -1:
            raise Broken("clock")
        return bench.clock.ns

    return clock


# --- A polled layer -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [Broken("handler"), KeyboardInterrupt()], ids=["exception", "interrupt"])
def test_an_error_handler_that_raises_when_a_frame_comes_late(broken: BaseException) -> None:
    """N_Cr is over when the read ends: the handler is told, and the frame that was read is heard with the next pass."""
    bench = Fragile()
    bench.hear(FF_20)
    bench.pauses, bench.raises = [2 * SECOND], [broken]
    bench.arrive("05 01 02 03 04 05", "01 AA")
    with pytest.raises(type(broken)):
        bench.layer.process(0.1)
    assert bench.received() == []
    bench.layer.process(0.1)
    assert bench.received() == [b"\1\2\3\4\5", b"\xaa"]
    assert bench.complaints() == [errors.ConsecutiveFrameTimeoutError]
    assert bench.layer.stats.frames_received == 3


def test_an_error_handler_that_raises_when_flow_control_is_late() -> None:
    bench = Fragile()
    bench.say(counted(20))
    bench.pauses, bench.raises = [2 * SECOND], [Broken()]
    bench.arrive("01 AA")
    with pytest.raises(Broken):
        bench.layer.process(0.1)
    bench.layer.process()
    assert bench.received() == [b"\xaa"]
    assert bench.complaints() == [errors.FlowControlTimeoutError]


def test_rxfn_without_a_parameter_may_wait_too() -> None:
    bench = Fragile()
    bench.layer.rxfn = lambda: bench.wait_for_frame()
    bench.hear(FF_20)
    bench.pauses, bench.raises = [2 * SECOND], [Broken()]
    bench.arrive("01 AA")
    with pytest.raises(Broken):
        bench.run()
    bench.run()
    assert bench.received() == [b"\xaa"]


def test_one_frame_after_the_other_however_many_errors_raise() -> None:
    """Each comes too late for the First Frame before it."""
    bench = Fragile(listen_mode=True)
    bench.arrive(FF_20, FF_20, FF_20, "01 AA")
    bench.pauses = [0] + [2 * SECOND] * 3
    bench.raises = [Broken() for _ in range(3)]
    for _ in range(3):
        with pytest.raises(Broken):
            bench.layer.process(0.1)
    bench.layer.process(0.1)
    assert bench.received() == [b"\xaa"]
    assert bench.complaints() == [errors.ConsecutiveFrameTimeoutError] * 3


@pytest.mark.parametrize("others", [0, 1, 3, 7, 8, 9, 17])
def test_the_frame_that_waits_is_heard_before_those_that_came_later(others: int) -> None:
    """They were given by process_rx() while the layer was at work."""
    bench = Fragile()

    def rxfn() -> Any:
        message = bench.next_frame()
        if message is not None and message.data == b"\x01\xff":
            for number in range(others):
                bench.layer.process_rx(frame(f"01 {number:02X}"))
        return message

    bench.layer.rxfn = rxfn
    # So that what waits does not begin in the first place of its queue
    bench.hear("01 EE", "01 EE")
    bench.received()
    bench.layer.clock = broken_clock(bench, 0)
    bench.arrive("01 FF")
    with pytest.raises(Broken, match="clock"):
        bench.layer.process()
    bench.run()
    assert bench.received() == [b"\xff", *(bytes([number]) for number in range(others))]


def test_reset_forgets_the_frame_that_waits() -> None:
    bench = Fragile()
    bench.hear(FF_20)
    bench.pauses, bench.raises = [2 * SECOND], [Broken()]
    bench.arrive("01 AA")
    with pytest.raises(Broken):
        bench.layer.process(0.1)
    bench.layer.reset()
    bench.layer.process(0.1)
    assert bench.received() == []
    assert bench.still_works()


@pytest.mark.parametrize("rx_timeout", [0.0, 0.1])
def test_a_clock_that_raises_after_a_read(rx_timeout: float) -> None:
    bench = Fragile()
    bench.arrive("01 AA", "01 BB")
    bench.layer.clock = broken_clock(bench, 0)  # an idle layer reads it for the frame
    with pytest.raises(Broken, match="clock"):
        bench.layer.process(rx_timeout)
    bench.layer.process(rx_timeout)
    assert bench.received() == [b"\xaa", b"\xbb"]


def test_both_errors_of_a_frame_are_told() -> None:
    """What it interrupted, and what is wrong with it."""
    bench = Fragile()
    bench.hear(FF_20)
    bench.raises = [Broken("first"), Broken("second")]
    bench.arrive("10 14 00 01 02 03 04 05 06 07")  # RX_DL 10
    with pytest.raises(Broken, match="second") as told:
        bench.layer.process()
    assert str(told.value.__context__) == "first"
    assert bench.complaints() == [
        errors.ReceptionInterruptedWithFirstFrameError,
        errors.InvalidCanFdFirstFrameRXDL,
    ]


@pytest.mark.parametrize("size", [3, 20])
def test_a_clock_that_raises_after_a_frame_went(size: int) -> None:
    """The frame is on the bus: it does not go again, and its message ends as it would have."""
    bench = Bench(rate_limit_enable=True)  # each frame needs the time
    request = bench.layer._submit(counted(size), None, None)
    # Asked once for the pass, then after the frame.
    bench.layer.clock = broken_clock(bench, 1)
    with pytest.raises(Broken, match="clock"):
        bench.layer.process()
    assert len(bench.sent()) == 1
    assert bench.run() == []
    if size == 3:
        assert request.success
    else:
        assert bench.hear(CTS) == list(CFS_20)
    assert request.success
    assert request.consumed_size == size


# --- A started layer ----------------------------------------------------------------------------------------


def test_started_an_error_handler_that_raises_costs_no_frame() -> None:
    bench = Fragile()
    bench.start()
    bench.layer._feed(frame(FF_20))
    bench.wait(2 * SECOND)
    bench.raises = [Broken(), Broken()]  # for N_Cr, and for the report of it
    bench.layer._feed(frame("01 AA"))
    assert bench.received() == [b"\xaa"]
    assert bench.complaints() == [errors.ConsecutiveFrameTimeoutError, errors.CallbackError]


def test_started_and_interrupted_in_the_error_handler() -> None:
    """Such as KeyboardInterrupt comes out of what drove the layer; the frame waits for whoever drives it next."""
    bench = Fragile()
    woken: list[int] = []
    bench.layer._set_driven(True, woken.append)
    bench.layer._feed(frame(FF_20))
    bench.wait(2 * SECOND)
    woken.clear()
    bench.raises = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        bench.layer._feed(frame("01 AA"))
    assert len(woken) == 1
    bench.layer._drive()
    assert bench.received() == [b"\xaa"]


def test_started_and_ended_by_the_report_of_an_exception() -> None:
    """Ctrl-C while the error handler is told of a callback: others drive the layer on."""
    bench = Fragile()
    bench.start()
    bench.layer.on_message = lambda payload, address, now: 1 / 0
    bench.raises = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        bench.layer._feed(frame("01 AA"))
    bench.layer.on_message = None
    bench.layer._feed(frame("01 BB"))
    assert bench.received() == [b"\xbb"]
    bench.layer.send(b"a")
    assert bench.sent() == ["01 61"]


def test_started_with_a_clock_that_always_raises() -> None:
    """Nothing can be done; the frames wait until it is mended, and nobody turns in circles."""

    def clock() -> int:
        raise Broken("clock")

    told: list[Exception] = []
    bench = Bench(error_handler=told.append)
    bench.layer._set_driven(True, lambda deadline: None)
    bench.layer._feed(frame(FF_20))  # now a timer runs, and each pass needs the time
    bench.sent()
    bench.layer.clock = clock
    for text in CFS_20:
        bench.layer._feed(frame(text))
    assert [type(error) for error in told] == [errors.CallbackError] * 2
    bench.layer.clock = bench.clock
    bench.layer._drive()
    assert bench.received() == [counted(20)]


def test_post_send_callback_that_raises() -> None:
    """send() raises, but the message is in the queue: a started layer sends it at once, as ever."""

    def callback(request: Any) -> None:
        raise Broken("callback")

    bench = Bench()
    bench.layer._set_driven(True, lambda deadline: None)
    bench.layer.post_send_callback = callback
    with pytest.raises(Broken, match="callback"):
        bench.layer.send(b"a")
    assert bench.sent() == ["01 61"]


def test_process_rx_on_a_layer_that_is_at_work() -> None:
    """From a callback, or another thread: the frame waits for whoever runs the layer."""
    bench = Bench()
    given = ["21 06 07 08 09 0A 0B 0C", "22 0D 0E 0F 10 11 12 13"]

    def txfn(message: isotp.CanMessage) -> None:
        bench.messages.append(message)
        while given:
            bench.layer.process_rx(frame(given.pop(0)))

    bench.layer.txfn = txfn
    bench.layer._set_driven(True, lambda deadline: None)
    bench.layer._feed(frame(FF_20))
    assert bench.sent() == ["30 08 00"]
    assert bench.received() == [counted(20)]
    bench.wait(MS)
    bench.layer.process_rx(frame("01 AA"))
    assert bench.received() == [b"\xaa"]
