"""A receiver that is not ready says Wait: FC.WAIT every N_Br, up to N_WFTmax times (ISO 15765-2:2016, 9.6.5 to 9.8)."""

from __future__ import annotations

from typing import Any

import pytest

import isotp
from tests.core.test_confirmation import EchoBench
from tests.frames import MS, SECOND, Bench, Link, counted

N_BR = 500 * MS
FF_20 = "10 14 00 01 02 03 04 05"
CF_20 = ("21 06 07 08 09 0A 0B 0C", "22 0D 0E 0F 10 11 12 13")
WAIT, CTS, OVERFLOW = "31 08 00", "30 08 00", "32 08 00"


class Taker:
    """What takes messages: ready when the test says so. It notes what it was asked."""

    def __init__(self) -> None:
        self.ready = False
        self.asked: list[tuple[int, int]] = []

    def __call__(self, length: int, received: int) -> bool:
        self.asked.append((length, received))
        return self.ready


def receiver(taker: Any, wftmax: int = 3, **params: Any) -> Bench:
    bench = Bench(wftmax=wftmax, **params)
    bench.layer.is_ready = taker
    return bench


# --- a callable decides ---


def test_a_receiver_that_is_ready_says_so() -> None:
    taker = Taker()
    taker.ready = True
    bench = receiver(taker)
    assert bench.hear(FF_20) == [CTS]
    assert taker.asked == [(20, 6)]


def test_one_that_is_not_says_wait_again_and_again_then_goes_on() -> None:
    taker = Taker()
    bench = receiver(taker)
    assert bench.hear(FF_20) == [WAIT]
    for _ in range(2):
        assert bench.layer.deadline_ns() == bench.clock.ns + N_BR
        bench.wait(N_BR - 1)
        assert bench.run() == []
        bench.wait(1)
        assert bench.run() == [WAIT]
    taker.ready = True
    bench.wait(N_BR)
    assert bench.run() == [CTS]
    bench.hear(*CF_20)
    assert bench.received() == [counted(20)]
    assert bench.complaints() == []
    assert taker.asked == [(20, 6)] * 4
    assert bench.layer.stats.flow_controls_sent == 4


def test_after_the_last_wait_frame_it_refuses() -> None:
    bench = receiver(Taker(), wftmax=2)
    assert bench.hear(FF_20) == [WAIT]
    bench.wait(N_BR)
    assert bench.run() == [WAIT]
    bench.wait(N_BR)
    assert bench.run() == [OVERFLOW]
    assert bench.complaints() == [isotp.MaximumWaitFrameReachedError]
    assert bench.layer.deadline_ns() is None
    assert bench.layer.stats.dropped == {"receptions": 1}
    assert bench.still_works()


def test_without_wftmax_it_refuses_at_once() -> None:
    bench = receiver(Taker(), wftmax=0)
    assert bench.hear(FF_20) == [OVERFLOW]
    assert bench.complaints() == [isotp.MaximumWaitFrameReachedError]


def test_each_block_is_asked_for() -> None:
    taker = Taker()
    taker.ready = True
    bench = receiver(taker, blocksize=1)
    bench.hear(FF_20)
    taker.ready = False
    assert bench.hear(CF_20[0]) == ["31 01 00"]
    bench.wait(N_BR)
    assert bench.run() == ["31 01 00"]
    taker.ready = True
    bench.wait(N_BR)
    assert bench.run() == ["30 01 00"]
    bench.hear(CF_20[1])
    assert bench.received() == [counted(20)]
    assert taker.asked == [(20, 6), (20, 13), (20, 13), (20, 13)]


def test_within_a_message_there_is_no_overflow_after_the_last_wait_frame() -> None:
    """9.6.5.2: Overflow answers a First Frame only. The sender's N_Bs ends what it sends."""
    taker = Taker()
    taker.ready = True
    bench = receiver(taker, wftmax=1, blocksize=1)
    bench.hear(FF_20)
    taker.ready = False
    assert bench.hear(CF_20[0]) == ["31 01 00"]
    bench.wait(N_BR)
    assert bench.run() == []
    assert bench.complaints() == [isotp.MaximumWaitFrameReachedError]
    assert not bench.layer.is_rx_active()


def test_the_count_begins_anew_with_each_block() -> None:
    taker = Taker()
    bench = receiver(taker, wftmax=1, blocksize=1)
    assert bench.hear(FF_20) == ["31 01 00"]
    taker.ready = True
    bench.wait(N_BR)
    assert bench.run() == ["30 01 00"]
    taker.ready = False
    assert bench.hear(CF_20[0]) == ["31 01 00"]
    assert bench.complaints() == []


def test_n_cr_runs_again_after_the_last_wait() -> None:
    taker = Taker()
    bench = receiver(taker, rx_consecutive_frame_timeout=100)
    bench.hear(FF_20)
    bench.wait(N_BR - 1)  # longer than N_Cr
    assert bench.run() == []
    taker.ready = True
    bench.wait(1)
    assert bench.run() == [CTS]
    bench.wait(100 * MS)
    bench.run()
    assert bench.complaints() == [isotp.ConsecutiveFrameTimeoutError]


def test_the_interval_is_a_parameter() -> None:
    bench = receiver(Taker(), wait_frame_interval=20)
    assert bench.hear(FF_20) == [WAIT]
    bench.wait(20 * MS)
    assert bench.run() == [WAIT]


def test_who_is_ready_need_not_wait_for_the_interval() -> None:
    taker = Taker()
    bench = receiver(taker)
    bench.hear(FF_20)
    taker.ready = True
    bench.layer.resume_reception()
    assert bench.run() == [CTS]


def test_to_ask_again_early_counts_as_a_wait_frame() -> None:
    bench = receiver(Taker(), wftmax=1)
    assert bench.hear(FF_20) == [WAIT]
    bench.layer.resume_reception()
    assert bench.run() == [OVERFLOW]


def test_there_may_be_nothing_to_resume() -> None:
    bench = receiver(Taker())
    bench.layer.resume_reception()
    assert bench.run() == []
    bench.hear("02 01 02")
    bench.layer.resume_reception()
    assert bench.run() == []
    assert bench.received() == [b"\x01\x02"]


def test_frames_that_come_all_the_same_are_taken() -> None:
    bench = receiver(Taker())
    bench.hear(FF_20)
    bench.hear(*CF_20)
    assert bench.received() == [counted(20)]
    assert bench.layer.deadline_ns() is None


@pytest.mark.parametrize("end", ["02 AA BB", FF_20])
def test_another_message_ends_the_one_that_waits(end: str) -> None:
    bench = receiver(Taker())
    bench.hear(FF_20)
    bench.hear(end)
    assert len(bench.complaints()) == 1
    assert bench.layer.is_rx_active() is (end == FF_20)


def test_stop_receiving_ends_the_wait() -> None:
    bench = receiver(Taker())
    bench.hear(FF_20)
    bench.layer.stop_receiving()
    bench.wait(SECOND)
    assert bench.run() == []
    assert bench.layer.deadline_ns() is None


def test_a_layer_that_only_listens_from_now_on_says_nothing() -> None:
    bench = receiver(Taker())
    bench.hear(FF_20)
    bench.layer.params.set("listen_mode", True)
    bench.wait(N_BR)
    assert bench.run() == []
    bench.hear(*CF_20)
    assert bench.received() == [counted(20)]


def test_a_callable_that_raises_refuses_the_message() -> None:
    def raises(length: int, received: int) -> bool:
        raise KeyError("flash")

    bench = receiver(raises)
    bench.arrive(FF_20)
    with pytest.raises(KeyError, match="flash"):
        bench.run()
    assert bench.run() == [OVERFLOW]
    assert not bench.layer.is_rx_active()


def test_a_callable_may_stop_the_reception() -> None:
    def stops(length: int, received: int) -> bool:
        bench.layer.stop_receiving()
        return False

    bench = receiver(stops)
    assert bench.hear(FF_20) == []
    assert bench.complaints() == []
    assert not bench.layer.is_rx_active()


# --- the queue decides ---


def full_queue(wftmax: int) -> Bench:
    """A bench whose queue of received messages has reached its limit."""
    bench = Bench(wftmax=wftmax, rx_queue_limit=1)
    bench.hear("01 61")
    return bench


def test_a_full_queue_lets_the_sender_wait() -> None:
    bench = full_queue(wftmax=2)
    assert bench.hear(FF_20) == [WAIT]
    assert bench.complaints() == []
    bench.wait(N_BR)
    assert bench.run() == [WAIT]
    assert bench.layer.recv() == b"a"
    assert bench.run() == [CTS]  # at once
    bench.hear(*CF_20)
    assert bench.received() == [counted(20)]


def test_to_take_other_messages_is_no_reason_to_ask() -> None:
    bench = receiver(Taker(), wftmax=1)
    bench.hear("01 61", FF_20)
    assert bench.received() == [b"a"]
    assert bench.run() == []


def test_a_queue_that_stays_full_refuses_in_the_end() -> None:
    bench = full_queue(wftmax=1)
    assert bench.hear(FF_20) == [WAIT]
    bench.wait(N_BR)
    assert bench.run() == [OVERFLOW]
    assert bench.complaints() == [isotp.ReceptionQueueFullError]
    assert "after 1 wait frame" in str(bench.layer.last_error)


def test_without_wftmax_a_full_queue_refuses_at_once() -> None:
    bench = full_queue(wftmax=0)
    assert bench.hear(FF_20) == [OVERFLOW]
    assert bench.complaints() == [isotp.ReceptionQueueFullError]


# --- with the other half ---


def test_two_layers() -> None:
    taker = Taker()
    link = Link(params_here={"wftmax": 3}, params_there={"wftmax": 3, "wait_frame_interval": 400})
    link.there.layer.is_ready = taker
    link.here.layer.send(counted(100))
    for _ in range(3):
        link.here.layer.process()
        link.there.layer.process()
        link.wait(400 * MS)
    taker.ready = True
    link.run()
    assert link.there.received() == [counted(100)]
    assert link.here.complaints() == link.there.complaints() == []
    assert link.here.layer.stats.waits_received == 3


def test_with_confirmation_the_interval_runs_from_the_echo() -> None:
    bench = EchoBench(wftmax=3)
    bench.layer.is_ready = Taker()
    assert bench.hear(FF_20) == [WAIT]
    bench.wait(300 * MS)
    bench.echo()
    assert bench.layer.deadline_ns() == bench.clock.ns + N_BR
    bench.wait(N_BR)
    assert bench.run() == [WAIT]
