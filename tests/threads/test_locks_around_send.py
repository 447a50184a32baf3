"""A lock that is held around send(), and that txfn takes: what can be done about it is that the log tells."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import isotp
from isotp import started
from tests.frames import HERE

PATIENCE = 10.0


class Told(logging.Handler):
    """What the log says, as it comes."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: queue.Queue[str] = queue.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.put(record.getMessage())


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    monkeypatch.setattr(started, "_LONGEST_CALL", 0.05)
    handler = Told()
    logging.getLogger("isotp").addHandler(handler)
    yield handler
    logging.getLogger("isotp").removeHandler(handler)


class Hardware:
    """Frames that go are noted under a lock; none come."""

    def __init__(self) -> None:
        self.lock: threading.Lock | threading.RLock = threading.Lock()  # type: ignore[valid-type]
        self.sent: queue.Queue[bytes] = queue.Queue()
        self.rested = threading.Semaphore(0)

    def read(self, timeout: float) -> None:
        threading.Event().wait(timeout)
        self.rested.release()

    def write(self, message: isotp.CanMessage) -> None:
        with self.lock:
            self.sent.put(message.data)


@contextmanager
def sending_with(hardware: Hardware) -> Iterator[threading.Thread]:
    """A thread that sends; it holds what it is told to hold for as long as its txfn waits."""
    layer = isotp.TransportLayer(hardware.read, hardware.write, HERE, read_timeout=0.01)
    layer.start()
    sender = threading.Thread(target=layer.send, args=(b"a",), name="the sender", daemon=True)
    sender.start()
    yield sender
    sender.join(PATIENCE)
    layer.stop()


def test_a_send_that_does_not_come_back_is_told_of_once(told: Told) -> None:
    hardware = Hardware()
    hardware.lock.acquire()
    with sending_with(hardware) as sender:
        text = told.texts.get(timeout=PATIENCE)
        assert "has not returned for 0.05 s on thread the sender" in text
        assert "docs/threads.md" in text
        for _ in range(20):
            assert hardware.rested.acquire(timeout=PATIENCE)
        assert told.texts.empty()
        assert sender.is_alive()
        hardware.lock.release()
        assert hardware.sent.get(timeout=PATIENCE) == b"\x01a"
    assert not sender.is_alive()


def test_a_lock_that_its_holder_may_take_again(told: Told) -> None:
    hardware = Hardware()
    hardware.lock = threading.RLock()
    layer = isotp.TransportLayer(hardware.read, hardware.write, HERE, read_timeout=0.01)
    layer.start()
    with hardware.lock:
        layer.send(b"a")
    layer.stop()
    assert hardware.sent.get(timeout=PATIENCE) == b"\x01a"
    assert told.texts.empty()
