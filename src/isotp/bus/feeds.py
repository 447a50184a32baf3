"""What brings the frames of a bus to all sessions on it: a raw socket, a python-can bus, or a notifier."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from logging import getLogger
from typing import TYPE_CHECKING, Protocol

from isotp._core import CanMessage
from isotp.bus.can_sockets import open_can_socket, port_on
from isotp.bus.notifier import add_listener, check_notifier, remove_listener
from isotp.bus.python_can import check_bus, send_on_bus
from isotp.bus.table import Table
from isotp.started import TransportLayer, longest_end
from isotp.threads.readers import Readers, read_until

if TYPE_CHECKING:
    import can

__all__ = ["Audience", "BusFeed", "Feed", "NotifierFeed", "SocketFeed"]

# How long a read of a python-can bus may keep its thread from noticing that it is to stop, in seconds.
_BUS_READ_TIMEOUT = 0.2
_SOCKET_READ_TIMEOUT = 3600.0


class Audience(Protocol):
    """Those that a feed brings frames to."""

    table: Table

    def report(self, error: BaseException) -> None:
        """The bus can not be read: all are concerned."""

    def report_lost(self, count: int, text: str) -> None:
        """Frames were lost before anybody saw whose they are: all are concerned."""


class Feed(Protocol):
    """One bus: brings frames to its audience, and has the frames of a session go.

    stop() does not wait; what it returns does.
    """

    def start(self, audience: Audience) -> None: ...
    def stop(self) -> Callable[[], object]: ...
    def close(self) -> None: ...
    def end_in_child(self) -> None: ...
    def listen_for(self, table: Table) -> None: ...
    def connect(self, session: TransportLayer) -> None: ...


class ThreadedFeed:
    """A bus that a thread of the hub reads."""

    # What its thread was asked to wait at the most, where it can not be woken, in seconds.
    _read_timeout = 0.0

    def __init__(self) -> None:
        self._stop_requested = threading.Event()
        self._thread: threading.Thread | None = None
        self._readers = self._new_readers()

    def _new_readers(self) -> Readers:
        # It is the same bus for ever: nobody reads it beside a thread that does not return.
        return Readers("isotp hub", leaves_behind=False)

    def start(self, audience: Audience) -> None:
        stop_requested = self._stop_requested = threading.Event()
        self._thread = self._readers.make(
            lambda: self._run(audience, stop_requested), longest_end(self._read_timeout)
        )
        self._readers.start(self._thread)

    def stop(self) -> Callable[[], object]:
        self._stop_requested.set()
        self._wake()
        thread = self._thread
        # A callback may stop the hub that it is called by: the thread then ends by itself.
        if thread is None or self._readers.include_this_one():
            return lambda: None
        return lambda: self._wait_for_end(thread)

    def _wait_for_end(self, thread: threading.Thread) -> None:
        if not self._readers.wait_for(thread, longest_end(self._read_timeout)):
            getLogger("isotp").error(
                "the bus, or a callback, does not return: the thread of the hub is left behind"
            )

    def end_in_child(self) -> None:
        """After a fork: the thread is not there."""
        self._thread = None
        self._readers = self._new_readers()

    def _run(self, audience: Audience, stop_requested: threading.Event) -> None:
        read_until(stop_requested, partial(self._read, audience), partial(self._report, audience))

    def _report(self, audience: Audience, error: BaseException) -> None:
        audience.report(error)

    def _wake(self) -> None:
        raise NotImplementedError

    def _read(self, audience: Audience) -> None:
        raise NotImplementedError


class SocketFeed(ThreadedFeed):
    """A CAN interface of Linux, by a raw socket."""

    def __init__(self, interface: str) -> None:
        super().__init__()
        self._can = open_can_socket(interface)

    def close(self) -> None:
        self._can.close()

    def listen_for(self, table: Table) -> None:
        self._can.set_filters(None if table.asked else table.by_identifier)

    def connect(self, session: TransportLayer) -> None:
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
            self._can.dispatch(audience.table.by_identifier, audience.table.asked)


class Sender:
    """Sends frames of many sessions on a python-can bus, one after the other: few buses can do it at once."""

    def __init__(self, bus: can.BusABC) -> None:
        self.bus = bus
        self._one_at_a_time = threading.Lock()

    def send(self, message: CanMessage) -> None:
        with self._one_at_a_time:
            send_on_bus(self.bus, message)


class BusFeed(ThreadedFeed):
    """A python-can bus that only the hub reads."""

    _read_timeout = _BUS_READ_TIMEOUT

    def __init__(self, bus: can.BusABC) -> None:
        super().__init__()
        check_bus(bus)
        self._sender = Sender(bus)

    def end_in_child(self) -> None:
        super().end_in_child()
        self._sender = Sender(self._sender.bus)

    def close(self) -> None:
        """The bus is its owner's to shut down."""

    def listen_for(self, table: Table) -> None:
        """Filters of the bus are its owner's: others may read it too."""

    def connect(self, session: TransportLayer) -> None:
        session.txfn = self._sender.send

    def _wake(self) -> None:
        """A python-can bus can not be woken: its read ends by itself."""

    def _read(self, audience: Audience) -> None:
        received = self._sender.bus.recv(self._read_timeout)
        if received is not None:
            audience.table.dispatch(received)


class NotifierFeed:
    """A python-can bus that a notifier reads: the hub needs no thread."""

    def __init__(self, bus: can.BusABC, notifier: can.Notifier) -> None:
        check_bus(bus)
        self._sender = Sender(bus)
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
        self._sender = Sender(self._sender.bus)

    def close(self) -> None:
        """Bus and notifier are their owner's to shut down."""

    def listen_for(self, table: Table) -> None:
        """The notifier brings all frames."""

    def connect(self, session: TransportLayer) -> None:
        session.txfn = self._sender.send

    def _on_message(self, received: can.Message) -> None:
        if self._audience is not None:
            self._audience.table.dispatch(received)
