"""The transport layer straight on a raw CAN socket of Linux, without python-can."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from isotp.bus.can_sockets import open_can_socket, port_on
from isotp.bus.table import Listener, receive_identifiers, sent_identifiers

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from isotp.layers import LayerKeywords

__all__ = ["SocketCanStack", "open_can_socket", "port_on", "receive_identifiers"]

# Nothing but a frame, a deadline or a wake-up ends the wait: there is no polling.
_LONGEST_WAIT = 3600.0
# The layer stops waiting for frames this long before a consecutive frame is due, in seconds.
_WAITED_PRECISELY = 0.0002


class SocketCanStack(Listener):
    """The transport layer on a CAN interface of Linux, by a raw socket of its own.

    The kernel filters frames for exactly the address of the layer, many frames are read and sent with one system
    call, and time-outs count from the kernel's time stamps. If the interface's queue is full, the stack waits for
    room (N_As).

    :param interface: name of the CAN interface, such as `can0`.

    All other parameters are those of :class:`isotp.TransportLayer`, by name, except rxfn and txfn. Close it after
    use, or use it as a context manager.

    :raises NotImplementedError: on other systems than Linux.
    :raises OSError: if there is no such interface, or no CAN in this kernel.
    """

    def __init__(self, interface: str, **kwargs: Unpack[LayerKeywords]) -> None:
        self.interface = interface
        self._addressing = threading.Lock()
        self._closed = False
        self._can = open_can_socket(interface)
        try:
            super().__init__(rxfn=self._can.receive, txfn=self._can.send, **kwargs)
        except BaseException:
            self._can.close()
            raise
        self._port = port_on(self._can)

    def _addresses_changed(self) -> None:
        if self.tx_confirmation:
            self._can.hear_echoes()
        # A user's class of address may take frames with any identifier.
        identifiers = (*receive_identifiers(self.receive_addresses), *sent_identifiers(self))
        self._can.set_filters(None if self._asks_address else identifiers)

    def start(self) -> Self:
        """Let the layer work on its own.

        :returns: the layer, for `with layer.start():`, which closes it at its end.
        :raises RuntimeError: if it was started already.
        :raises OSError: if it was closed.
        """
        return super().start()

    def fileno(self) -> int:
        """Descriptor of the socket, to wait for frames with `select` and the like when the layer is polled."""
        return self._can.fileno()

    def close(self) -> None:
        """Stop, and close the socket."""
        with self._life:
            self._closed = True  # nobody starts it between the two
        self.stop()
        self._can.close()

    def __exit__(self, *exc: object) -> None:
        """Stop, and close the socket."""
        self.close()

    def _drive_from_now_on(self) -> None:
        self._can.clock = self.clock
        # The socket keeps every time-out: no deadline needs a guard.
        self._set_driven(True, self._wake_at, None)

    def _end_in_child(self) -> None:
        self._can.forget_threads()
        super()._end_in_child()

    def _wake_at(self, deadline_ns: int) -> None:
        self._set_wake(deadline_ns)
        self._can.wake()

    # If a reader stays in a callback, the frames of its batch still need handling, in the memory of the next batch.
    _leaves_readers_behind = False

    def _start_reading(self) -> None:
        if self._closed:
            raise OSError(errno.EBADF, f"the socket on {self.interface} was closed")
        super()._start_reading()

    def _stop_reading(self) -> Callable[[], object] | None:
        self._can.wake()
        return super()._stop_reading()

    def _read_once(self, stop_requested: threading.Event) -> None:
        timeout = self._plan_wait(_LONGEST_WAIT)
        if self.is_tx_transmitting_cf():
            timeout = max(0.0, timeout - _WAITED_PRECISELY)
        if self._can.receive_for(self, timeout) == 0:
            delay_ns = self._frame_delay_ns()
            if delay_ns is not None and delay_ns <= _WAITED_PRECISELY * 1e9:
                self._wait_for_frame_time(delay_ns)
            self._drive()
