"""What python-can's drivers say when their transmit queue is full: a layer tries again, up to N_As."""

from __future__ import annotations

import enum
import errno
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import isotp

can = pytest.importorskip("can")
virtual = pytest.importorskip("can.interfaces.virtual")

HERE = isotp.Address(txid=0x456, rxid=0x123)


class Refusing(virtual.VirtualBus):
    """Refuses the first frames with the errors that it is given."""

    def __init__(self, channel: str) -> None:
        super().__init__(channel=channel)
        self.refusals: list[Exception] = []

    def send(self, msg: Any, timeout: float | None = None) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        super().send(msg, timeout)


def from_cause(cause: BaseException, *args: Any) -> Exception:
    """python-can's error, raised from that of a library below it."""
    error: Exception = can.CanOperationError(*args)
    error.__cause__ = cause
    return error


def vector() -> Exception:
    exceptions = pytest.importorskip("can.interfaces.vector.exceptions")
    error: Exception = exceptions.VectorOperationError(11, "XL_ERR_QUEUE_IS_FULL", "xlCanTransmit")
    return error


class CanalError(enum.IntEnum):
    """As that of usb2can, which needs a library of Windows."""

    FIFO_FULL = 9
    TRM_FULL = 21


# Where a driver cannot be imported without its library, its words as python-can's source has them.
FULL: dict[str, Callable[[], Exception]] = {
    "socketcan": lambda: can.CanOperationError(
        "Failed to transmit: No buffer space available", errno.ENOBUFS
    ),
    "socketcan, by select": lambda: can.CanOperationError("Transmit buffer full"),
    "kvaser": lambda: can.CanOperationError("Function canWrite failed - Transmit buffer overflow", -13),
    "vector": vector,
    "pcan, controller": lambda: can.CanOperationError(
        "Failed to send: The transmit buffer in CAN controller is full"
    ),
    "pcan, queue": lambda: can.CanOperationError("Failed to send: The transmit queue is full"),
    "systec": lambda: from_cause(
        can.CanError("Function UcanWriteCanMsgEx: a CAN message did not fit into the transmit buffer", 0x0B)
    ),
    "ixxat": lambda: can.CanOperationError(
        "function canChannelPostMessage failed (The transmit FIFO is full)"
    ),
    "gs_usb": lambda: from_cause(
        OSError(errno.ETIMEDOUT, "Operation timed out"), "The message could not be sent"
    ),
    "neousys": lambda: can.CanOperationError("Neousys message Queue is full"),
    "usb2can": lambda: can.CanOperationError("could not send message", error_code=CanalError.FIFO_FULL),
    "usb2can, transmitter": lambda: can.CanOperationError(
        "could not send message", error_code=CanalError.TRM_FULL
    ),
}

# What is no matter of waiting
OTHER: dict[str, Callable[[], Exception]] = {
    "bus off": lambda: can.CanOperationError("Controller is in BUSOFF state"),
    "unplugged": lambda: from_cause(OSError(errno.ENODEV, "No such device"), "The message could not be sent"),
    "a word with full in it": lambda: can.CanOperationError("Not successfully sent"),
    "receive queue": lambda: can.CanOperationError("Receive queue overrun"),
}


@pytest.fixture
def bus(request: pytest.FixtureRequest) -> Iterator[Refusing]:
    with Refusing(request.node.nodeid) as opened:
        yield opened


@pytest.mark.parametrize("make_error", FULL.values(), ids=FULL)
def test_a_full_queue(bus: Refusing, make_error: Callable[[], Exception]) -> None:
    stack = isotp.CanStack(bus, address=HERE)
    now = [0]
    stack.clock = lambda: now[0]
    bus.refusals = [make_error(), make_error()]
    stack.send(b"data")
    while stack.transmitting():
        stack.process()
        now[0] += 1_000_000
        assert now[0] < 100_000_000
    assert bus.refusals == []
    assert stack.stats.messages_sent == 1
    assert stack.last_error is None


@pytest.mark.parametrize("make_error", OTHER.values(), ids=OTHER)
def test_other_errors_end_the_message(bus: Refusing, make_error: Callable[[], Exception]) -> None:
    stack = isotp.CanStack(bus, address=HERE)
    bus.refusals = [make_error()]
    stack.send(b"data")
    with pytest.raises(can.CanOperationError):
        stack.process()
    assert not stack.transmitting()
