"""The native way to python-can's own SocketCAN bus: batches of frames to and from the descriptor of its socket.

The bus stays what it is to everybody else: its filters and its other options are those of the socket, and its own
`recv()` and `send()` work beside this.
"""

from __future__ import annotations

import os
import sys
import time
import weakref
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from isotp._core import FramePort, monotonic_ns
from isotp.bus.python_can import python_can

if TYPE_CHECKING:
    import can
    from can import Message

    from isotp._socketcan import CanSocket
    from isotp.testing._wire import End

__all__ = ["Native", "NativeBus", "native_bus"]

# Flags of linux/can.h, and of linux/can/error.h
_EXTENDED, _REMOTE, _ERROR = 0x8000_0000, 0x4000_0000, 0x2000_0000
_BITRATE_SWITCH, _ERROR_STATE, _IS_FD = 1, 2, 4


class NativeBus:
    """A bus of python-can's class `SocketcanBus`, by a descriptor of its own on the same socket.

    So a descriptor that python-can closes never becomes somebody else's file while a frame is read.
    """

    def __init__(self, bus: can.BusABC) -> None:
        # Few need it, and it takes long to import
        import socket

        from isotp._socketcan import CanSocket, SocketPort

        self.bus = bus
        self.channel: str = bus.channel  # type: ignore[attr-defined]
        self.can = CanSocket(self.channel, socket.socket(fileno=os.dup(bus.fileno())))
        self._port_class = SocketPort

    def __del__(self) -> None:
        if hasattr(self, "can"):
            self.can.close()

    def port(self) -> FramePort:
        """What sends the frames of one layer."""
        return self._port_class(self.can)

    def take_messages(self) -> list[can.Message]:
        """The frames that `can.wait()` found, as the bus itself would give them."""
        # Python-can's time stamps are of the wall clock.
        offset = time.time_ns() - monotonic_ns()
        message = python_can().Message
        return [
            message(
                timestamp=(when + offset) / 1e9,
                arbitration_id=identifier & (0x1FFF_FFFF if identifier & _EXTENDED else 0x7FF),
                is_extended_id=bool(identifier & _EXTENDED),
                is_rx=is_rx,
                is_remote_frame=bool(identifier & _REMOTE),
                is_error_frame=bool(identifier & _ERROR),
                channel=self.channel,
                dlc=len(data),
                data=None if identifier & _REMOTE else data,
                is_fd=bool(flags & _IS_FD),
                bitrate_switch=bool(flags & _BITRATE_SWITCH),
                error_state_indicator=bool(flags & _ERROR_STATE),
            )
            for when, identifier, data, flags, is_rx in self.can.take()
        ]


# By the identity of the bus, which lives as long as this.
_native: weakref.WeakValueDictionary[int, NativeBus] = weakref.WeakValueDictionary()


class Native(Protocol):
    """The native way to the frames of a bus: a descriptor, or what is as good."""

    @property
    def can(self) -> CanSocket | End: ...
    def port(self) -> FramePort: ...
    def take_messages(self) -> list[Message]: ...


@runtime_checkable
class HasNative(Protocol):
    """A bus of python-can that brings its own."""

    def isotp_native(self) -> Native: ...


def native_bus(bus: can.BusABC) -> Native | None:
    """The native way to a bus; None if there is none, because its class is another one or was changed.

    The environment variable ISOTP_NATIVE turns it off: `ISOTP_NATIVE=0`.
    """
    if os.environ.get("ISOTP_NATIVE") == "0":
        return None
    if isinstance(bus, HasNative):
        return bus.isotp_native()
    if sys.platform != "linux" or not _is_as_python_can_made_it(bus):
        return None
    native = _native.get(id(bus))
    if native is None:
        native = _native[id(bus)] = NativeBus(bus)
    return native


def _is_as_python_can_made_it(bus: can.BusABC) -> bool:
    module = sys.modules.get("can.interfaces.socketcan.socketcan")
    if module is None or type(bus) is not module.SocketcanBus or bus.fileno() < 0:
        return False
    # One without a channel is for all interfaces. Python-can filters what the kernel does not, frame by frame.
    if not bus.channel or not (bus._is_filtered or bus.filters is None):  # type: ignore[attr-defined]
        return False
    own = vars(bus)
    return "send" not in own and all(
        getattr(getattr(type(bus), name), "__module__", None) == where
        for name, where in (
            ("send", module.__name__),
            ("_recv_internal", module.__name__),
            ("recv", "can.bus"),
        )
    )
