"""One bus, shared by all: no reader of a python-can bus takes a frame away from another one."""

from __future__ import annotations

import gc
import select
import socket
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from unittest.mock import Mock

import pytest

import isotp
from tests import one_bus_stories as stories
from tests.bus.datagrams import Wire
from tests.hub_stories import PATIENCE, at_tester
from tests.one_bus_stories import OpenBus, hear, single_frames, stack_at, started

can = pytest.importorskip("can")


class DatagramBus(can.BusABC):
    """A bus with a descriptor, as SocketCAN's: what one connection sends, all others get."""

    def __init__(self, others: list[DatagramBus]) -> None:
        super().__init__(channel="datagrams")
        self.here, self.there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in (self.here, self.there):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.here.setblocking(False)
        self.others = others
        others.append(self)

    def fileno(self) -> int:
        return self.here.fileno()

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        self.here.settimeout(timeout)
        try:
            frame = self.here.recv(100)
        except (BlockingIOError, TimeoutError):
            return None, True
        return can.Message(
            arbitration_id=int.from_bytes(frame[:4], "big"), data=frame[4:], is_extended_id=False
        ), True

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        for other in self.others:
            if other is not self:
                other.there.send(msg.arbitration_id.to_bytes(4, "big") + bytes(msg.data))

    def shutdown(self) -> None:
        super().shutdown()
        if self in self.others:
            self.others.remove(self)
        self.here.close()
        self.there.close()


needs_poll = pytest.mark.skipif(not hasattr(select, "poll"), reason="no poll() on this system")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="SocketCAN is Linux's")


@pytest.fixture(
    params=[
        "virtual",
        pytest.param("descriptor", marks=needs_poll),
        pytest.param("native", marks=on_linux),
        pytest.param("socketcan, not native", marks=on_linux),
    ]
)
def open_bus(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenBus]:
    """A function that opens one more connection to a bus that belongs to this test."""
    others: list[DatagramBus] = []
    if request.param == "socketcan, not native":
        monkeypatch.setenv("ISOTP_NATIVE", "0")

    with ExitStack() as opened:
        if "native" in request.param:
            wire = Wire(monkeypatch)
            opened.callback(wire.close)

        def open_one() -> Any:
            if request.param == "virtual":
                return opened.enter_context(can.Bus(interface="virtual", channel=request.node.nodeid))
            return opened.enter_context(DatagramBus(others) if request.param == "descriptor" else wire.open())

        yield open_one


@pytest.mark.parametrize("story", stories.ALL.values(), ids=stories.ALL)
def test_stories(open_bus: OpenBus, story: Callable[[OpenBus], None]) -> None:
    story(open_bus)


def test_thread_safe_bus(request: pytest.FixtureRequest) -> None:
    """It is the bus that it wraps: stacks on either are on one bus, and a notifier on it reads that bus."""
    pytest.importorskip("wrapt")
    channel = request.node.nodeid
    safe = can.ThreadSafeBus(interface="virtual", channel=channel)
    with safe, can.Bus(interface="virtual", channel=channel) as other:
        first, second = stack_at(safe, 0), stack_at(safe.__wrapped__, 1)
        assert first.bus is safe
        frames = single_frames(100)
        listener = stories.Listener()
        with started(first, second), can.Notifier(safe, [listener], timeout=0.05):
            for frame in frames:
                other.send(frame)
                other.send(can.Message(arbitration_id=0x301, data=frame.data, is_extended_id=False))
            hear(first, frames)
            hear(second, frames)
            first.send(b"by the lock")
            assert other.recv(PATIENCE).data[2:] == b"by the"
        assert [identifier for identifier, _ in listener.seen] == [0x300, 0x301] * 100


def test_stack_with_a_reader_of_its_own(open_bus: OpenBus) -> None:
    """What overrides rx_canbus() is called for each frame of its layer, by a thread of that layer."""

    class Watched(isotp.CanStack):
        seen: list[bytes]

        def rx_canbus(self, timeout: float = 0.0) -> isotp.CanMessage | None:
            message = super().rx_canbus(timeout)
            if message is not None and message.arbitration_id == 0x301:
                self.seen.append(bytes(message.data))
            return message

    bus, other = open_bus(), open_bus()
    plain = stack_at(bus, 0)
    watched = Watched(bus, address=at_tester(1))
    watched.seen = []
    frames = single_frames(100)
    with started(plain, watched):
        for frame in frames:
            other.send(frame)
            other.send(can.Message(arbitration_id=0x301, data=frame.data, is_extended_id=False))
        hear(plain, frames)
        hear(watched, frames)
    assert watched.seen == [bytes(frame.data) for frame in frames]


def test_another_bus(open_bus: OpenBus) -> None:
    """set_bus() takes a started stack to a bus that others share; it hears no more of the one before."""
    first, second, other = open_bus(), open_bus(), open_bus()
    moving, staying = stack_at(first, 0), stack_at(second, 1)
    with started(moving, staying):
        moving.bus = second
        assert moving.bus is second
        assert moving.main_thread is staying.main_thread
        first.send(can.Message(arbitration_id=0x300, data=b"\x01\x01", is_extended_id=False))
        other.send(can.Message(arbitration_id=0x300, data=b"\x01\x02", is_extended_id=False))
        other.send(can.Message(arbitration_id=0x301, data=b"\x01\x03", is_extended_id=False))
        assert [moving.recv(block=True, timeout=PATIENCE) for _ in range(2)] == [b"\x01", b"\x02"]
        assert staying.recv(block=True, timeout=PATIENCE) == b"\x03"
        assert not moving.available()
    for reader in stories.readers():  # that of the first bus ends by itself
        reader.join(PATIENCE)
    assert stories.readers() == []


def test_shutdown_of_the_bus(open_bus: OpenBus) -> None:
    """Those on it hear that it cannot be read, and stop as ever."""
    bus = open_bus()
    told = [threading.Event(), threading.Event()]
    stacks = [
        stack_at(bus, k, error_handler=lambda error, event=event: event.set())  # type: ignore[misc]
        for k, event in enumerate(told)
    ]
    with started(*stacks):
        bus.shutdown()
        open_bus().send(single_frames(1)[0])
        assert all(event.wait(PATIENCE) for event in told)
    assert not any(stack.started for stack in stacks)


def test_callbacks(open_bus: OpenBus) -> None:
    """Alone, a stack is told of an error before recv() gives the message behind it; with others, it holds nobody up."""
    errors: list[Exception] = []
    entered, release = threading.Event(), threading.Event()
    bus, other = open_bus(), open_bus()

    def on_error(error: Exception) -> None:
        errors.append(error)
        if len(errors) > 1:
            entered.set()
            assert release.wait(PATIENCE)

    def bad_frame_and(number: int) -> None:
        other.send(can.Message(arbitration_id=0x300, data=b"\x21\x01", is_extended_id=False))
        other.send(can.Message(arbitration_id=number, data=b"\x01\x01", is_extended_id=False))

    first = stack_at(bus, 0, error_handler=on_error)
    with started(first):
        bad_frame_and(0x300)
        assert first.recv(block=True, timeout=PATIENCE) == b"\x01"
        assert len(errors) == 1
        second = stack_at(bus, 1)
        with started(second):
            bad_frame_and(0x301)
            assert entered.wait(PATIENCE)
            assert second.recv(block=True, timeout=PATIENCE) == b"\x01"
            release.set()


def test_what_came_before_the_start(open_bus: OpenBus) -> None:
    """Frames that others read for a stack that is not started yet wait for it; for a stopped one they do not."""
    bus, other = open_bus(), open_bus()
    reading, late = stack_at(bus, 1), stack_at(bus, 0)
    frames = single_frames(3)
    with started(reading):
        for frame in frames[:2]:
            other.send(frame)
        other.send(can.Message(arbitration_id=0x301, data=b"\x01\x01", is_extended_id=False))
        assert reading.recv(block=True, timeout=PATIENCE) == b"\x01"
        with started(late):
            hear(late, frames[:2])
        other.send(frames[0])
        other.send(can.Message(arbitration_id=0x301, data=b"\x01\x02", is_extended_id=False))
        assert reading.recv(block=True, timeout=PATIENCE) == b"\x02"
        with started(late):
            other.send(frames[2])
            hear(late, frames[2:])


def test_more_than_a_polled_stack_has_room_for(open_bus: OpenBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps the first ones, and is told how many were lost."""
    monkeypatch.setattr("isotp.bus.table._MOST_WAITING_FRAMES", 10)
    errors: list[Exception] = []
    bus, other = open_bus(), open_bus()
    polled, reading = stack_at(bus, 0, error_handler=errors.append), stack_at(bus, 1)
    frames = single_frames(15)
    with started(reading):
        for frame in frames:
            other.send(frame)
        other.send(can.Message(arbitration_id=0x301, data=b"\x01\x01", is_extended_id=False))
        assert reading.recv(block=True, timeout=PATIENCE) == b"\x01"
        polled.process()
    hear(polled, frames[:10])
    (error,) = errors
    assert isinstance(error, isotp.FramesLostError)
    assert "5 received frames were lost" in str(error)


def test_more_than_who_reads_the_bus_fetches(open_bus: OpenBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who called recv() once and never again costs no memory without end."""
    monkeypatch.setattr("isotp.bus.shared._MOST_FOR_GUESTS", 10)
    bus, other = open_bus(), open_bus()
    stack = stack_at(bus, 0)
    frames = single_frames(30)
    with started(stack):
        assert bus.recv(0) is None
        for frame in frames[:11]:
            other.send(frame)
        hear(stack, frames[:11])
        assert bus.recv(0) is None  # forgotten; from now on there is somebody again
        for frame in frames[11:15]:
            other.send(frame)
        hear(stack, frames[11:15])
        assert [bus.recv(0).data for _ in range(4)] == [frame.data for frame in frames[11:15]]


def test_nothing_stays_behind(open_bus: OpenBus) -> None:
    """A stack that is dropped goes, and the bus is as it was when nobody uses it any more."""
    bus, other = open_bus(), open_bus()
    first, second = stack_at(bus, 0), stack_at(bus, 1)
    with started(second):
        pass
    dropped = weakref.ref(first)
    del first
    gc.collect()
    assert dropped() is None
    del second
    gc.collect()
    assert "recv" not in vars(bus)
    other.send(single_frames(1)[0])
    assert bus.recv(PATIENCE).arbitration_id == 0x300


def test_recv_of_the_users_own(open_bus: OpenBus) -> None:
    """A function that the user put in the place of a bus's recv(), before or after, is what reads the bus."""
    for when in ("before", "after"):
        bus, other = open_bus(), open_bus()
        recv = Mock(wraps=bus.recv)
        if when == "before":
            bus.recv = recv
        stack = stack_at(bus, 0)
        if when == "after":
            bus.recv = recv = Mock(wraps=type(bus).recv.__get__(bus))
        frames = single_frames(1)
        other.send(frames[0])
        while not stack.available():
            stack.process()
        hear(stack, frames)
        assert recv.call_count > 0
        del stack
        gc.collect()
        assert vars(bus)["recv"] is recv


def test_a_callback_that_reads_the_bus(open_bus: OpenBus) -> None:
    """It is amid a frame that its own thread has read: it reads on, and nothing is lost."""
    bus, other = open_bus(), open_bus()
    seen: list[Any] = []

    def read(size: int) -> None:
        seen.append(bus.recv(PATIENCE))

    stack, second = stack_at(bus, 0, receive_into=read), stack_at(bus, 1)
    with started(stack, second):
        other.send(can.Message(arbitration_id=0x301, data=b"\x01\x01", is_extended_id=False))
        assert second.recv(block=True, timeout=PATIENCE) == b"\x01"
        other.send(can.Message(arbitration_id=0x300, data=b"\x10\x08abcdef", is_extended_id=False))
        other.send(can.Message(arbitration_id=0x301, data=b"\x01\x02", is_extended_id=False))
        assert second.recv(block=True, timeout=PATIENCE) == b"\x02"
        other.send(can.Message(arbitration_id=0x300, data=b"\x21gh", is_extended_id=False))
        assert stack.recv(block=True, timeout=PATIENCE) == b"abcdefgh"
    assert len(seen) == 1
