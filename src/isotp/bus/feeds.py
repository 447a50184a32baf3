"""What brings the frames of a bus to the sessions of a hub: a raw socket, a python-can bus, or a notifier."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from isotp.bus.can_sockets import open_can_socket, port_on
from isotp.bus.feed import Audience, ThreadedFeed
from isotp.bus.notifier import add_listener, check_notifier, remove_listener
from isotp.bus.python_can import Sender, check_bus, require_echoes
from isotp.bus.shared import Layers, shared_bus
from isotp.bus.table import Listener, Table, layers_of
from isotp.started import TransportLayer

if TYPE_CHECKING:
    import can

__all__ = ["BusFeed", "NotifierFeed", "SocketFeed"]

# How long a read of a python-can bus may keep its thread from stopping, in seconds.
_BUS_READ_TIMEOUT = 0.2
_SOCKET_READ_TIMEOUT = 3600.0


class SocketFeed(ThreadedFeed):
    """A CAN interface of Linux, by a raw socket."""

    def __init__(self, interface: str) -> None:
        super().__init__()
        self._can = open_can_socket(interface)

    def close(self) -> None:
        self._can.close()

    def listen_for(self, table: Table[Listener]) -> None:
        self._can.set_filters(None if table.asked else (*table.by_identifier, *table.senders))

    def connect(self, session: TransportLayer) -> None:
        if session.tx_confirmation:
            self._can.hear_echoes()
        session.txfn = self._can.send
        session._port = port_on(self._can)

    def end_in_child(self) -> None:
        super().end_in_child()
        self._can.forget_threads()

    def _wake(self) -> None:
        self._can.wake()

    def _read(self, audience: Audience) -> None:
        if self._can.wait(_SOCKET_READ_TIMEOUT):
            # Only now: sessions may have been started during the wait.
            self._can.dispatch(*layers_of(audience.table))


class BusFeed:
    """A python-can bus, as all in this process share it."""

    # Whether frames come only if a thread reads the bus
    _needs_thread = True

    def __init__(self, bus: can.BusABC) -> None:
        self.shared = shared_bus(bus)
        self.bus = bus
        self._audience: Audience | None = None

    def start(self, audience: Audience) -> None:
        self._audience = audience
        self.shared.add_hearer(self)
        try:
            if self._needs_thread:
                self.shared.add_user(self, _BUS_READ_TIMEOUT)
        except BaseException:
            self.shared.remove_hearer(self)
            raise

    def stop(self) -> Callable[[], object]:
        self.shared.remove_hearer(self)
        self._audience = None
        return self.shared.remove_user(self) or (lambda: None)

    def end_in_child(self) -> None:
        self.shared.end_in_child()

    def close(self) -> None:
        """The bus is its owner's to shut down."""

    def listen_for(self, table: Table[Listener]) -> None:
        """Filters of the bus are its owner's: others may read it too."""
        self.shared.changed()

    def connect(self, session: TransportLayer) -> None:
        if session.tx_confirmation:
            require_echoes(self.bus)
        session.txfn = partial(self.shared.sender.send, self.bus)
        if self.shared.native is not None:
            session._port = self.shared.native.port()

    def layers(self) -> Layers | None:
        audience = self._audience
        if audience is None or any(session.clock is not None for session in audience.table.sessions):
            return None
        return layers_of(audience.table)

    def hear(self, received: can.Message) -> None:
        audience = self._audience
        if audience is not None:
            audience.table.dispatch(received)

    def report(self, error: BaseException) -> None:
        audience = self._audience
        if audience is not None:
            audience.report(error)


class NotifierFeed:
    """A python-can bus that a notifier reads: the hub needs no thread."""

    def __init__(self, bus: can.BusABC, notifier: can.Notifier) -> None:
        check_bus(bus)
        self._bus = bus
        self._sender = Sender()
        check_notifier(notifier)
        self._notifier = notifier
        self._audience: Audience | None = None

    def start(self, audience: Audience) -> None:
        self._audience = audience
        add_listener(self._notifier, self._on_message)

    def stop(self) -> Callable[[], object]:
        remove_listener(self._notifier, self._on_message)
        self._audience = None
        return lambda: None

    def end_in_child(self) -> None:
        """After a fork: neither is the notifier's thread there, nor who was amid sending."""
        self._audience = None
        self._sender = Sender()

    def close(self) -> None:
        """Bus and notifier are their owner's to shut down."""

    def listen_for(self, table: Table[Listener]) -> None:
        """The notifier brings all frames."""

    def connect(self, session: TransportLayer) -> None:
        if session.tx_confirmation:
            require_echoes(self._bus)
        session.txfn = partial(self._sender.send, self._bus)

    def _on_message(self, received: can.Message) -> None:
        if self._audience is not None:
            self._audience.table.dispatch(received)
