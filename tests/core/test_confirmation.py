"""Transmit confirmation: a frame was sent when its echo comes, not when the bus took it. The test holds the time."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

import isotp
from tests.frames import MS, SECOND, US, Bench, counted, frame

N_AS = 1000 * MS
Confirming = partial(isotp.TransportLayerLogic, tx_confirmation=True)


class EchoBench(Bench):
    """A layer on a bus that takes frames at once, and gives each of them back when the test says that it went."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(layer_class=Confirming, **kwargs)  # type: ignore[arg-type]
        self.taken: deque[isotp.CanMessage] = deque()

    def sent(self) -> list[str]:
        self.taken.extend(self.messages)
        return super().sent()

    def echo(self, count: int = 1) -> list[str]:
        """The first frames of those that the bus has are on it now; returns what was sent then."""
        for _ in range(count):
            message = self.taken.popleft()
            message.is_echo = True
            self.arrive(message)
        return self.run()

    def request(self, data: Any) -> isotp.TransportLayerLogic.SendRequest:
        request = self.layer._submit(data, None, None)
        self.run()
        return request


# --- messages ---


def test_a_single_frame_is_sent_when_its_echo_comes() -> None:
    bench = EchoBench()
    request = bench.request(b"abc")
    assert (request.success, request.sent_ns) == (None, None)
    assert bench.layer.tx_state is bench.layer.TxState.WAIT_CONFIRMATION
    assert bench.layer.transmitting()
    bench.wait(7 * MS)
    bench.echo()
    assert (request.success, request.sent_ns) == (True, bench.clock.ns)
    assert not bench.layer.transmitting()
    assert bench.layer.stats.messages_sent == 1


def test_the_next_message_waits_for_that() -> None:
    bench = EchoBench()
    bench.layer.send(b"a")
    bench.layer.send(b"b")
    assert bench.run() == ["01 61"]
    assert bench.run() == []
    assert bench.echo() == ["01 62"]


def test_a_long_message_is_sent_with_the_echo_of_its_last_frame() -> None:
    bench = EchoBench()
    request = bench.request(counted(20))
    assert bench.echo() == []
    assert len(bench.hear("30 00 00")) == 2
    bench.echo()
    assert request.success is None
    bench.wait(MS)
    bench.echo()
    assert (request.success, request.sent_ns) == (True, bench.clock.ns)


def test_without_it_a_message_is_sent_when_the_bus_took_it() -> None:
    bench = Bench()
    request = bench.layer._submit(b"abc", None, None)
    bench.run()
    assert (request.success, request.sent_ns) == (True, None)


def test_a_payload_that_is_read_as_it_goes() -> None:
    bench = EchoBench()
    request = bench.request((iter(counted(20)), 20))
    bench.echo()
    bench.hear("30 00 00")
    bench.echo(2)
    assert request.success is True


# --- timers ---


@pytest.mark.parametrize("queued_ns", [100 * US, 5 * MS, 500 * MS])
def test_stmin_runs_from_the_echo(queued_ns: int) -> None:
    bench = EchoBench()
    bench.say(counted(30))
    bench.echo()
    bench.hear("30 00 02")
    bench.wait(2 * MS)
    assert len(bench.run()) == 1
    for _ in range(2):
        bench.wait(queued_ns)
        assert bench.run() == []
        assert bench.echo() == []
        bench.wait(2 * MS - 1)
        assert bench.run() == []
        bench.wait(1)
        assert len(bench.run()) == 1


def test_strictly_stmin_goes_on_behind_a_block_from_the_echo() -> None:
    bench = EchoBench(strict=True)
    bench.say(counted(30))
    bench.echo()
    assert len(bench.hear("30 01 02")) == 1  # at once: STmin is between Consecutive Frames
    bench.wait(5 * MS)
    bench.echo()
    bench.wait(MS)
    assert bench.hear("30 01 02") == []
    bench.wait(MS - 1)
    assert bench.run() == []
    bench.wait(1)
    assert len(bench.run()) == 1


def test_strictly_a_block_that_is_answered_before_its_echo_went_at_the_latest_then() -> None:
    bench = EchoBench(strict=True)
    bench.say(counted(30))
    assert len(bench.hear("30 01 02")) == 1
    bench.wait(5 * MS)
    assert bench.hear("30 01 02") == []
    bench.wait(2 * MS - 1)
    assert bench.run() == []
    bench.wait(1)
    assert len(bench.run()) == 1


def test_n_cr_runs_out_here_too() -> None:
    bench = EchoBench(rx_consecutive_frame_timeout=100)
    bench.hear("10 0A 00*6")
    bench.echo()
    bench.wait(100 * MS)
    bench.run()
    assert bench.complaints() == [isotp.ConsecutiveFrameTimeoutError]


def test_n_bs_runs_from_the_echo() -> None:
    bench = EchoBench(rx_flowcontrol_timeout=100)
    bench.say(counted(20))
    bench.wait(500 * MS)
    assert bench.run() == []
    bench.echo()
    assert bench.layer.deadline_ns() == bench.clock.ns + 100 * MS
    bench.wait(100 * MS - 1)
    bench.run()
    assert bench.complaints() == []
    bench.wait(1)
    bench.run()
    assert bench.complaints() == [isotp.FlowControlTimeoutError]


def test_n_bs_after_a_block_runs_from_the_echo() -> None:
    bench = EchoBench(rx_flowcontrol_timeout=100)
    bench.say(counted(60))
    bench.echo()
    assert len(bench.hear("30 02 00")) == 2
    bench.echo()
    bench.wait(500 * MS)
    assert bench.run() == []
    bench.echo()
    assert bench.layer.deadline_ns() == bench.clock.ns + 100 * MS
    assert len(bench.hear("30 02 00")) == 2


def test_n_cr_runs_from_the_echo_of_the_flow_control() -> None:
    bench = EchoBench(rx_consecutive_frame_timeout=100)
    assert len(bench.hear("10 14 00 01 02 03 04 05")) == 1
    bench.wait(80 * MS)
    bench.echo()
    assert bench.layer.deadline_ns() == bench.clock.ns + 100 * MS
    bench.hear("21 06 07 08 09 0A 0B 0C")
    bench.wait(99 * MS)
    bench.hear("22 0D 0E 0F 10 11 12 13")
    assert bench.received() == [counted(20)]


def test_a_late_echo_of_a_flow_control_moves_nothing() -> None:
    bench = EchoBench(rx_consecutive_frame_timeout=100)
    bench.hear("10 14 00 01 02 03 04 05")
    bench.hear("21 06 07 08 09 0A 0B 0C")
    deadline = bench.layer.deadline_ns()
    bench.wait(50 * MS)
    bench.echo()
    assert bench.layer.deadline_ns() == deadline


# --- frames that never went ---


def test_n_as_of_a_single_frame() -> None:
    bench = EchoBench()
    request = bench.request(b"abc")
    assert bench.layer.deadline_ns() == bench.clock.ns + N_AS
    bench.wait(N_AS - 1)
    bench.run()
    assert bench.complaints() == []
    bench.wait(1)
    bench.run()
    assert bench.complaints() == [isotp.TransmitTimeoutError]
    assert request.success is False
    assert isinstance(request.failure, isotp.TransmitTimeoutError)
    bench.taken.clear()
    assert bench.layer.deadline_ns() is None
    assert bench.say(b"x") == ["01 78"]


def test_n_as_counts_from_when_the_frame_before_went() -> None:
    bench = EchoBench()
    bench.say(counted(30))
    bench.echo()
    assert len(bench.hear("30 00 00")) == 4
    for _ in range(3):
        bench.wait(N_AS - 1)
        bench.echo()
    assert bench.complaints() == []
    bench.wait(N_AS)
    bench.run()
    assert bench.complaints() == [isotp.TransmitTimeoutError]


def test_n_ar_of_a_flow_control() -> None:
    bench = EchoBench(rx_consecutive_frame_timeout=10_000)
    bench.hear("10 14 00 01 02 03 04 05")
    bench.wait(N_AS)
    bench.run()
    assert bench.complaints() == [isotp.TransmitTimeoutError]
    assert bench.layer.rx_state is bench.layer.RxState.IDLE


def test_a_flow_control_that_was_answered_needs_no_echo() -> None:
    bench = EchoBench(rx_consecutive_frame_timeout=10_000)
    bench.hear("10 14 00 01 02 03 04 05")
    bench.hear("21 06 07 08 09 0A 0B 0C")
    bench.wait(N_AS)
    bench.hear("22 0D 0E 0F 10 11 12 13")
    assert bench.complaints() == []
    assert bench.received() == [counted(20)]


# --- which frames count as echoes ---


def test_frames_of_others_with_the_same_identifier_confirm_nothing() -> None:
    bench = EchoBench()
    request = bench.request(b"abc")
    bench.hear("123#03 61 62 63", "123#03 61 62 63 CC CC CC CC")
    strange = frame("123#03 78 78 78")
    strange.is_echo = True  # what somebody else has sent by the same socket
    bench.hear(strange)
    assert request.success is None
    bench.echo()
    assert request.success is True


def test_an_echo_that_was_lost_is_made_up_for_by_the_next() -> None:
    bench = EchoBench()
    request = bench.request(counted(30))
    bench.echo()
    bench.hear("30 00 00")
    while len(bench.taken) > 1:
        bench.taken.popleft()
    bench.echo()
    assert request.success is True


def test_a_flow_control_that_is_faster_than_the_echo() -> None:
    """Who answers the First Frame has received it; the echo, late, says nothing about the frames that follow."""
    bench = EchoBench()
    bench.say(counted(30))
    assert bench.hear("30 00 02") == []
    bench.wait(2 * MS)
    assert len(bench.run()) == 1
    bench.echo()  # of the FF
    bench.wait(2 * MS)
    assert bench.run() == []
    bench.echo()
    bench.wait(2 * MS)
    assert len(bench.run()) == 1


def test_the_echo_of_a_message_that_was_stopped_says_nothing_of_the_next() -> None:
    bench = EchoBench()
    bench.say(b"abc")
    bench.layer.stop_sending()
    request = bench.request(b"abc")
    bench.echo()
    assert request.success is None
    bench.echo()
    assert request.success is True


def test_messages_that_were_stopped_do_not_keep_others_from_going() -> None:
    bench = EchoBench()
    for _ in range(300):
        assert len(bench.say(b"abc")) == 1
        bench.layer.stop_sending()
    bench.taken.clear()
    request = bench.request(b"next")
    bench.wait(MS)
    bench.echo()
    assert request.success is True
    assert bench.complaints() == []


def test_any_object_that_says_that_it_was_not_received() -> None:
    """Such as a message of python-can: it has no `is_echo`, but `is_rx`."""
    bench = EchoBench()
    request = bench.request(b"abc")
    echo = SimpleNamespace(arbitration_id=0x123, is_extended_id=False, data=b"\x03abc", is_rx=True)
    bench.arrive(echo)  # type: ignore[arg-type]
    bench.run()
    assert request.success is None
    echo.is_rx = False
    bench.arrive(echo)  # type: ignore[arg-type]
    bench.run()
    assert request.success is True


def test_without_confirmation_an_echo_is_a_frame_as_any_other() -> None:
    """Two layers on a bus that gives frames back to their sender hear each other."""
    bench = Bench()
    echo = bench.frame("03 61 62 63")
    echo.is_echo = True
    bench.hear(echo)
    assert bench.received() == [b"abc"]


# --- many frames at a time ---


def test_without_stmin_frames_go_before_the_echoes_come() -> None:
    bench = EchoBench()
    request = bench.request(counted(4095))
    bench.echo()
    frames = len(bench.hear("30 00 00"))
    assert frames == 64  # so many that no echo is lost for want of room
    while bench.taken:
        frames += len(bench.echo())
        assert len(bench.taken) <= 127
    assert frames == 585
    assert request.success is True


def test_stmin_of_a_flow_control_amid_frames_that_are_on_their_way() -> None:
    bench = EchoBench()
    bench.say(counted(4095))
    bench.echo()
    assert len(bench.hear("30 00 00")) == 64
    assert bench.hear("30 00 02") == []
    assert bench.echo(64) == []
    bench.wait(2 * MS - 1)
    assert bench.run() == []
    bench.wait(1)
    assert len(bench.run()) == 1  # whose echo is awaited, now that there is a gap to keep
    assert len(bench.hear("30 00 00")) == 64


# --- an adapter that has a queue ---


class Adapter:
    """Takes frames at once, has one on the bus after the other, and gives each back when it went."""

    def __init__(self, bench: Bench, drain_ns: int, gives_echoes: bool) -> None:
        self.bench, self.drain_ns, self.gives_echoes = bench, drain_ns, gives_echoes
        self.free_at = 0
        self.going: list[tuple[int, int, isotp.CanMessage]] = []
        self.on_the_wire: list[int] = []
        bench.layer.txfn = self.take

    def take(self, message: isotp.CanMessage) -> None:
        self.free_at = max(self.free_at, self.bench.clock.ns) + self.drain_ns
        heapq.heappush(self.going, (self.free_at, len(self.going), message))

    def next_end(self) -> int | None:
        return self.going[0][0] if self.going else None

    def go_on(self) -> None:
        """What is on the wire by now comes back."""
        while self.going and self.going[0][0] <= self.bench.clock.ns:
            when, _, message = heapq.heappop(self.going)
            if message.data[0] >> 4 == 2:
                self.on_the_wire.append(when)
            if self.gives_echoes:
                message.is_echo = True
                self.bench.arrive(message)


def gaps_on_the_wire(stmin: int, drain_ns: int, confirming: bool, size: int) -> list[int]:
    """Time between the ends of Consecutive Frames on the wire, of one message."""
    bench = Bench(layer_class=Confirming if confirming else isotp.TransportLayerLogic)  # type: ignore[arg-type]
    adapter = Adapter(bench, drain_ns, confirming)
    request = bench.layer._submit(counted(size), None, None)
    bench.layer.process()
    bench.wait(drain_ns)
    adapter.go_on()
    bench.arrive(f"30 00 {stmin:02X}")
    bench.layer.process()
    while request.success is None or adapter.going:
        ends = [end for end in (adapter.next_end(), bench.layer.deadline_ns()) if end is not None]
        bench.clock.ns = max(bench.clock.ns + 1, min(ends, default=0))
        adapter.go_on()
        bench.layer.process()
    assert bench.errors == []
    times = adapter.on_the_wire
    return [after - before for before, after in itertools.pairwise(times)]


# STmin as on the bus, and ns: 0.1 to 20 ms
STMINS = {0xF1: 100 * US, 0xF5: 500 * US, 0x01: MS, 0x02: 2 * MS, 0x05: 5 * MS, 0x14: 20 * MS}


@pytest.mark.parametrize("stmin", STMINS)
def test_no_gap_on_the_wire_is_shorter_than_stmin(stmin: int) -> None:
    """An adapter that is slower than STmin, and such as are faster."""
    stmin_ns = STMINS[stmin]
    gaps = []
    for drain_ns in (50 * US, 125 * US, stmin_ns // 2, stmin_ns, 3 * stmin_ns):
        gaps += gaps_on_the_wire(stmin, drain_ns, True, size=2400)
    assert len(gaps) > 1700
    assert min(gaps) >= stmin_ns


def test_without_confirmation_only_what_is_handed_over_keeps_stmin() -> None:
    """An adapter that is busy with other frames for a while lets those that wait go one right after the other."""
    rng = random.Random(15765)
    bench = Bench()
    adapter = Adapter(bench, 100 * US, False)
    bench.layer.send(counted(2000))
    bench.layer.process()
    bench.arrive("30 00 02")
    handed_over = []
    while bench.layer.transmitting():
        before = bench.layer.stats.frames_sent
        bench.layer.process()
        if bench.layer.stats.frames_sent > before:
            handed_over.append(bench.clock.ns)
            adapter.free_at = max(adapter.free_at, bench.clock.ns + rng.choice([0, 0, 5 * MS]))
        bench.clock.ns = max(bench.clock.ns + 1, bench.layer.deadline_ns() or 0)
    bench.wait(SECOND)
    adapter.go_on()
    gaps = [after - before for before, after in itertools.pairwise(handed_over)]
    assert min(gaps[1:]) >= 2 * MS
    wire = adapter.on_the_wire
    assert min(after - before for before, after in itertools.pairwise(wire)) < 2 * MS
