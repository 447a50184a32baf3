"""Raw CAN sockets, where the system has them: Linux."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from isotp._core import FramePort

if TYPE_CHECKING or sys.platform == "linux":
    from isotp._socketcan import CanSocket, SocketPort

__all__ = ["open_can_socket", "port_on"]


def open_can_socket(interface: str) -> CanSocket:
    """A raw CAN socket on `interface`.

    :raises NotImplementedError: on other systems than Linux.
    :raises OSError: if there is no such interface, or no CAN in this kernel.
    """
    if sys.platform != "linux":
        raise NotImplementedError(
            "raw CAN sockets exist on Linux only; isotp.CanStack works on every system, over python-can"
        )
    return CanSocket(interface)


def port_on(can_socket: CanSocket) -> FramePort:
    """What sends the frames of one layer on a socket."""
    return SocketPort(can_socket)
