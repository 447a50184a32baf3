"""STmin on the thread of a started layer, in explicit time: no gap too short, and none longer than it has to be.

Nothing waits here: the reader's steps are called one by one, and whatever would wait moves the clock on.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

import isotp
from isotp import started
from isotp._core import Sleeper, monotonic_ns

US, MS = 1_000, 1_000_000  # ns

ADDRESS = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=0x456, rxid=0x123)
FRAMES = 12


class Clock:
    def __init__(self) -> None:
        self.now = 5_000 * MS

    def __call__(self) -> int:
        return self.now

    def pass_ns(self, duration: float) -> None:
        assert duration >= 0
        self.now += round(duration)


class FakeSleeper:
    """Waits as long as asked, and notes what it was asked for. Its sleep is late by LATE, and it knows that."""

    LATE = 50 * US

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.waits: list[tuple[int, int]] = []
        self.spins: list[int] = []

    def doze(self, delay_ns: int, busy_ns: int) -> None:
        self.waits.append((delay_ns, busy_ns))
        self.clock.pass_ns(max(0, delay_ns - min(busy_ns, self.LATE)))

    def spin(self, delay_ns: int) -> None:
        self.spins.append(delay_ns)
        self.clock.pass_ns(delay_ns)

    def wait(self, delay_ns: int, busy_ns: int) -> None:
        self.waits.append((delay_ns, busy_ns))
        self.clock.pass_ns(delay_ns)


class StopEvent(threading.Event):
    """Of a layer whose thread is this test's; its wait() moves the clock on."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.clock.pass_ns(timeout * 1e9)
        return False


class Sender:
    """A started layer in the midst of a message, whose reader is driven by hand.

    :param send_ns: what a call of txfn takes.
    :param read: moves the clock on as rxfn does that finds nothing within its time-out (s).
    """

    def __init__(
        self, stmin: int, send_ns: int, read: Callable[[Clock, float], object], **params: Any
    ) -> None:
        self.clock = Clock()
        self.bus: deque[isotp.CanMessage] = deque()
        self.arrivals: list[tuple[int, bytes]] = []
        self.began: list[int] = []
        self.ended: list[int] = []
        self.asked: list[float] = []
        self.layer = isotp.TransportLayer(self.rxfn, self.txfn, ADDRESS, params=params)
        self.layer.clock = self.clock
        self.sleeper = FakeSleeper(self.clock)
        self.layer._sleeper = self.sleeper  # type: ignore[assignment]
        self.send_ns, self.read = send_ns, read
        self.stop = StopEvent(self.clock)
        self.layer._set_driven(True, lambda deadline: None)
        self.layer._set_reader()
        self.layer.send(bytes(6 + 7 * FRAMES))
        self.began.clear()
        self.ended.clear()
        self.arrive(0, bytes([0x30, 0, stmin]))

    def arrive(self, delay_ns: int, data: bytes) -> None:
        self.arrivals.append((self.clock.now + delay_ns, data))

    def rxfn(self, timeout: float) -> isotp.CanMessage | None:
        self.asked.append(timeout)
        if self.arrivals and self.arrivals[0][0] <= self.clock.now + timeout * 1e9:
            when, data = self.arrivals.pop(0)
            self.clock.now = max(self.clock.now, when)
            return isotp.CanMessage(0x123, 0, data)
        self.read(self.clock, timeout)
        return None

    def txfn(self, message: isotp.CanMessage) -> None:
        self.began.append(self.clock.now)
        self.clock.pass_ns(self.send_ns)
        self.ended.append(self.clock.now)

    def step(self) -> None:
        self.layer._read_once(self.stop)

    def send_all(self) -> None:
        for _ in range(2000):
            if not self.layer.transmitting():
                return
            self.step()
        raise AssertionError(f"only {len(self.began)} frames in 2000 steps")

    def gaps(self) -> list[int]:
        """From the end of one call of txfn to the beginning of the next."""
        return [later - earlier for earlier, later in zip(self.ended, self.began[1:], strict=False)]


def in_time(clock: Clock, timeout: float) -> None:
    clock.pass_ns(timeout * 1e9)


def at_once(clock: Clock, timeout: float) -> None:
    pass


def early(clock: Clock, timeout: float) -> None:
    clock.pass_ns(timeout * 0.7e9)


def late(lateness_ns: int) -> Callable[[Clock, float], None]:
    def read(clock: Clock, timeout: float) -> None:
        clock.pass_ns(timeout * 1e9 + (lateness_ns if timeout > 0 else 0))

    return read


STMINS = [(0xF1, 100 * US), (0xF5, 500 * US), (1, 1 * MS), (5, 5 * MS), (127, 127 * MS)]


@pytest.mark.parametrize(("stmin", "gap"), STMINS)
@pytest.mark.parametrize("send_ns", [0, 40 * US, 3 * MS])
@pytest.mark.parametrize("read", [in_time, at_once, early, late(100 * US)], ids=lambda read: read.__name__)
def test_every_gap_is_exactly_stmin(
    stmin: int, gap: int, send_ns: int, read: Callable[[Clock, float], object]
) -> None:
    """From the end of one txfn to the beginning of the next, whatever rxfn does with its time-out."""
    sender = Sender(stmin, send_ns, read)
    sender.send_all()
    assert sender.gaps() == [gap] * (FRAMES - 1)


@pytest.mark.parametrize(("stmin", "gap"), STMINS)
@pytest.mark.parametrize("lateness", [2 * MS, 15 * MS])
def test_a_reader_learns_how_late_rxfn_is(stmin: int, gap: int, lateness: int) -> None:
    """Coarse timers make a gap too long once; then the layer waits for the rest of STmin itself."""
    sender = Sender(stmin, 0, late(lateness))
    sender.send_all()
    first, *others = sender.gaps()
    assert gap <= first <= gap + lateness
    assert others == [gap] * (FRAMES - 2)


def test_most_of_a_long_gap_is_waited_for_frames() -> None:
    sender = Sender(5, 0, in_time)
    sender.send_all()
    waited = sum(delay for delay, _ in sender.sleeper.waits)
    assert waited <= 0.11 * sum(sender.gaps())


@pytest.mark.parametrize(("stmin", "gap"), STMINS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_flow_control_during_stmin_is_read_before_the_next_frame(
    stmin: int, gap: int, share: float
) -> None:
    """FS Overflow ends the message: not one frame more may leave, unless it came after the last look for it."""
    sender = Sender(stmin, 0, in_time)
    while len(sender.began) < 3:
        sender.step()
    sender.arrive(round(gap * share), b"\x32\x00\x00")
    while sender.layer.transmitting():
        sender.step()
    # What a look may take is set aside for it, and as long as sleeping is late, only the time is waited for.
    unseen = min(gap, started._FIRST_LOOK_NS + FakeSleeper.LATE)
    assert len(sender.began) == (3 if gap * share <= gap - unseen else 4)


@pytest.mark.parametrize("cost", [0, 30 * US, 150 * US])
@pytest.mark.parametrize(("stmin", "gap"), STMINS)
def test_the_last_look_is_shortly_before_the_frame(stmin: int, gap: int, cost: int) -> None:
    """As late as what it takes allows: the layer is awake by then, and so are the caches."""
    looks: list[int] = []

    def read(clock: Clock, timeout: float) -> None:
        if timeout == 0:
            looks.append(clock.now)
        clock.pass_ns(max(timeout * 1e9, cost))

    sender = Sender(stmin, 0, read)
    sender.send_all()
    before = [sent - max(look for look in looks if look <= sent) for sent in sender.began[2:]]
    longest_look = max(cost, started._FIRST_LOOK_NS) + started._LOOK_MARGIN_NS
    assert max(before) <= longest_look + FakeSleeper.LATE
    assert all(spun <= 200 * US for spun in sender.sleeper.spins)


def test_what_a_look_takes_is_learned() -> None:
    """One that is longer than all before makes its gap longer, and the next ones not."""
    slow = [False]

    def read(clock: Clock, timeout: float) -> None:
        clock.pass_ns(max(timeout * 1e9, 400 * US if slow[0] else 1 * US))

    sender = Sender(1, 0, read)
    while len(sender.began) < 5:
        sender.step()
    slow[0] = True
    sender.send_all()
    late = [gap - MS for gap in sender.gaps()]
    assert late[:4] == [0] * 4
    assert 0 < late[4] <= 400 * US
    assert late[5:] == [0] * len(late[5:])


def test_without_a_busy_share_the_look_comes_first() -> None:
    """The sleep ends at the time of the frame: there is none left to look."""
    looks: list[int] = []

    def read(clock: Clock, timeout: float) -> None:
        if timeout == 0:
            looks.append(clock.now)
        clock.pass_ns(max(timeout * 1e9, 30 * US))

    sender = Sender(0xF5, 0, read, busy_wait=0)
    sender.send_all()
    assert sender.gaps() == [500 * US] * (FRAMES - 1)
    assert sender.sleeper.spins == []
    assert set(sender.ended[1:-1]) <= set(looks)


@pytest.mark.parametrize("cost", [30 * US, 80 * US])
@pytest.mark.parametrize(("stmin", "gap"), STMINS)
def test_what_a_read_costs_makes_no_gap_longer(stmin: int, gap: int, cost: int) -> None:
    """rxfn may take its time even without a time-out: nobody calls it once the frame is due."""

    def read(clock: Clock, timeout: float) -> None:
        clock.pass_ns(max(timeout * 1e9, cost))

    sender = Sender(stmin, 0, read)
    sender.send_all()
    assert sender.gaps() == [gap] * (FRAMES - 1)


@pytest.mark.parametrize("factor", [0.3, 1.0, 1.5])
def test_wait_func_waits_in_place_of_the_layer(factor: float) -> None:
    """One that returns early is called again: still no gap is too short."""
    waits: list[float] = []
    sender = Sender(1, 0, in_time)

    def wait_func(seconds: float) -> None:
        waits.append(seconds)
        sender.clock.pass_ns(seconds * factor * 1e9 + 1)

    sender.layer.params.wait_func = wait_func
    sender.send_all()
    assert waits
    assert sender.sleeper.waits == []
    assert min(sender.gaps()) >= MS
    assert max(sender.gaps()) <= 2 * MS


@pytest.mark.parametrize("busy", [0.0, 0.00005, 0.001])
def test_busy_share_is_the_users_to_set(busy: float) -> None:
    sender = Sender(1, 0, in_time, busy_wait=busy)
    sender.send_all()
    assert {share for _, share in sender.sleeper.waits} == {round(busy * 1e9)}


def test_a_rxfn_without_a_time_out_is_waited_for_in_pieces() -> None:
    """stop() is not to wait for a whole STmin."""
    sender = Sender(127, 0, in_time)
    sender.step()
    frames: deque[isotp.CanMessage] = deque()
    sender.layer.rxfn = lambda: frames.popleft() if frames else None
    sender.send_all()
    assert max(delay for delay, _ in sender.sleeper.waits) <= started._PRECISE_PIECE_NS
    assert sender.gaps() == [127 * MS] * (FRAMES - 1)


def test_a_rxfn_that_overstays_is_overtaken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first time the timekeeper is patient; from then on it steps in at the deadline itself."""
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(
        "isotp.threads.timekeeper.call_at", lambda when, action, busy=0: calls.append((when, busy))
    )
    sender = Sender(1, 0, late(300 * MS))
    deadline = monotonic_ns() + 3_600_000 * MS
    sender.layer._guard_deadline(deadline)
    assert calls.pop()[0] > deadline
    sender.step()  # reads the flow control frame
    read = sender.layer._read_on(0.01)
    assert read == pytest.approx((0.001, -0.3))
    sender.layer._look_at_rxfn(*read, sender.stop)
    sender.layer._guard_deadline(deadline)
    assert calls.pop()[0] == deadline


@pytest.mark.parametrize("busy", [0, 50 * US, 200 * US])
def test_the_sleeper_never_waits_less_than_asked(busy: int) -> None:
    sleeper = Sleeper()
    for delay in (0, 1, 10 * US, 150 * US, 1 * MS, 3 * MS):
        before = monotonic_ns()
        sleeper.wait(delay, busy)
        assert monotonic_ns() - before >= delay
        before = monotonic_ns()
        sleeper.doze(delay, busy)
        assert monotonic_ns() - before >= delay - busy
        before = monotonic_ns()
        sleeper.spin(delay)
        assert monotonic_ns() - before >= delay


def test_the_sleeper_does_not_wait_for_what_has_passed() -> None:
    sleeper = Sleeper()
    sleeper.wait(-(1 << 60), 200 * US)
    sleeper.doze(-(1 << 60), 200 * US)
    sleeper.spin(-(1 << 60))


def test_time_sleep_stands_for_the_precise_wait() -> None:
    sender = Sender(1, 0, in_time, wait_func=time.sleep)
    sender.send_all()
    assert sender.sleeper.waits
