"""The buses of python-can: what is one, and sending on it.

python-can is imported at its first use: it takes long, and not everybody needs it.
"""

from __future__ import annotations

import errno
import functools
import importlib
import re
import threading
from types import ModuleType
from typing import TYPE_CHECKING

from isotp._core import CanMessage, TryAgain
from isotp.layers import TxFn

if TYPE_CHECKING:
    import can

__all__ = [
    "BusOwner",
    "Sender",
    "check_bus",
    "descriptor_of",
    "python_can",
    "require_echoes",
    "send_on_bus",
    "sender_for",
]

# "Transmit buffer full" (python-can), "XL_ERR_QUEUE_IS_FULL" (Vector), "The transmit queue is full" (PCAN, IXXAT),
# "Transmit buffer overflow" (Kvaser), "a CAN message did not fit into the transmit buffer" (Systec)
_NO_ROOM = re.compile(
    r"(?<![a-z])full(?![a-z])|transmit buffer overflow|did not fit into the transmit buffer", re.IGNORECASE
)


def python_can() -> ModuleType:
    """The module `can`.

    :raises RuntimeError: if it is not installed.
    """
    try:
        return importlib.import_module("can")
    except ImportError as error:
        raise RuntimeError("python-can is not installed: pip install 'can-isotp-cython[can]'") from error


class BusOwner:
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


def _says_queue_is_full(error: BaseException) -> bool:
    """Whether a driver has no room for a frame now. Each says it in its own words, some only in the `__cause__`."""
    code, cause = getattr(error, "error_code", None), error.__cause__
    # SocketCAN reports ENOBUFS; usb2can one of its own codes, by its name: FIFO_FULL, TRM_FULL.
    if code == errno.ENOBUFS or _NO_ROOM.search(f"{error} {getattr(code, 'name', '')}"):
        return True
    # gs_usb: if an adapter takes no more, the transfer times out.
    return cause is not None and (
        getattr(cause, "errno", None) == errno.ETIMEDOUT or _says_queue_is_full(cause)
    )


def sender_for(owner: BusOwner) -> TxFn:
    """A txfn that sends on the bus that the owner has at the time."""

    def send(msg: CanMessage) -> None:
        send_on_bus(owner.bus, msg)

    return send


def check_bus(bus: can.BusABC) -> None:
    """ValueError if it is not a python-can bus, RuntimeError if there is no python-can."""
    bus_class: type[can.BusABC] = python_can().BusABC
    if not isinstance(bus, bus_class):
        raise ValueError(f"bus must be a python-can bus, not {bus!r}")


# Buses of python-can that mark sent frames as received, or never give them back.
_WITHOUT_ECHOES = frozenset({"ixxat", "serial", "slcan", "socketcand", "systec", "udp_multicast", "usb2can"})


def require_echoes(bus: can.BusABC) -> None:
    """ValueError if it is known that a bus does not give back, marked as such, what it has sent."""
    interface = type(bus).__module__.removeprefix("can.interfaces.").partition(".")[0]
    if interface in _WITHOUT_ECHOES:
        raise ValueError(
            f"tx_confirmation: python-can's {interface} does not tell frames that were sent from those received"
        )
    gives = getattr(bus, "receive_own_messages", getattr(bus, "_receive_own_messages", True))
    if interface == "socketcan":
        import socket

        gives = bus.socket.getsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_RECV_OWN_MSGS)  # type: ignore[attr-defined]
    if not gives:
        raise ValueError(
            f"tx_confirmation needs a bus that gives back what it has sent: open {bus} with receive_own_messages=True"
        )


def descriptor_of(bus: can.BusABC) -> int:
    """File descriptor that tells of received frames; -1 if the bus has none."""
    try:
        return int(bus.fileno())
    except NotImplementedError:
        return -1


class Sender:
    """Sends frames of many sessions on one python-can bus, one after the other: few buses can do it at once."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()

    def send(self, bus: can.BusABC, message: CanMessage) -> None:
        with self._one_at_a_time:
            send_on_bus(bus, message)
