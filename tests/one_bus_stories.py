"""Stories of many that share a python-can bus: bus/test_one_bus.py tells them on buses in memory, kernel/ on real ones.

Each takes a function that opens one more connection to the same bus.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import can

import isotp
import isotp.aio
from tests.frames import SLOW
from tests.hub_stories import PATIENCE, at_ecu, at_tester, exchange

OpenBus = Callable[[], Any]

SIZES = (3, 60, 7, 700)


@contextmanager
def started(*layers: Any) -> Iterator[None]:
    """The layers work as long as this does."""
    try:
        for layer in layers:
            layer.start()
        yield
    finally:
        for layer in layers:
            layer.stop()


def stack_at(bus: Any, number: int, **options: Any) -> isotp.CanStack:
    """A tester of its own address."""
    return isotp.CanStack(bus, address=at_tester(number), params=SLOW, **options)


@contextmanager
def ecus(bus: Any, count: int) -> Iterator[list[isotp.HubSession]]:
    """The other ends of so many sessions."""
    with isotp.Hub(bus) as hub:
        sessions = [hub.session(at_ecu(k), params=SLOW) for k in range(count)]
        for session in sessions:
            session.start()
        yield sessions


def readers() -> list[threading.Thread]:
    """The threads that read a bus."""
    return [thread for thread in threading.enumerate() if thread.name == "isotp reader"]


def started_stacks(open_bus: OpenBus, count: int) -> None:
    """Each message arrives, once and in order; one thread reads for all."""
    bus = open_bus()
    stacks = [stack_at(bus, k) for k in range(count)]
    before = len(readers())
    with started(*stacks):
        assert len(readers()) == before + 1
        with ecus(open_bus(), count) as others:
            exchange(stacks, others, SIZES)


class Listener(can.Listener):
    """Notes the identifiers and the data of all frames."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, bytes]] = []

    def on_message_received(self, msg: can.Message) -> None:
        self.seen.append((msg.arbitration_id, bytes(msg.data)))


def single_frames(count: int) -> list[can.Message]:
    """Messages for the first tester, each another one."""
    return [
        can.Message(arbitration_id=0x300, data=bytes([3, k >> 8, k & 255, 9]), is_extended_id=False)
        for k in range(count)
    ]


def hear(stack: Any, frames: list[can.Message]) -> None:
    """Check that all the messages arrive, and nothing else."""
    for frame in frames:
        assert stack.recv(block=True, timeout=PATIENCE) == bytes(frame.data[1:])
    assert not stack.available()


def beside_a_notifier(open_bus: OpenBus, which_is_first: str) -> None:
    """The stack misses nothing, and the notifier's listeners see each frame once; later the stack goes on alone."""
    bus, other = open_bus(), open_bus()
    listener = Listener()
    stack = stack_at(bus, 0)
    frames = single_frames(300)
    notifier = can.Notifier(bus, [listener], timeout=0.05) if which_is_first == "notifier" else None
    with started(stack):
        if notifier is None:
            for frame in frames[:100]:
                other.send(frame)
            hear(stack, frames[:100])
            notifier = can.Notifier(bus, [listener], timeout=0.05)
        try:
            for frame in frames[100:200]:
                other.send(frame)
            hear(stack, frames[100:200])
        finally:
            notifier.stop()
        assert listener.seen == [(0x300, bytes(frame.data)) for frame in frames[100:200]]
        for frame in frames[200:]:
            other.send(frame)
        hear(stack, frames[200:])


def beside_a_notifier_on_a_loop(open_bus: OpenBus) -> None:
    """It reads when the loop has time to; made before the stack and after."""

    async def both(bus: Any, other: Any, first: str) -> None:
        listener = Listener()
        stack = stack_at(bus, 0)
        loop = asyncio.get_running_loop()
        if first == "stack":
            stack.start()
        notifier = can.Notifier(bus, [listener], timeout=0.05, loop=loop)
        if first == "notifier":
            stack.start()
        try:
            frames = single_frames(100)
            for frame in frames:
                other.send(frame)
            await asyncio.to_thread(hear, stack, frames)
            while len(listener.seen) < 100:
                await asyncio.sleep(0)
            assert listener.seen == [(0x300, bytes(frame.data)) for frame in frames]
        finally:
            stack.stop()
            notifier.stop()

    for first in ("stack", "notifier"):
        asyncio.run(asyncio.wait_for(both(open_bus(), open_bus(), first), PATIENCE))


def beside_a_loop_of_the_users(open_bus: OpenBus) -> None:
    """Who reads the bus by recv() sees each frame, and takes none away."""
    bus, other = open_bus(), open_bus()
    stack = stack_at(bus, 0)
    frames = single_frames(200)
    seen: list[bytes] = []
    is_there = threading.Event()

    def read() -> None:
        bus.recv(0)
        is_there.set()
        while len(seen) < len(frames):
            received = bus.recv(timeout=PATIENCE)
            assert received is not None
            seen.append(bytes(received.data))

    reader = threading.Thread(target=read, daemon=True)
    with started(stack):
        reader.start()
        assert is_there.wait(PATIENCE)
        for frame in frames:
            other.send(frame)
        hear(stack, frames)
        reader.join(PATIENCE)
        assert seen == [bytes(frame.data) for frame in frames]


def two_polled(open_bus: OpenBus) -> None:
    """What one reads that is the other's comes to the other, also before that one was polled at all."""
    bus, other = open_bus(), open_bus()
    first, second = stack_at(bus, 0), stack_at(bus, 1)
    for k in range(100):
        for number in (0, 1):
            data = bytes([2, number, k])
            other.send(can.Message(arbitration_id=0x300 + number, data=data, is_extended_id=False))
    received: list[list[bytes]] = [[], []]
    while min(len(messages) for messages in received) < 100:
        for stack, messages in zip((first, second), received, strict=True):
            stack.process()
            while stack.available():
                messages.append(bytes(stack.recv()))
    assert received == [[bytes([number, k]) for k in range(100)] for number in (0, 1)]


def polled_and_started(open_bus: OpenBus) -> None:
    """The one that is polled waits for what the thread of the others brings."""
    bus = open_bus()
    working, polled = stack_at(bus, 0), stack_at(bus, 1)
    with started(working), ecus(open_bus(), 2) as (first, second):
        for turn in range(20):
            first.send(bytes([turn]) * 60)
            second.send(bytes([turn]) * 50)
            while not polled.available():
                polled.process(rx_timeout=0.001)
            assert polled.recv() == bytes([turn]) * 50
            assert working.recv(block=True, timeout=PATIENCE) == bytes([turn]) * 60
            while polled.transmitting():
                polled.process()


def hub_and_stacks(open_bus: OpenBus) -> None:
    bus = open_bus()
    with isotp.Hub(bus) as hub:
        mixed = [stack_at(bus, k) if k % 2 else hub.session(at_tester(k), params=SLOW) for k in range(10)]
        with started(*mixed), ecus(open_bus(), 10) as others:
            exchange(mixed, others, SIZES)


def aio_and_stacks(open_bus: OpenBus) -> None:
    """A loop and threads on one bus: whoever reads, all hear."""

    async def run() -> None:
        bus = open_bus()
        stacks = [stack_at(bus, k) for k in range(3)]
        layers = [isotp.aio.Layer(bus, at_tester(k), params=SLOW) for k in range(3, 6)]
        for layer in layers:
            layer.start()
        with ecus(open_bus(), 6) as others:
            for turn in range(3):
                # Without and with a thread that reads
                for stack in stacks if turn == 1 else ():
                    stack.start()
                at_work = 6 if turn == 1 else 3
                for k, ecu in enumerate(others[6 - at_work :], 6 - at_work):
                    ecu.send(bytes([k, turn]) * 40)
                for k, layer in enumerate(layers, 3):
                    assert await layer.recv() == bytes([k, turn]) * 40
                    await layer.send(bytes([k, turn, 1]) * 30)
                    answer = await asyncio.to_thread(others[k].recv, True, PATIENCE)
                    assert answer == bytes([k, turn, 1]) * 30
                if turn == 1:
                    for k, stack in enumerate(stacks):
                        received = await asyncio.to_thread(stack.recv, True, PATIENCE)
                        assert received == bytes([k, turn]) * 40
                        stack.stop()
        for layer in layers:
            await layer.close()

    asyncio.run(asyncio.wait_for(run(), PATIENCE))


def stacks_come_and_go(open_bus: OpenBus) -> None:
    """One stack misses nothing while others are made, started, stopped and dropped, and a notifier comes and goes."""
    bus, other = open_bus(), open_bus()
    steady = stack_at(bus, 0)
    frames = single_frames(400)
    done = threading.Event()
    failures: list[BaseException] = []

    def change() -> None:
        try:
            turn = 0
            while not done.is_set():
                turn += 1
                passing = stack_at(bus, 1 + turn % 3)
                with started(passing):
                    if turn % 3 == 0:
                        can.Notifier(bus, [lambda message: None], timeout=0.001).stop()
        except BaseException as error:
            failures.append(error)

    changing = threading.Thread(target=change, daemon=True)
    with started(steady):
        changing.start()
        for begin in range(0, len(frames), 20):
            some = frames[begin : begin + 20]
            for frame in some:
                other.send(frame)
            hear(steady, some)
        done.set()
        changing.join(PATIENCE)
    assert not changing.is_alive()
    assert failures == []


ALL: dict[str, Callable[[OpenBus], None]] = {
    **{f"{count}_started_stacks": partial(started_stacks, count=count) for count in (2, 10, 100)},
    **{f"{first}_first": partial(beside_a_notifier, which_is_first=first) for first in ("notifier", "stack")},
    **{
        story.__name__: story
        for story in (
            beside_a_notifier_on_a_loop,
            beside_a_loop_of_the_users,
            two_polled,
            polled_and_started,
            hub_and_stacks,
            aio_and_stacks,
            stacks_come_and_go,
        )
    },
}
