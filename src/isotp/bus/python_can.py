"""The buses of python-can: what is one, sending on it, and the layer that reads it by itself.

python-can is imported at its first use: it takes long, and not everybody needs it.
"""

from __future__ import annotations

import errno
import functools
import importlib
import re
import select
import threading
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from isotp._core import CanMessage, TryAgain, frame_from_python_can
from isotp.bus.doorbell import Doorbell
from isotp.layers import TxFn, require_seconds
from isotp.started import TransportLayer

if TYPE_CHECKING:
    import can

__all__ = ["BusOwner", "CanStack", "check_bus", "descriptor_of", "python_can", "send_on_bus", "sender_for"]

_FULL = re.compile(r"(?<![a-z])full(?![a-z])", re.IGNORECASE)
# Seconds to wait for a frame where a doorbell ends the wait.
_NO_POLLING = 3600.0


def python_can() -> ModuleType:
    """The module `can`.

    :raises RuntimeError: if it is not installed.
    """
    try:
        return importlib.import_module("can")
    except ImportError as error:
        raise RuntimeError("python-can is not installed: pip install 'can-isotp-cython[can]'") from error


class BusOwner(Protocol):
    """Whatever has a python-can bus."""

    bus: can.BusABC


def send_on_bus(bus: can.BusABC, msg: CanMessage) -> None:
    """Send a frame on a python-can bus; does not wait.

    :raises can.CanError: if the bus refuses the frame.
    :raises isotp._core.TryAgain: if the transmit queue of its driver is full; a layer then does.
    """
    # By position, which is quicker than by name: this is done for each frame.
    message = _outgoing_class()(
        0.0,
        msg.arbitration_id,
        msg.is_extended_id,
        False,
        False,
        None,
        None,
        msg.data,
        msg.is_fd,
        True,
        msg.bitrate_switch,
    )
    try:
        bus.send(message)
    except python_can().CanError as error:
        if not _says_queue_is_full(error):
            raise
        raise TryAgain(str(error)) from error


@functools.cache
def _outgoing_class() -> type[can.Message]:
    # Imported when the first frame is sent, as python-can is.
    from isotp.bus.outgoing import OutgoingMessage

    return OutgoingMessage


def _says_queue_is_full(error: can.CanError) -> bool:
    # SocketCAN reports ENOBUFS; other drivers only have a text, as "Transmit buffer full", "XL_ERR_QUEUE_IS_FULL".
    return error.error_code == errno.ENOBUFS or _FULL.search(str(error)) is not None


def sender_for(owner: BusOwner) -> TxFn:
    """A txfn that sends on the bus that the owner has at the time."""

    def send(msg: CanMessage) -> None:
        send_on_bus(owner.bus, msg)

    return send


def check_bus(bus: can.BusABC) -> None:
    """ValueError if it is no python-can bus, RuntimeError if there is no python-can."""
    bus_class: type[can.BusABC] = python_can().BusABC
    if not isinstance(bus, bus_class):
        raise ValueError(f"bus must be a python-can bus, not {bus!r}")


def descriptor_of(bus: can.BusABC) -> int:
    """File descriptor that tells of received frames; -1 if the bus has none."""
    try:
        return int(bus.fileno())
    except NotImplementedError:
        return -1


class _Plan(threading.local):
    """What a thread planned its next read of a bus with."""

    doorbell: Doorbell | None = None


class CanStack(TransportLayer):
    """The transport layer on a python-can bus.

    :param bus: `can.BusABC`.
    :param timeout: seconds that one read of the bus waits when the layer is polled with process().

    All other parameters are those of :class:`TransportLayer`, by name, but for rxfn and txfn.

    :raises RuntimeError: if python-can is not installed.
    :raises ValueError: if `bus` is no python-can bus.
    """

    bus: can.BusABC

    # Error and remote frames that one read passes over before it gives others a turn.
    _PASSED_OVER_AT_ONCE = 1000

    def __init__(self, bus: can.BusABC, timeout: float = 0.0, **kwargs: Any) -> None:
        self._doorbell: Doorbell | None = None
        self._plan = _Plan()
        self.set_bus(bus)
        require_seconds("timeout", timeout, "; address and all else go by name")
        self._polling_timeout = timeout
        super().__init__(rxfn=self.rx_canbus, txfn=self.tx_canbus, **kwargs)

    def set_bus(self, bus: can.BusABC) -> None:
        """Work on another bus.

        :raises ValueError: if it is no python-can bus.
        """
        check_bus(bus)
        self.bus = bus
        if self._doorbell is not None:
            self._watch(self.bus)

    def _watch(self, bus: can.BusABC | None) -> None:
        """Have the reader wait for this bus from now on."""
        descriptor = -1 if bus is None else descriptor_of(bus)
        # What a driver does without a descriptor can not be interrupted: it is asked for a while at a time.
        watched = Doorbell(descriptor) if descriptor >= 0 and hasattr(select, "poll") else None
        before, self._doorbell = self._doorbell, watched
        if before is not None:
            before.ring()

    def _start_reading(self) -> None:
        self._watch(self.bus)
        super()._start_reading()

    def _stop_reading(self) -> Callable[[], object] | None:
        self._watch(None)
        return super()._stop_reading()

    def _end_in_child(self) -> None:
        super()._end_in_child()
        self._doorbell = None

    def _longest_read(self) -> float:
        self._plan.doorbell = self._doorbell
        return self.default_read_timeout if self._doorbell is None else _NO_POLLING

    def rx_canbus(self, timeout: float = 0.0) -> CanMessage | None:
        """The next data frame on the bus."""
        if not self.started:
            timeout = timeout or self._polling_timeout
        # The one that the reader planned its time-out with: stop() or another bus may have taken it away since.
        doorbell = self._plan.doorbell
        if doorbell is None or timeout == 0:
            return self._read_bus(timeout)
        # What a driver has read ahead does not make its descriptor readable.
        message = self._read_bus(0.0)
        if message is None:
            doorbell.wait(timeout)
            message = self._read_bus(0.0)
        return message

    def _read_bus(self, timeout: float) -> CanMessage | None:
        for _ in range(self._PASSED_OVER_AT_ONCE):
            received = self.bus.recv(timeout)
            if received is None:
                return None
            message = frame_from_python_can(received)
            if message is not None:
                return message
        return None

    def tx_canbus(self, msg: CanMessage) -> None:
        """Send a frame on the bus."""
        send_on_bus(self.bus, msg)
