"""HeldClock: time passes when the test says so, and what is due happens at its time."""

from __future__ import annotations

import threading

import pytest

from isotp.testing import HeldClock, Standstill
from tests.frames import MS


def test_time_stands_still() -> None:
    clock = HeldClock()
    assert clock() == clock()
    assert clock.ms == 0


def test_what_is_due_happens_at_its_time_in_the_order_of_time() -> None:
    clock = HeldClock()
    happened = []
    for ms in (3, 1, 2):
        clock.call_at(clock() + ms * MS, lambda ms=ms: happened.append((ms, clock.ms)))
    clock.advance(2.5)
    assert happened == [(1, 1), (2, 2)]
    assert clock.ms == 2.5
    clock.advance(0.5)
    assert happened[-1] == (3, 3)


def test_what_is_due_may_plan_more() -> None:
    clock = HeldClock()
    ticks = []

    def tick() -> None:
        ticks.append(clock.ms)
        clock.call_at(clock() + MS, tick)

    tick()
    clock.advance(3)
    assert ticks == [0, 1, 2, 3]


def test_what_was_due_before_happens_now() -> None:
    clock = HeldClock()
    clock.advance(5)
    seen = []
    clock.call_at(clock() - MS, lambda: seen.append(clock.ms))
    clock.advance(0)
    assert seen == [5]


def test_sleep_and_monotonic_take_the_place_of_those_of_time() -> None:
    clock = HeldClock()
    before = clock.monotonic()
    clock.sleep(1.5)
    assert clock.monotonic() - before == 1.5


def test_waiting_ends_when_it_is_over() -> None:
    clock = HeldClock()
    came = []
    clock.call_at(clock() + 7 * MS, lambda: came.append(True))
    assert clock.wait_for(lambda: bool(came), 1.0)
    assert clock.ms == 7


def test_waiting_takes_its_time_when_nothing_comes() -> None:
    clock = HeldClock()
    assert not clock.wait_for(lambda: False, 0.25)
    assert clock.ms == 250


def test_waiting_for_ever_is_told() -> None:
    clock = HeldClock()
    clock.call_at(clock() + MS, lambda: None)
    with pytest.raises(Standstill, match="waits for ever"):
        clock.wait_for(lambda: False, None)
    assert clock.ms == 1


def test_time_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="not back"):
        HeldClock().advance(-1)


def test_the_thread_that_made_it_holds_it() -> None:
    clock = HeldClock()
    seen = []
    thread = threading.Thread(target=lambda: seen.append(clock.is_held_here()))
    thread.start()
    thread.join()
    assert (clock.is_held_here(), seen) == (True, [False])
