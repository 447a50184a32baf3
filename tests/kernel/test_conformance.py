"""The conformance table on real CAN sockets: SocketCanStack, and a session of a Hub, on vcan1.

The layers are started ones, but the test's thread does what theirs would do in a loop, whenever something happened in
the story, and `layer.clock` is the story's: so each case takes no time, and is judged to the nanosecond.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import closing
from typing import Any

import pytest

import isotp
from isotp.bus.feeds import Audience, SocketFeed
from tests.conformance.cases import CASES, RULES
from tests.conformance.paths import Stage, check, play
from tests.conformance.story import Case, Rule
from tests.kernel.conftest import FullQueue, RawBus

pytestmark = pytest.mark.kernel

INTERFACE = "vcan1"
# Nobody listens to it; once it is seen, so was all that was sent before.
MARK = "1FFFFFFF#"
NEED_ROOT = {case.rule for case in CASES if any(line.word == "full" for line in case.all_lines())}


class FarEnd:
    """The other end of the session, and a listener that sees all frames of both."""

    def __init__(self) -> None:
        self.sender, self.listener = RawBus(INTERFACE), RawBus(INTERFACE)
        self.queue = FullQueue()
        self.full = False

    def close(self) -> None:
        self.sender.socket.close()
        self.listener.socket.close()

    def set_full(self, full: bool) -> None:
        if full != self.full:
            self.full = full
            self.queue.fill() if full else self.queue.make_room()

    def send(self, can_id: int, data: bytes) -> None:
        """Put a frame on the bus: once this returns, whoever is to hear it can read it."""
        identifier = f"{can_id & 0x1FFF_FFFF:08X}" if can_id >> 31 else f"{can_id:03X}"
        frame = f"{identifier}#{'#0' if len(data) > 8 else ''}{data.hex().upper()}"
        # A full queue is so for everybody on the interface.
        was_full = self.full
        self.set_full(False)
        self.sender.send(frame)
        assert self.listener.recv() == frame
        self.set_full(was_full)

    def heard(self) -> Iterator[tuple[int, bytes]]:
        """The frames that the layer sent since the last look."""
        if self.full:
            return
        self.sender.send(MARK)
        while (frame := self.listener.recv()) != MARK:
            identifier, _, data = frame.partition("#")
            can_id = int(identifier, 16) | (0x8000_0000 if len(identifier) == 8 else 0)
            yield can_id, bytes.fromhex(data[2:] if data.startswith("#") else data)


class BusPath(Stage):
    """A started layer on a raw CAN socket."""

    def __init__(self, far_end: FarEnd, case: Case, mode: str) -> None:
        self.far_end = far_end
        super().__init__(case, mode)
        self.start()

    def make_layer(self, *, params: dict[str, Any], **kwargs: Any) -> isotp.TransportLayer:
        # On a real bus, frames of more than 8 bytes are those of CAN FD.
        return self.open({**params, "can_fd": params.get("tx_data_length", 8) > 8}, kwargs)

    def open(self, params: dict[str, Any], kwargs: dict[str, Any]) -> isotp.TransportLayer:
        raise NotImplementedError

    def start(self) -> None:
        self.layer.start()

    def read(self) -> None:
        """What the thread does once it is woken."""
        raise NotImplementedError

    def close(self) -> None:
        self.far_end.set_full(False)

    def set_full(self, full: bool) -> None:
        self.far_end.set_full(full)

    def hear(self, text: str) -> None:
        self.far_end.send(*self.frame(text))
        self.run()

    def run(self) -> None:
        self.read()
        for can_id, data in self.far_end.heard():
            self.sent_frame(can_id, data)


class WithoutThread(isotp.SocketCanStack):
    def _start_reading(self) -> None:
        pass


class StackPath(BusPath):
    def open(self, params: dict[str, Any], kwargs: dict[str, Any]) -> isotp.TransportLayer:
        return WithoutThread(INTERFACE, params=params, **kwargs)

    def read(self) -> None:
        self.layer._can.wake()
        self.layer._read_once(self.layer.events.stop_requested)

    def close(self) -> None:
        super().close()
        self.layer.close()


class AtOnce(Executor):
    """Calls in place: an error is told before the step that led to it ends."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(function(*args, **kwargs))
        return done


class FeedWithoutThread(SocketFeed):
    def start(self, audience: Audience) -> None:
        pass

    def stop(self) -> Callable[[], object]:
        return lambda: None


class HubWithoutThread(isotp.Hub):
    def _open_feed(self, bus: Any, notifier: Any) -> FeedWithoutThread:
        return FeedWithoutThread(bus)


class HubPath(BusPath):
    def open(self, params: dict[str, Any], kwargs: dict[str, Any]) -> isotp.TransportLayer:
        self.hub = HubWithoutThread(INTERFACE, executor=AtOnce())
        self.hub._feed._can.clock = self.clock
        return self.hub.session(params=params, **kwargs)

    def start(self) -> None:
        super().start()
        # The one that keeps the time of all sessions goes by another clock: here `wait` does it.
        self.layer._set_driven(True, lambda deadline: None)

    def read(self) -> None:
        self.hub._feed._can.wake()
        self.hub._feed._read(self.hub)
        self.layer._drive()

    def close(self) -> None:
        super().close()
        self.hub.close()


@pytest.fixture(scope="module")
def far_end() -> Iterator[FarEnd]:
    """On one CPU: what it sends is there once its listener has seen it, as the kernel hands it to all at once."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    with closing(FarEnd()) as opened:
        yield opened
    os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize("path", [StackPath, HubPath])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_bus_path(far_end: FarEnd, path: type[BusPath], rule: Rule) -> None:
    if rule in NEED_ROOT and os.getuid() != 0:
        pytest.skip("only root may change the queue of an interface")

    def run(case: Case, mode: str) -> None:
        with closing(path(far_end, case, mode)) as stage:
            play(stage, case.lines(mode))

    check(rule, run, on_a_kernel=True)
