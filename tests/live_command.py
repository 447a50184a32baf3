"""Runs commands of `isotp` that work on a bus, with somebody at the other end of python-can's virtual bus."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import isotp
from tests.command import Run, isotp_command

can = pytest.importorskip("can", reason="buses other than SocketCAN need python-can")

# Seconds, far beyond what any step takes: only a failing test waits so long.
PATIENCE = 30.0
ECU = isotp.Address(txid=0x7E8, rxid=0x7E0)


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


@contextmanager
def ecu_on(channel: str, address: Any = ECU, **params: Any) -> Iterator[Ecu]:
    """An ECU that is there."""
    ecu = Ecu(channel, address, **params)
    ecu.layer.start()
    try:
        yield ecu
    finally:
        ecu.close()


def bus_options(channel: str) -> list[str]:
    return ["-i", "virtual", "-c", channel]


def when_listening(
    monkeypatch: pytest.MonkeyPatch, action: Callable[[], Any], opener: tuple[Any, str] | None = None
) -> threading.Thread:
    """Have a thread do something as soon as the command has opened its bus; join() it in the end.

    `opener` is the object and the name of the function that does that; None: whatever opens an end or a bus.
    """
    # Here: tests.command skips where the command is not installed.
    from isotp.cli import ends, wires

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
    for where, name in [opener] if opener else [(each, "__init__") for each in classes]:
        monkeypatch.setattr(where, name, opened(getattr(where, name)))
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def live_command(
    monkeypatch: pytest.MonkeyPatch,
    action: Callable[[], Any],
    *arguments: str | Path,
    opener: tuple[Any, str] | None = None,
) -> Run:
    """Run a command, and `action` while it listens."""
    # One command may follow another: each has its own listener.
    with monkeypatch.context() as patches:
        thread = when_listening(patches, action, opener)
        try:
            return isotp_command(*arguments)
        finally:
            thread.join(PATIENCE)


def say(channel: str, *frames: str, fd: bool = False) -> None:
    """Put frames as ``"7E0#0322F190"`` on the bus."""
    with can.Bus(interface="virtual", channel=channel) as bus:
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
