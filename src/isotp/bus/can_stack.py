"""The layer on a python-can bus, which it may share with any number of others."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from isotp._core import CanMessage, SendRequest
from isotp.bus.python_can import BusOwner, require_echoes
from isotp.bus.shared import shared_bus
from isotp.bus.table import Listener, Mailbox
from isotp.errors import FramesLostError
from isotp.layers import require_seconds
from isotp.overridden import own_method
from isotp.threads.courier import Courier

if TYPE_CHECKING:
    import can
    from typing_extensions import Unpack

    from isotp.layers import LayerKeywords

__all__ = ["CanStack"]


class CanStack(Listener, BusOwner):
    """The transport layer on a python-can bus.

    Any number of stacks, hubs and layers of `isotp.aio` may use one bus, together with a `can.Notifier` and other
    readers: one thread reads the bus for all of them, and each frame goes to everyone it is for. A started stack that
    shares its bus calls `on_message` and `error_handler` on threads of the package, so no other user has to wait.

    :param bus: `can.BusABC`.
    :param timeout: seconds that one read of the bus waits when the layer is polled with process().
    :param native: read and send by the compiled driver if `bus` is python-can's own SocketCAN bus. False: by
        python-can, which then reads for all on the bus; the environment variable `ISOTP_NATIVE=0` does so everywhere.

    All other parameters are those of :class:`TransportLayer`, by name, except rxfn and txfn. `tx_confirmation` needs
    a bus that gives back what it has sent: `receive_own_messages=True`.

    :raises RuntimeError: if python-can is not installed.
    :raises ValueError: if `bus` is not a python-can bus, or gives no echoes but `tx_confirmation` needs them.
    """

    def __init__(
        self, bus: can.BusABC, timeout: float = 0.0, *, native: bool = True, **kwargs: Unpack[LayerKeywords]
    ) -> None:
        self._shared = shared_bus(bus)
        self._bus = bus
        self._may_be_native = native
        if kwargs.get("tx_confirmation"):
            require_echoes(bus)
        self._is_read_for = False
        if not native:
            self._shared.use_python_can()
        self._mailbox = Mailbox(self)
        require_seconds("timeout", timeout, "; address and all else go by name")
        self._polling_timeout = timeout
        super().__init__(
            rxfn=own_method(self, ("rx_canbus", "_rx_canbus"), vars(CanStack)) or self.rx_canbus,
            txfn=own_method(self, ("tx_canbus", "_tx_canbus_3plus"), vars(CanStack)) or self.tx_canbus,
            **kwargs,
        )
        self._choose_port()
        self._shared.add(self._mailbox)

    def _choose_port(self) -> None:
        """Send natively where that is possible, unless a txfn of the user's is to be called."""
        if getattr(self.txfn, "__func__", None) is CanStack.tx_canbus:
            native = self._shared.native
            self._port = None if native is None else native.port()

    @property
    def is_native(self) -> bool:
        """Whether frames go to and from the socket of python-can's SocketCAN bus by the compiled driver."""
        return self._shared.native is not None

    def __repr__(self) -> str:
        way = "natively" if self.is_native else "by python-can"
        return f"{super().__repr__()[:-1]}, {way} on {self._bus}>"

    @property
    def bus(self) -> can.BusABC:
        """The bus that the layer works on."""
        return self._bus

    @bus.setter
    def bus(self, bus: can.BusABC) -> None:
        self.set_bus(bus)

    def set_bus(self, bus: can.BusABC) -> None:
        """Work on another bus.

        :raises ValueError: if it is not a python-can bus.
        """
        shared = shared_bus(bus)
        if self.tx_confirmation:
            require_echoes(bus)
        if not self._may_be_native:
            shared.use_python_can()
        with self._life:
            before, self._shared = self._shared, shared
            self._bus = bus
            self._choose_port()
            if shared is before:
                return
            is_user = self.started and self._is_read_for
            if is_user:
                shared.add_user(self._mailbox, self.default_read_timeout)
                self.main_thread = shared.thread
            shared.add(self._mailbox)
            before.remove(self._mailbox)
            before.remove_user(self._mailbox)

    @property
    def timeout(self) -> float:
        """Seconds that one read of the bus waits when the layer is polled with process()."""
        return self._polling_timeout

    @timeout.setter
    def timeout(self, timeout: float) -> None:
        require_seconds("timeout", timeout)
        self._polling_timeout = timeout

    @property
    def _addressing(self) -> AbstractContextManager[object]:  # type: ignore[override]
        return self._shared.changing

    def _addresses_changed(self) -> None:
        self._mailbox.show(self)
        self._shared.readdress(self._mailbox)

    @property
    def _is_own_way(self) -> bool:
        """Whether the user has the started layer call functions of his own, which a thread of its own then does."""
        rxfn = getattr(self.rxfn, "__func__", None)
        return rxfn is not CanStack.rx_canbus or self.params.wait_func is not time.sleep

    def _new_courier(self) -> Courier | None:
        return Courier(self._report_callback_error)

    def _first_courier(self) -> None:
        """As long as the stack is alone on its bus, callbacks may keep who reads it."""

    def _share_reader(self) -> None:
        # No callback must hold up the others; callbacks that wait come before the ones that follow.
        self._set_courier(self._courier)

    def _end_in_child(self) -> None:
        self._shared.end_in_child()
        super()._end_in_child()
        self._mailbox.keep()

    def _drive_from_now_on(self) -> None:
        # Look it up each time: after a fork it is another queue.
        self.rx_queue.on_arrival = self._on_message_queued
        super()._drive_from_now_on()
        self._is_read_for = not self._is_own_way
        if self._is_read_for:
            self._mailbox.forward(self)
            self._shared.changed()

    def _start_reading(self) -> None:
        self._shared.add(self._mailbox)
        if not self._is_read_for:
            super()._start_reading()
            return
        self._shared.add_user(self._mailbox, self.default_read_timeout)
        self.main_thread = self._shared.thread

    def _stop_reading(self) -> Callable[[], object] | None:
        # A stopped layer hears nothing until it is polled.
        self._shared.remove(self._mailbox)
        self._mailbox.keep()
        self._shared.changed()
        if not self._is_read_for:
            return super()._stop_reading()
        self.main_thread = None
        return self._shared.remove_user(self._mailbox)

    def _read_meanwhile(self, timeout: float | None, breaks: int | None) -> float | None:
        if not self.started or not self._is_read_for or self.available():
            return timeout
        return self._lead(
            self._has_news if breaks is None else lambda: self._has_news() or self._breaks != breaks, timeout
        )

    def _on_message_queued(self) -> None:
        self._shared.follow()

    def _has_news(self) -> bool:
        return self.available() or not self.started

    def _wait_done(self, request: SendRequest, timeout: float | None) -> bool:
        event = request.complete_event
        if not event.is_set() and self.started and self._is_read_for:
            request._tell_also(self._shared.follow)
            timeout = self._lead(lambda: event.is_set() or not self.started, timeout)
        return event.wait(timeout)

    def _lead(self, is_over: Callable[[], bool], timeout: float | None) -> float | None:
        """Read the bus on this thread meanwhile, where that is possible; what is left of the time-out."""
        if timeout is not None and not timeout > 0:
            return timeout
        began = time.monotonic()
        self._shared.lead(is_over, timeout)
        return None if timeout is None else max(0.0, timeout - (time.monotonic() - began))

    def rx_canbus(self, timeout: float = 0.0) -> CanMessage | None:
        """The next data frame on the bus; other layers on it still get their frames."""
        if not self.started:
            timeout = timeout or self._polling_timeout
        self._shared.add(self._mailbox)
        if lost := self._mailbox.newly_lost():
            self.trigger_error(
                FramesLostError(f"{lost} received frames were lost: too many waited for process()")
            )
        return self._shared.read_for(self._mailbox, timeout)

    def tx_canbus(self, msg: CanMessage) -> None:
        """Send a frame on the bus."""
        self._shared.sender.send(self._bus, msg)

    # Names of the second and the first generation, for subclasses that override them
    _rx_canbus = rx_canbus
    _tx_canbus_3plus = tx_canbus
