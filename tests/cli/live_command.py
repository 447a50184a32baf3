"""Runs commands of `isotp` that work on a bus, with somebody at the other end of python-can's virtual bus."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import isotp
from isotp.cli import ends, wires
from tests.cli.command import Run, isotp_command

can = pytest.importorskip("can", reason="buses other than SocketCAN need python-can")

# Seconds, far beyond what any step takes: only a failing test waits so long.
PATIENCE = 30.0
TESTER, ECU = isotp.Address(txid=0x7E0, rxid=0x7E8), isotp.Address(txid=0x7E8, rxid=0x7E0)
# A request, and the begin of an answer of 20 bytes.
EXCHANGE = ("7E0#0322F190", "7E8#101462F190575657", "7E0#3008F1", "7E8#215A5A5A314A5A33", "123#0102")


class Ecu:
    """The other end of 7E0:7E8: keeps what it receives, and says what `answers` has for it."""

    def __init__(self, channel: str, address: Any = ECU, **params: Any) -> None:
        self.received: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.errors: list[Exception] = []
        self.answers: dict[bytes, list[bytes]] = {}
        self.bus = can.Bus(interface="virtual", channel=channel)
        self.layer = isotp.CanStack(
            self.bus,
            address=address,
            params={"max_frame_size": 1 << 20, **params},
            error_handler=self.errors.append,
            on_message=self.on_message,
        )

    def on_message(self, payload: bytes, address: Any, timestamp: int) -> None:
        self.received.put(bytes(payload))
        for answer in self.answers.get(bytes(payload), ()):
            self.layer.send(answer)

    def take(self, count: int) -> list[bytes]:
        """The next messages: a single frame may still be on its way when its sender has ended."""
        return [self.received.get(timeout=PATIENCE) for _ in range(count)]

    def close(self) -> None:
        self.layer.stop()
        self.bus.shutdown()


def live_command(
    action: Callable[[], Any], words: str, *more: str | Path, opener: tuple[Any, str] | None = None
) -> Run:
    """Run a command, and do something as soon as it has opened its bus.

    `opener` is the object and the name of the function that does that; None: whatever opens an end or a bus.
    """
    listens = threading.Event()

    def act() -> None:
        assert listens.wait(PATIENCE), "the command opened no bus"
        action()

    def opened(original: Callable[..., Any]) -> Callable[..., Any]:
        def open_and_tell(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            listens.set()
            return result

        return open_and_tell

    classes = (ends.LayerEnd, ends.KernelEnd, wires.BusWire, wires.SocketWire)
    # One command may follow another: each has its own listener.
    with pytest.MonkeyPatch.context() as patches:
        for where, name in [opener] if opener else [(each, "__init__") for each in classes]:
            patches.setattr(where, name, opened(getattr(where, name)))
        thread = threading.Thread(target=act)
        thread.start()
        try:
            return isotp_command(words, *more)
        finally:
            thread.join(PATIENCE)


class LiveBus:
    """A virtual bus, and commands that work on it."""

    def __init__(self, channel: str) -> None:
        self.channel = channel

    def run(self, words: str, *more: str | Path, **how: Any) -> Run:
        """Run a command on it."""
        return isotp_command(words, *more, "-i", "virtual", "-c", self.channel, **how)

    def listening(self, action: Callable[[], Any], words: str, *more: str | Path) -> Run:
        """Run a command on it, and `action` while it listens."""
        return live_command(action, words, *more, "-i", "virtual", "-c", self.channel)

    def hearing(self, frames: Sequence[str], words: str, *more: str | Path, fd: bool = False) -> Run:
        """Run a command on it that hears these frames."""
        return self.listening(lambda: self.say(*frames, fd=fd), words, *more)

    def say(self, *frames: str, fd: bool = False) -> None:
        """Put frames as ``"7E0#0322F190"`` on it."""
        with can.Bus(interface="virtual", channel=self.channel) as bus:
            for frame in frames:
                can_id, _, data = frame.partition("#")
                bus.send(
                    can.Message(
                        arbitration_id=int(can_id, 16),
                        is_extended_id=len(can_id) == 8,
                        data=bytes.fromhex(data),
                        is_fd=fd,
                    )
                )

    @contextmanager
    def ecu(self, address: Any = ECU, **params: Any) -> Iterator[Ecu]:
        """An ECU that is there."""
        ecu = Ecu(self.channel, address, **params)
        ecu.layer.start()
        try:
            yield ecu
        finally:
            ecu.close()
