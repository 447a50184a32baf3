"""A bus without room for a frame just now: the engine holds the frame back, with explicit time (N_As, 9.8.1).

Also what else the engine has for drivers that must not wait: news of the end and the arrival of messages.
"""

from __future__ import annotations

import errno
from typing import Any

import pytest

import isotp
from isotp._core import TryAgain
from tests.frames import MS, SECOND, US, Bench, counted, frame

CTS = "30 00 00"


class Refusal(OSError):
    """What the bus says while it is full."""


class FullBench(Bench):
    """A bench whose bus has room for `room` more frames; None: for any number."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(txfn=self.take, **kwargs)
        self.room: int | None = 0
        self.ended: list[Any] = []

    def take(self, message: isotp.CanMessage) -> None:
        if self.room is not None:
            if self.room == 0:
                raise TryAgain from Refusal(errno.ENOBUFS, "full")
            self.room -= 1
        self.messages.append(message)

    def submit(self, data: bytes) -> Any:
        request = self.layer._submit(data, None, self.ended.append)
        self.layer.process()
        return request

    def retry(self) -> list[str]:
        """Time goes on to the next deadline."""
        deadline = self.layer.deadline_ns()
        assert deadline is not None
        assert deadline > self.clock.ns
        self.clock.ns = deadline
        return self.run()


EVERYTHING_STOPS = {
    "reset": lambda layer: layer.reset(),
    "stop_sending": lambda layer: layer.stop_sending(),
}


@pytest.mark.parametrize("payload", [b"\x01\x02", counted(20)], ids=["SF", "FF"])
def test_a_first_frame_waits(payload: bytes) -> None:
    bench = FullBench()
    request = bench.submit(payload)
    for _ in range(5):
        assert bench.retry() == []
    bench.room = None
    (sent,) = bench.retry()
    assert sent in ("02 01 02", "10 14 00 01 02 03 04 05")
    assert request.consumed_size == min(len(payload), 6)
    assert bench.complaints() == []


def test_nothing_is_tried_before_its_time() -> None:
    bench = FullBench()
    bench.submit(b"\x01")
    assert bench.layer.stats.retries == 1
    bench.room = None
    bench.wait(499 * US)
    assert bench.run() == []
    bench.wait(1 * US)
    assert bench.run() == ["01 01"]
    assert bench.layer.deadline_ns() is None


def test_consecutive_frames_wait_one_by_one() -> None:
    """No frame is lost, none is sent twice, their order stays."""
    bench = FullBench()
    bench.room = 1
    request = bench.submit(counted(30))
    frames = bench.sent()
    bench.arrive(CTS)
    frames += bench.run()
    while not bench.ended:
        bench.room = 1
        frames += bench.retry()
    assert frames == [
        "10 1E 00 01 02 03 04 05",
        "21 06 07 08 09 0A 0B 0C",
        "22 0D 0E 0F 10 11 12 13",
        "23 14 15 16 17 18 19 1A",
        "24 1B 1C 1D",
    ]
    assert bench.ended == [request]
    assert request.success


@pytest.mark.parametrize(("room", "retries"), [(0, 1), (None, 0)], ids=["refused", "sent"])
def test_a_pass_asks_for_frames_once(room: int | None, retries: int) -> None:
    """A rxfn that waits is not asked once more where nothing more is to be sent now."""
    bench = FullBench(rxfn=lambda timeout: timeouts.append(timeout) or bench.next_frame())
    timeouts: list[float] = []
    bench.room = 1
    bench.submit(counted(20))
    bench.arrive(CTS)
    timeouts.clear()
    bench.room = room
    bench.layer.process(rx_timeout=0.1)
    assert bench.layer.stats.retries == retries
    assert timeouts == [0.1, 0.1]  # for the flow control frame, and behind it


def test_a_generator_gives_each_byte_once() -> None:
    bench = FullBench()
    bench.room = 1
    bench.layer.send((iter(counted(10)), 10))
    assert bench.hear(CTS) == ["10 0A 00 01 02 03 04 05"]
    assert bench.retry() == []
    bench.room = None
    assert bench.retry() == ["21 06 07 08 09"]


def test_stmin_counts_from_the_frame_that_went() -> None:
    bench = FullBench()
    bench.room = 1
    bench.submit(counted(20))
    bench.arrive("30 00 0A")
    assert len(bench.run()) == 1
    bench.wait(10 * MS)
    assert bench.run() == []
    bench.wait(100 * MS)
    bench.room = None
    assert bench.run() == ["21 06 07 08 09 0A 0B 0C"]
    bench.wait(10 * MS - 1)
    assert bench.run() == []
    bench.wait(1)
    assert bench.run() == ["22 0D 0E 0F 10 11 12 13"]


def test_flow_control_waits_and_frames_are_heard_meanwhile() -> None:
    bench = FullBench()
    assert bench.hear("10 0A 00 01 02 03 04 05") == []
    assert bench.layer.pending_flow_control_tx
    bench.wait(900 * MS)
    bench.room = None
    assert bench.run() == ["30 08 00"]
    # N_Cr counts from the flow control frame that went.
    bench.wait(999 * MS)
    bench.hear("21 06 07 08 09")
    assert bench.received() == [counted(10)]
    assert bench.complaints() == []


def test_flow_control_waits_whatever_was_stopped_before() -> None:
    bench = FullBench()
    bench.room = None
    bench.hear("10 0A 00 01 02 03 04 05")
    bench.layer.stop_receiving()
    bench.room = 0
    bench.sent()
    assert bench.hear("10 0A 00 01 02 03 04 05") == []
    bench.room = None
    bench.wait(MS)
    assert bench.run() == ["30 08 00"]


def test_a_single_frame_comes_in_while_flow_control_waits() -> None:
    bench = FullBench()
    bench.hear("10 0A 00 01 02 03 04 05")
    bench.hear("01 AA")
    assert bench.received() == [b"\xaa"]
    bench.room = None
    bench.wait(SECOND // 2)
    assert bench.run() == []
    assert bench.complaints() == [isotp.ReceptionInterruptedWithSingleFrameError]


def test_flow_control_of_a_reception_that_was_stopped_meanwhile_never_goes() -> None:
    def stop_and_refuse(message: isotp.CanMessage) -> None:
        bench.layer.stop_receiving()
        bench.take(message)

    bench = FullBench()
    bench.layer.txfn = stop_and_refuse
    assert bench.hear("10 0A 00 01 02 03 04 05") == []
    bench.room = None
    assert bench.retry() == []
    assert bench.layer.deadline_ns() is None


@pytest.mark.parametrize("stop", ["stop_receiving", "reset"])
def test_overflow_of_a_reception_that_was_stopped_meanwhile_never_goes(stop: str) -> None:
    def stop_and_refuse(message: isotp.CanMessage) -> None:
        getattr(bench.layer, stop)()
        bench.take(message)

    bench = FullBench(max_frame_size=10)
    bench.layer.txfn = stop_and_refuse
    assert bench.hear("10 14 00 01 02 03 04 05") == []
    assert bench.layer.stats.retries == 1
    bench.room = None
    bench.wait(MS)
    assert bench.run() == []
    assert not bench.layer.pending_flow_control_tx


def test_flow_control_that_waits_has_the_parameters_of_its_turn() -> None:
    bench = FullBench()
    bench.hear("10 0A 00 01 02 03 04 05")
    bench.layer.params.set("stmin", 5)
    bench.room = None
    bench.wait(MS)
    assert bench.run() == ["30 08 05"]


def test_overflow_that_waits_does_not_refuse_the_message_that_begins_meanwhile() -> None:
    """It is heard first, and answered alone."""
    bench = FullBench(max_frame_size=10)
    assert bench.hear("10 14 00 01 02 03 04 05") == []
    bench.room = None
    bench.wait(MS)
    assert bench.hear("10 0A 00 01 02 03 04 05") == ["30 08 00"]


def test_flow_control_that_waits_when_the_layer_begins_to_listen_only() -> None:
    def listen_and_refuse(message: isotp.CanMessage) -> None:
        bench.layer.params.set("listen_mode", True)
        bench.layer.make_flow_control()
        bench.take(message)

    bench = FullBench()
    bench.layer.txfn = listen_and_refuse
    bench.hear("10 0A 00 01 02 03 04 05")
    bench.room = None
    bench.wait(MS)
    assert bench.run() == []
    bench.hear("21 06 07 08 09")
    assert bench.received() == [counted(10)]


@pytest.mark.parametrize("stop", EVERYTHING_STOPS.values(), ids=EVERYTHING_STOPS)
def test_no_pause_outlives_what_it_was_for(stop: Any) -> None:
    """A clock that was set back would make a long time of it."""
    bench = FullBench()
    bench.submit(b"\x01")
    bench.clock.ns = 0
    stop(bench.layer)
    assert bench.layer.deadline_ns() is None
    bench.room = None
    assert bench.say(b"\x02") == ["01 02"]
    assert bench.still_works()


def test_n_as_begins_anew_after_a_reset() -> None:
    bench = FullBench()
    bench.hear("10 0A 00 01 02 03 04 05")
    bench.wait(SECOND - MS)
    bench.layer.reset()
    assert bench.hear("10 0A 00 01 02 03 04 05") == []
    bench.wait(SECOND - MS)
    assert bench.run() == []
    assert bench.complaints() == []


def test_n_as_of_a_message_begins_with_it() -> None:
    """There was no room before, for flow control that is not to go any more."""
    bench = FullBench()
    bench.hear("10 0A 00 01 02 03 04 05")
    bench.layer.stop_receiving()
    bench.wait(999 * MS)
    bench.submit(b"\x01")
    bench.wait(999 * MS)
    assert bench.run() == []
    assert bench.complaints() == []
    bench.room = None
    assert bench.retry() == ["01 01"]


def test_flow_control_that_waits_when_the_message_beside_it_is_stopped() -> None:
    """A started layer would not be called for it."""
    bench = FullBench()
    bench.layer._set_driven(True, lambda deadline: None)
    bench.layer._feed(frame("10 0A 00 01 02 03 04 05"))
    bench.layer.send(b"\x01")
    bench.room = 1
    bench.layer.stop_sending()
    assert bench.sent() == ["30 08 00"]


def test_gives_up_after_n_as() -> None:
    """With what the bus says; the next message has the whole of N_As again."""
    bench = FullBench()
    request = bench.submit(b"\x01")
    bench.wait(SECOND - 1)
    assert bench.run() == []
    bench.wait(MS)
    assert bench.run() == []
    assert bench.complaints() == [isotp.TransmitTimeoutError]
    assert isinstance(request.failure, isotp.TransmitTimeoutError)
    assert isinstance(request.failure.__cause__, Refusal)
    assert bench.ended == [request]
    assert not bench.layer.transmitting()

    again = bench.submit(b"\x02")
    bench.wait(SECOND - 1)
    assert bench.run() == []
    bench.room = None
    bench.wait(MS)
    assert bench.run() == ["01 02"]
    assert again.success


def test_a_message_behind_one_that_was_given_up_is_tried_at_once() -> None:
    """A started layer would not be called for it."""
    bench = FullBench()
    bench.layer._set_driven(True, lambda deadline: None)
    for data in (b"\x01", b"\x02"):
        bench.layer._submit(data, None, bench.ended.append)
    bench.layer._drive()
    bench.wait(SECOND)
    bench.layer._drive()
    assert bench.complaints() == [isotp.TransmitTimeoutError]
    bench.room = None
    deadline = bench.layer.deadline_ns()
    assert deadline is not None
    bench.clock.ns = deadline
    bench.layer._drive()
    assert bench.sent() == ["01 02"]
    assert [request.success for request in bench.ended] == [False, True]


def test_flow_control_gives_up_after_n_as() -> None:
    bench = FullBench(rx_consecutive_frame_timeout=5000)
    bench.hear("10 0A 00 01 02 03 04 05")
    bench.wait(SECOND)
    assert bench.run() == []
    assert bench.complaints() == [isotp.TransmitTimeoutError]
    bench.wait(SECOND)
    assert bench.hear("10 0A 00 01 02 03 04 05") == []
    assert bench.complaints() == []  # N_As begins anew
    bench.layer.stop_receiving()
    bench.wait(MS)
    bench.room = None
    assert bench.run() == []
    assert bench.still_works()


def test_without_a_cause_the_refusal_itself_is_raised() -> None:
    def refuse(message: isotp.CanMessage) -> None:
        raise TryAgain("no room")

    bench = Bench(txfn=refuse)
    bench.say(b"\x01")
    bench.wait(SECOND)
    bench.run()
    (error,) = bench.errors
    assert isinstance(error, isotp.TransmitTimeoutError)


def test_a_message_that_is_stopped_while_it_waits_never_goes() -> None:
    bench = FullBench()
    first, second = bench.submit(b"\x01"), bench.submit(b"\x02")
    assert bench.layer._withdraw(first)
    bench.room = None
    assert bench.run() == ["01 02"]
    assert (first.success, second.success) == (False, True)
    assert bench.ended == [first, second]


def test_other_exceptions_of_txfn_are_not_waited_for() -> None:
    def fail(message: isotp.CanMessage) -> None:
        raise Refusal(errno.ENETDOWN, "down")

    bench = Bench(txfn=fail)
    bench.layer.send(b"\x01")
    with pytest.raises(Refusal):
        bench.run()
    assert not bench.layer.transmitting()


# --- Giving up one message ----------------------------------------------------------------------------------


def test_withdraw_a_message_that_waits() -> None:
    bench = FullBench()
    bench.room = None
    sending, waiting, last = (bench.submit(bytes([k]) * 9) for k in (1, 2, 3))
    assert bench.layer._withdraw(waiting)
    assert not bench.layer._withdraw(waiting)
    assert bench.ended == [waiting]
    bench.hear(CTS)
    bench.hear(CTS)
    assert bench.ended == [waiting, sending, last]
    assert [request.success for request in bench.ended] == [False, True, True]


def test_withdraw_a_message_that_is_being_sent() -> None:
    bench = FullBench()
    bench.room = None
    request = bench.submit(counted(20))
    assert bench.hear("30 01 00") == ["10 14 00 01 02 03 04 05", "21 06 07 08 09 0A 0B 0C"]
    assert bench.layer._withdraw(request)
    assert bench.hear(CTS) == []
    assert bench.complaints() == [isotp.UnexpectedFlowControlError]
    assert bench.still_works()


def test_withdraw_a_message_that_was_sent() -> None:
    bench = FullBench()
    bench.room = None
    request = bench.submit(b"\x01")
    assert not bench.layer._withdraw(request)
    assert request.success


# --- A thread that has other work ---------------------------------------------------------------------------


def test_a_long_message_leaves_the_thread_after_each_burst() -> None:
    bench = Bench()
    bench.layer._shares_thread = True
    bench.say(counted(6 + 7 * 200))
    bursts = [len(bench.hear(CTS))]
    while bench.layer.transmitting():
        assert bench.layer.deadline_ns() == bench.clock.ns
        bursts.append(len(bench.run()))
    assert bursts == [64, 64, 64, 8]


def test_many_short_messages_leave_the_thread_too() -> None:
    """A burst before reception has its turn and one after it."""
    bench = Bench()
    bench.layer._shares_thread = True
    for _ in range(200):
        bench.layer.send(b"a")
    bursts = [len(bench.run())]
    while bench.layer.tx_queue:
        assert bench.layer.deadline_ns() == bench.clock.ns
        bursts.append(len(bench.run()))
    assert bursts == [128, 72]


def test_arrival_is_told_once_the_message_can_be_taken() -> None:
    bench = Bench()
    seen: list[int] = []
    bench.layer.rx_queue.on_arrival = lambda: seen.append(len(bench.layer.rx_queue))
    bench.hear("01 AA", "01 BB")
    assert seen == [1, 2]
