"""The native way to python-can's own SocketCAN bus: when it is taken, and who reads the bus then."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import isotp
import isotp.aio
from tests.bus.datagrams import Wire
from tests.frames import SLOW
from tests.hub_stories import PATIENCE, AnyOfABlock, at_ecu, at_tester, exchange
from tests.one_bus_stories import Listener, hear, readers, single_frames, stack_at, started

can = pytest.importorskip("can")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="SocketCAN is Linux's")

FIRST_FRAME = can.Message(arbitration_id=0x300, data=b"\x10\x08abcdef", is_extended_id=False)
LAST_FRAME = can.Message(arbitration_id=0x300, data=b"\x21gh", is_extended_id=False)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    opened = Wire(monkeypatch)
    yield opened
    opened.close()


@pytest.fixture
def open_bus(wire: Wire) -> Iterator[Any]:
    with ExitStack() as opened:
        yield lambda **options: opened.enter_context(wire.open(**options))


def until_it_leads(waiting: threading.Thread, stack: isotp.CanStack, other: Any) -> None:
    """The thread of the bus leaves its turn to who waits for a message after its next frames."""
    for _ in range(100_000):
        if stack._shared.turn.is_of(waiting):
            return
        other.send(can.Message(arbitration_id=0x7FF, is_extended_id=False))
        time.sleep(0.001)
    pytest.fail("it never leads")


def test_which_buses_have_it(open_bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_native(bus: Any, **options: Any) -> bool:
        stack = isotp.CanStack(bus, address=at_tester(0), **options)
        assert ("natively" in repr(stack)) == stack.is_native
        return stack.is_native

    assert is_native(open_bus())
    assert is_native(open_bus(fd=True))
    assert not is_native(open_bus(), native=False)
    # What the kernel does not filter, python-can does.
    assert not is_native(open_bus(can_filters=[{"can_id": 0x300, "can_mask": 0x7FF}]))
    for name in ("recv", "send"):
        patched = open_bus()
        setattr(patched, name, getattr(patched, name))
        assert not is_native(patched)
    with monkeypatch.context() as patching:
        patching.setattr(can.BusABC, "recv", lambda self, timeout=None: None)
        assert not is_native(open_bus())
    with monkeypatch.context() as patching:
        patching.setenv("ISOTP_NATIVE", "0")
        assert not is_native(open_bus())
    with can.Bus(interface="virtual", channel="a bus of another class") as virtual:
        assert not is_native(virtual)

    class Subclass(type(open_bus())):  # type: ignore[misc]
        """Anything may be different in it."""

    derived = open_bus()
    derived.__class__ = Subclass
    assert not is_native(derived)


def test_hub(open_bus: Any) -> None:
    """Its sessions are fed and send natively, also where one comes or has a clock of its own; beside a stack, too."""
    bus, other = open_bus(), open_bus()
    with isotp.Hub(bus) as here, isotp.Hub(other) as there:
        sessions, ends = [], []
        for k in range(4):
            if k == 3:
                sessions.append(stack_at(bus, k))
                ends.append(isotp.CanStack(other, address=at_ecu(k)))
            else:
                sessions.append(here.session(at_tester(k), params=SLOW))
                ends.append(there.session(at_ecu(k), params=SLOW))
            if k == 2:
                sessions[-1].clock = time.perf_counter_ns
            sessions[-1].start()
            ends[-1].start()
            exchange(sessions, ends, (3, 60, 700))
        sessions[-1].stop()
        ends[-1].stop()


def test_aio(open_bus: Any) -> None:
    """The loop reads natively by the descriptor of the bus."""

    async def run() -> None:
        async with isotp.aio.Hub(open_bus()) as here, isotp.aio.Hub(open_bus()) as there:
            layers = [here.layer(at_tester(k)) for k in range(3)]
            ends = [there.layer(at_ecu(k)) for k in range(3)]
            for layer in (*layers, *ends):
                layer.start()
            for k, (layer, end) in enumerate(zip(layers, ends, strict=True)):
                await layer.send(bytes([k]) * 700)
                assert await end.recv() == bytes([k]) * 700
                await end.send(bytes([k]) * 60)
                assert await layer.recv() == bytes([k]) * 60
            # A thread that is there for somebody else, if only until that one has stopped, leaves them to the loop.
            shared = here._hub.feed.shared
            assert shared._find_engines() is not None
            shared.changed()
            shared._users["somebody else"] = 0.1
            assert shared._find_engines() is None
            del shared._users["somebody else"]

    asyncio.run(asyncio.wait_for(run(), PATIENCE))


def test_sending_beside_a_notifier(open_bus: Any) -> None:
    """The notifier reads as ever; what is sent goes natively, unless it is not to."""
    for native in (True, False):
        bus, other = open_bus(), open_bus()
        with can.Notifier(bus, [], timeout=0.05) as notifier:
            stack = isotp.NotifierBasedCanStack(bus, notifier, address=at_tester(0), native=native)
            assert stack.is_native == native
            there = isotp.CanStack(other, address=at_ecu(0))
            with started(stack, there):
                stack.send(bytes(100))
                assert there.recv(block=True, timeout=PATIENCE) == bytes(100)
                there.send(bytes(200))
                assert stack.recv(block=True, timeout=PATIENCE) == bytes(200)
            stats = stack.stats
            assert stats.frames_sent > 10
            assert stats.frames_received_natively == 0
            assert stats.frames_sent_natively == (stats.frames_sent if native else 0)
            assert ("sends natively" in repr(stack)) == native


def test_txfn_of_the_users(open_bus: Any) -> None:
    """Who sets it wants it to be called; the one that was there before sends on the bus again."""
    other, stack = open_bus(), stack_at(open_bus(), 0)
    sent: list[isotp.CanMessage] = []
    native = stack.txfn
    stack.txfn = sent.append
    with started(stack):
        stack.send(b"mine")
        assert [bytes(message.data) for message in sent] == [b"\x04mine"]
        stack.txfn = native
        stack.send(b"ours")
    assert other.recv(PATIENCE).data == b"\x04ours"
    assert len(sent) == 1


@pytest.mark.parametrize("is_fd", [False, True], ids=["classic", "fd"])
def test_messages(open_bus: Any, is_fd: bool) -> None:
    """Of all sizes, both ways; what python-can sees beside it is what it always sees."""
    params: dict[str, Any] = {"max_frame_size": 100_000}
    if is_fd:
        params |= {"can_fd": True, "tx_data_length": 64, "bitrate_switch": True}
    watching = open_bus(fd=is_fd)
    here = isotp.CanStack(open_bus(fd=is_fd), address=at_tester(0), params=params)
    there = isotp.CanStack(open_bus(fd=is_fd), address=at_ecu(0), params=params)
    with started(here, there):
        for size in (1, 7, 8, 62, 63, 4095, 70_000):
            payload = bytes(k * size & 255 for k in range(size))
            here.send(payload)
            assert there.recv(block=True, timeout=PATIENCE) == payload
            there.send(payload[::-1])
            assert here.recv(block=True, timeout=PATIENCE) == payload[::-1]
        stats = here.stats
        assert stats.frames_sent == stats.frames_sent_natively == there.stats.frames_for_us
        assert stats.frames_received == stats.frames_received_natively > 0
    first = watching.recv(PATIENCE)
    assert (first.arbitration_id, bytes(first.data[:2]), first.is_fd, first.bitrate_switch) == (
        0x100,
        b"\x01\x00",
        is_fd,
        is_fd,
    )


def test_who_waits_reads(open_bus: Any) -> None:
    """A blocking recv() handles the frames itself: the message needs no other thread to wake the one that waits."""
    handled_by: list[int] = []
    other, stack = open_bus(), stack_at(open_bus(), 0)
    stack.receive_into = lambda size: handled_by.append(threading.get_ident()) or bytearray(size)
    received: list[Any] = []
    with started(stack):
        waiting = threading.Thread(
            target=lambda: received.append(stack.recv(block=True, timeout=PATIENCE)), daemon=True
        )
        waiting.start()
        until_it_leads(waiting, stack, other)
        other.send(FIRST_FRAME)
        other.send(LAST_FRAME)
        waiting.join(PATIENCE)
        assert received == [b"abcdefgh"]
        assert handled_by == [waiting.ident]
        # Nobody waits now: the thread of the bus reads.
        (reader,) = readers()
        other.send(FIRST_FRAME)
        other.send(LAST_FRAME)
        while not stack.available():
            pass
        assert handled_by[1:] == [reader.ident]


def test_who_waits_for_the_end_of_a_message_reads(open_bus: Any) -> None:
    """A blocking send() handles the Flow Control itself."""
    led: list[int] = []
    here, there = stack_at(open_bus(), 0), isotp.CanStack(open_bus(), address=at_ecu(0))
    here.params.blocking_send = True
    lead = here._shared.lead
    here._shared.lead = lambda *args: led.append(threading.get_ident()) or lead(*args)
    with started(here, there):
        for _ in range(20):
            here.send(bytes(100), send_timeout=PATIENCE)
            assert there.recv(block=True, timeout=PATIENCE) == bytes(100)
    assert set(led) == {threading.get_ident()}


def test_stop_while_somebody_waits(open_bus: Any) -> None:
    """Who waits does not read the bus of a layer that was stopped; started again, it has a thread that does."""
    other, stack = open_bus(), stack_at(open_bus(), 0)
    stack.start()
    waiting = threading.Thread(target=lambda: received.append(stack.recv(True, PATIENCE)), daemon=True)
    received: list[Any] = []
    waiting.start()
    until_it_leads(waiting, stack, other)
    stack.stop()
    while stack._shared.turn.is_led:
        pass
    with started(stack):
        other.send(single_frames(1)[0])
        waiting.join(PATIENCE)
    assert received == [b"\x00\x00\x09"]


def test_others_come_while_somebody_waits(open_bus: Any) -> None:
    """A second stack, a hub and a notifier: they hear what comes from then on."""
    other, bus = open_bus(), open_bus()
    stack = stack_at(bus, 0)
    received: list[Any] = []
    listener = Listener()
    frames = single_frames(2)
    with started(stack), isotp.Hub(bus) as hub:
        waiting = threading.Thread(
            target=lambda: received.extend(stack.recv(block=True, timeout=PATIENCE) for _ in range(2)),
            daemon=True,
        )
        waiting.start()
        until_it_leads(waiting, stack, other)
        second, session = stack_at(bus, 1), hub.session(at_tester(2))
        with started(second, session):
            for number in (1, 2):
                other.send(can.Message(arbitration_id=0x300 + number, data=b"\x01\x01", is_extended_id=False))
            assert second.recv(block=True, timeout=PATIENCE) == b"\x01"
            assert session.recv(block=True, timeout=PATIENCE) == b"\x01"
            other.send(frames[0])
            with can.Notifier(bus, [listener], timeout=0.05):
                other.send(frames[1])
                waiting.join(PATIENCE)
                assert received == [bytes(frame.data[1:]) for frame in frames]
                while not listener.seen or listener.seen[-1] != (0x300, bytes(frames[1].data)):
                    pass


def test_error_and_remote_frames(open_bus: Any) -> None:
    """They are for no layer; a notifier's listeners get them as ever, and the time stamps are of the wall clock."""
    seen: list[Any] = []
    other, bus = open_bus(), open_bus()
    stack = stack_at(bus, 0)
    frame = single_frames(1)[0]
    with started(stack):
        assert bus.recv(0) is None
        for options in ({"is_remote_frame": True, "dlc": 4}, {"is_error_frame": True}):
            other.send(can.Message(arbitration_id=0x300, is_extended_id=False, **options))
        other.send(frame)
        hear(stack, [frame])
        seen = [bus.recv(0) for _ in range(3)]
    assert [(each.is_remote_frame, each.is_error_frame, each.dlc) for each in seen] == [
        (True, False, 4),
        (False, True, 0),
        (False, False, 4),
    ]
    other.send(frame)
    as_ever = bus.recv(PATIENCE)
    assert 0 <= as_ever.timestamp - seen[2].timestamp < PATIENCE
    assert as_ever.channel == seen[2].channel


def test_who_is_asked_for_every_frame(open_bus: Any) -> None:
    """A user's class of address is asked for data frames only."""
    other, bus = open_bus(), open_bus()
    stack = isotp.CanStack(bus, address=AnyOfABlock(txid=0x530, rxid=0x520), params=SLOW)
    with started(stack):
        for options in ({"is_remote_frame": True, "dlc": 8}, {"is_error_frame": True}):
            other.send(can.Message(arbitration_id=0x521, is_extended_id=False, **options))
        other.send(can.Message(arbitration_id=0x52F, data=b"\x01\x01", is_extended_id=False))
        assert stack.recv(block=True, timeout=PATIENCE) == b"\x01"
        assert stack.stats.frames_for_us == 1
    assert stack.last_error is None


def test_on_a_clock_of_the_users(open_bus: Any) -> None:
    """The kernel's time stamps are on another clock: there, a frame arrives when it is handled."""
    other, stack = open_bus(), stack_at(open_bus(), 0)
    stack.clock = lambda: 1_000
    times: list[int] = []
    arrived = threading.Event()

    def on_message(payload: bytes, address: Any, time: int) -> None:
        times.append(time)
        arrived.set()

    stack.on_message = on_message
    with started(stack):
        other.send(single_frames(1)[0])
        assert arrived.wait(PATIENCE)
    assert times == [1_000]


def test_shutdown_while_somebody_waits(open_bus: Any) -> None:
    """The bus is gone: the error handler is told, and who waits is woken in time."""
    told = threading.Event()
    bus = open_bus()
    stack = stack_at(bus, 0, error_handler=lambda error: told.set())
    received: list[Any] = []
    with started(stack):
        waiting = threading.Thread(target=lambda: received.append(stack.recv(True, 1.0)), daemon=True)
        waiting.start()
        until_it_leads(waiting, stack, open_bus())
        bus.shutdown()
        assert told.wait(PATIENCE)
        waiting.join(PATIENCE)
    assert received == [None]
    assert not stack.is_native
