"""What python-can's Notifier reads: its listeners, and the layer that is one of them."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from isotp._core import CanMessage, frame_from_python_can
from isotp.bus.native import native_bus
from isotp.bus.python_can import BusOwner, check_bus, python_can, require_echoes, sender_for
from isotp.errors import FramesLostError
from isotp.overridden import own_method
from isotp.started import TransportLayer
from isotp.threads.courier import Courier

if TYPE_CHECKING:
    import can
    from typing_extensions import Unpack

    from isotp.layers import LayerKeywords

__all__ = ["NotifierBasedCanStack", "add_listener", "check_notifier", "remove_listener"]

# Frames that wait for a user's own _rx_canbus().
_MOST_WAITING = 65536


def check_notifier(notifier: can.Notifier) -> None:
    """ValueError if it is none, RuntimeError if there is no python-can."""
    if not isinstance(notifier, python_can().Notifier):
        raise ValueError(f"notifier must be a can.Notifier, not {notifier!r}")


_changing_listeners = threading.Lock()


class _Listeners(list[Any]):
    """Listeners that can be removed amid a frame: who goes through them sees those that there were when he began."""

    def __iter__(self) -> Iterator[Any]:
        return iter(self[:])


def _let_nobody_miss_a_frame(notifier: can.Notifier) -> None:
    """Its remove_listener() shortens the list that its thread goes through, which would skip the next listener."""
    listeners = getattr(notifier, "listeners", None)
    if type(listeners) is list:
        lasting = _Listeners(listeners)
        seen = len(lasting)
        notifier.listeners = lasting
        # Others that the user added meanwhile
        lasting.extend(listeners[seen:])


def add_listener(notifier: can.Notifier, listener: Callable[[can.Message], None]) -> None:
    """Add a listener by the notifier's own method."""
    with _changing_listeners:
        _let_nobody_miss_a_frame(notifier)
        notifier.add_listener(listener)


def remove_listener(notifier: can.Notifier, listener: Callable[[can.Message], None]) -> None:
    """Remove a listener by the notifier's own method; it may be amid a frame, or have lost the listener already."""
    with _changing_listeners:
        _let_nobody_miss_a_frame(notifier)
        try:
            notifier.remove_listener(listener)
        except ValueError:
            if listener in getattr(notifier, "listeners", ()):
                raise


def _new_lock_in_child() -> None:
    global _changing_listeners
    _changing_listeners = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock_in_child)


class NotifierBasedCanStack(TransportLayer, BusOwner):
    """The transport layer on a python-can bus that a `can.Notifier` reads; needs no thread of its own.

    A started stack calls `on_message` and `error_handler` on threads of the package, so neither the notifier nor
    another stack has to wait for them.

    :param bus: `can.BusABC` to send on.
    :param notifier: `can.Notifier` that reads the bus.
    :param native: send by the compiled driver if `bus` is python-can's own SocketCAN bus. False, or the environment
        variable `ISOTP_NATIVE=0`: by python-can.

    All other parameters are those of :class:`TransportLayer`, by name, except rxfn and txfn. Receives only after
    :meth:`start`.

    :raises RuntimeError: if python-can is not installed.
    :raises ValueError: if `bus` is not a python-can bus or `notifier` not a notifier, or if the bus gives no echoes
        but `tx_confirmation` needs them.
    """

    bus: can.BusABC
    notifier: can.Notifier

    def __init__(
        self, bus: can.BusABC, notifier: can.Notifier, *, native: bool = True, **kwargs: Unpack[LayerKeywords]
    ) -> None:
        check_bus(bus)
        if kwargs.get("tx_confirmation"):
            require_echoes(bus)
        self.bus = bus
        check_notifier(notifier)
        self.notifier = notifier
        self.buffered_reader: Callable[[can.Message], None] | None = None
        rxfn = own_method(self, ("_rx_canbus",), vars(NotifierBasedCanStack))
        self._frames: queue.Queue[CanMessage] | None = None if rxfn is None else queue.Queue(_MOST_WAITING)
        super().__init__(rxfn=rxfn or self._rx_canbus, txfn=sender_for(self), **kwargs)
        self._native = native_bus(bus) if native else None
        if self._native is not None:
            self._port = self._native.port()

    @property
    def is_native(self) -> bool:
        """Whether frames go to the socket of python-can's SocketCAN bus by the compiled driver."""
        return self._native is not None

    def __repr__(self) -> str:
        way = "natively" if self.is_native else "by python-can"
        return f"{super().__repr__()[:-1]}, sends {way} on {self.bus}>"

    def _rx_canbus(self, timeout: float = 0.0) -> CanMessage | None:
        """The next frame that the notifier brought, for a class that overrides this: a thread of its own then calls it.

        For other classes the notifier's thread handles the frames; before start, nobody brings any.
        """
        if self._frames is None:
            return None
        try:
            return self._frames.get(timeout=timeout) if timeout > 0 else self._frames.get_nowait()
        except queue.Empty:
            return None

    def _new_courier(self) -> Courier | None:
        return Courier(self._report_callback_error)

    def _end_in_child(self) -> None:
        super()._end_in_child()
        self.buffered_reader = None  # the notifier's thread is gone as well

    def _drive_from_now_on(self) -> None:
        # In this order: a layer that works must not miss a frame between others, or it might join those.
        self.buffered_reader = self._on_message_received
        add_listener(self.notifier, self.buffered_reader)
        super()._drive_from_now_on()

    def _start_reading(self) -> None:
        # Otherwise the notifier reads.
        if self._frames is not None:
            super()._start_reading()

    def _stop_reading(self) -> Callable[[], object] | None:
        reader, self.buffered_reader = self.buffered_reader, None
        if reader is not None:
            remove_listener(self.notifier, reader)
        return super()._stop_reading()

    def _on_message_received(self, msg: can.Message) -> None:
        message = frame_from_python_can(msg)
        if message is None:
            return
        if self._frames is None:
            self._feed(message)
            return
        try:
            self._frames.put_nowait(message)
        except queue.Full:
            self.trigger_error(
                FramesLostError(f"a received frame was lost: {_MOST_WAITING} wait for rx_canbus()")
            )
