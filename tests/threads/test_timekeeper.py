"""isotp.threads.timekeeper: actions at their time and in order, also after a fork; and the layers that it wakes."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import textwrap
import threading
from typing import Any

import pytest

import isotp
from isotp._core import monotonic_ns
from isotp.threads import timekeeper

# No time-out is part of what is tested here: this one only ends a test that has failed.
PATIENCE = 10.0
MS = 1_000_000  # ns

ADDRESS = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=0x456, rxid=0x123)


def timekeepers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "isotp timekeeper"]


def test_no_sooner_than_asked() -> None:
    done: queue.Queue[int] = queue.Queue()
    for delay in (0, 1, 5, 20):
        when = monotonic_ns() + delay * MS
        timekeeper.call_at(when, lambda: done.put(monotonic_ns()))
        assert done.get(timeout=PATIENCE) >= when


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)], ids=str)
def test_earlier_ones_overtake(order: tuple[int, ...]) -> None:
    done: queue.Queue[int] = queue.Queue()
    start = monotonic_ns() + 20 * MS
    for k in order:
        timekeeper.call_at(start + k * 10 * MS, lambda k=k: done.put(k))
    assert [done.get(timeout=PATIENCE) for _ in order] == [0, 1, 2]


def test_those_of_the_same_time_keep_their_order() -> None:
    done: queue.Queue[int] = queue.Queue()
    when = monotonic_ns() + 20 * MS
    for k in range(50):
        timekeeper.call_at(when, lambda k=k: done.put(k))
    assert [done.get(timeout=PATIENCE) for _ in range(50)] == list(range(50))


def test_time_that_has_passed() -> None:
    done: queue.Queue[str] = queue.Queue()
    timekeeper.call_at(monotonic_ns() + 3_600_000 * MS, lambda: done.put("in an hour"))
    timekeeper.call_at(0, lambda: done.put("long ago"))
    timekeeper.call_at(monotonic_ns() - 1, lambda: done.put("just now"))
    assert done.get(timeout=PATIENCE) == "long ago"
    assert done.get(timeout=PATIENCE) == "just now"
    assert done.empty()


def test_far_future_keeps_nobody_waiting() -> None:
    """The longest time that there is: beyond what a lock of some systems can wait for."""
    done = threading.Event()
    timekeeper.call_at((1 << 63) - 1, lambda: None)
    timekeeper.call_at(monotonic_ns() + MS, done.set)
    assert done.wait(PATIENCE)


def test_only_who_asks_for_it_keeps_the_processor_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread sleeps to shortly before; the rest is up to the sleeper, which is told the busy share."""
    done = threading.Event()
    waits: list[tuple[int, int]] = []

    class FakeSleeper:
        def wait(self, delay_ns: int, busy_ns: int) -> None:
            waits.append((delay_ns, busy_ns))

    monkeypatch.setattr(timekeeper._timekeeper, "_sleeper", FakeSleeper())
    when = monotonic_ns() + 5 * MS
    timekeeper.call_at(when, lambda: None, 7)
    timekeeper.call_at(when, done.set)
    assert done.wait(PATIENCE)
    assert [busy for _, busy in waits] == [7, 0]
    assert all(delay <= timekeeper._ASLEEP_NS for delay, _ in waits)


def test_action_that_asks_for_another() -> None:
    done: queue.Queue[int] = queue.Queue()

    def step(left: int) -> None:
        done.put(left)
        if left:
            timekeeper.call_at(monotonic_ns() + MS, lambda: step(left - 1))

    timekeeper.call_at(monotonic_ns(), lambda: step(3))
    assert [done.get(timeout=PATIENCE) for _ in range(4)] == [3, 2, 1, 0]


@pytest.mark.parametrize("what", [LookupError, SystemExit, KeyboardInterrupt])
def test_action_that_raises_keeps_no_other_waiting(
    what: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    threads: queue.Queue[threading.Thread] = queue.Queue()

    def clumsy() -> None:
        threads.put(threading.current_thread())
        raise what

    when = monotonic_ns() + 5 * MS
    timekeeper.call_at(when, clumsy)
    timekeeper.call_at(when, lambda: threads.put(threading.current_thread()))
    assert threads.get(timeout=PATIENCE) is threads.get(timeout=PATIENCE)
    assert what.__name__ in caplog.text


def test_one_daemon_thread_for_all() -> None:
    done: queue.Queue[threading.Thread] = queue.Queue()

    def ask() -> None:
        timekeeper.call_at(monotonic_ns(), lambda: done.put(threading.current_thread()))

    askers = [threading.Thread(target=ask) for _ in range(8)]
    for asker in askers:
        asker.start()
    threads = {done.get(timeout=PATIENCE) for _ in askers}
    for asker in askers:
        asker.join()
    assert threads == set(timekeepers())
    (thread,) = threads
    assert thread.daemon


def run(program: str, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


def test_there_is_no_thread_before_the_first_deadline() -> None:
    program = """
        import threading, isotp
        from isotp.threads import timekeeper
        from isotp._core import monotonic_ns
        print(threading.active_count())
        timekeeper.call_at(monotonic_ns() + 10**12, print)
        print(threading.active_count())
    """
    assert run(program, "-W", "error").split() == ["1", "2"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_after_a_fork() -> None:
    """The child has neither thread nor entries, but gets a thread of its own; the parent's goes on."""
    program = """
        import logging, os, threading, isotp
        from isotp.threads import timekeeper
        from isotp._core import monotonic_ns

        logging.getLogger("isotp").setLevel(logging.ERROR)  # time-outs are warnings

        def works():
            done = threading.Event()
            timekeeper.call_at(monotonic_ns() + 1_000_000, done.set)
            return done.wait(8)

        def errors_of_a_layer():
            errors, arrived = [], threading.Event()
            class Fed(isotp.TransportLayer):
                def _start_reading(self): pass
                def _stop_reading(self): pass
            layer = Fed(
                lambda: None, lambda message: None, isotp.Address(rxid=1, txid=2),
                lambda error: (errors.append(error), arrived.set()), {"rx_flowcontrol_timeout": 20},
            )
            layer.start()
            layer.send(bytes(20))
            arrived.wait(8)
            layer.stop()
            return [type(error).__name__ for error in errors]

        in_parent_only = []
        assert works()
        timekeeper.call_at(monotonic_ns() + 100_000_000, lambda: in_parent_only.append(os.getpid()))
        child = os.fork()
        if child == 0:
            fresh = [thread.name for thread in threading.enumerate()] == ["MainThread"]
            ok = fresh and works() and errors_of_a_layer() == ["FlowControlTimeoutError"]
            threading.Event().wait(0.15)
            os._exit(0 if ok and not in_parent_only else 1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(status, works(), in_parent_only == [os.getpid()], errors_of_a_layer())
    """
    # Python itself warns of forks while there are threads, since 3.12.
    assert run(program, "-W", "ignore::DeprecationWarning") == "0 True True ['FlowControlTimeoutError']\n"


class WithoutReader(isotp.TransportLayer):
    """A started layer that gets its frames by feed(), and nothing but the timekeeper to wake it."""

    def _start_reading(self) -> None:
        pass

    def _stop_reading(self) -> None:
        pass


def test_wakes_do_not_pile_up() -> None:
    """A long message with STmin leaves a deadline (N_Bs) behind with each block: they must come to an end."""
    sent: queue.Queue[bytes] = queue.Queue()
    wakes = 0

    class Counting(WithoutReader):
        def _wake(self, *args: Any) -> None:
            nonlocal wakes
            wakes += 1
            super()._wake(*args)

    layer = Counting(
        lambda: None,
        lambda message: sent.put(bytes(message.data)),
        ADDRESS,
        params={"rx_flowcontrol_timeout": 250},
    )
    blocks = 600  # for longer than that time
    layer.start()
    try:
        layer.send(bytes(2 + blocks * 2 * 7))  # 2 in the First Frame, by the escape form
        assert sent.get(timeout=PATIENCE)[0] == 0x10
        for _ in range(blocks):
            layer._feed(isotp.CanMessage(0x123, 0, b"\x30\x02\xf5"))  # BS 2, STmin 0.5 ms
            assert [sent.get(timeout=PATIENCE)[0] >> 4 for _ in range(2)] == [2, 2]
    finally:
        layer.stop()
    # Two for the frames of a block, one for its N_Bs; and some to spare.
    assert blocks <= wakes <= 3.5 * blocks


def test_deadline_of_a_stopped_layer() -> None:
    """It comes, and nothing happens."""
    errors: list[Exception] = []
    over = threading.Event()
    layer = WithoutReader(
        lambda: None, lambda message: None, ADDRESS, errors.append, {"rx_flowcontrol_timeout": 20}
    )
    layer.start()
    layer.send(bytes(20))
    layer.stop()
    layer.params.rx_flowcontrol_timeout = 60_000
    layer.start()
    layer.send(bytes(20))
    timekeeper.call_at(monotonic_ns() + 40 * MS, over.set)
    assert over.wait(PATIENCE)
    assert errors == []
    assert layer.transmitting()
    layer.stop()
