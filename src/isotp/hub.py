"""Many sessions on one bus: one reader, one thread, and each frame given only to those it is for."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from contextlib import ExitStack, suppress
from logging import getLogger
from typing import TYPE_CHECKING, Any, Protocol

from isotp._core import CanMessage, frame_from_python_can
from isotp.address import Address, AsymmetricAddress
from isotp.bus.notifier import add_listener, check_notifier, remove_listener
from isotp.bus.python_can import check_bus, send_on_bus
from isotp.errors import FramesLostError
from isotp.socketcan import open_can_socket, port_on, receive_identifiers
from isotp.started import TransportLayer, longest_end
from isotp.stats import Stats
from isotp.threads.courier import Courier
from isotp.threads.readers import Readers

if TYPE_CHECKING:
    import can

__all__ = ["Hub", "HubSession"]

# How long a read of a python-can bus may keep its thread from noticing that it is to stop, in seconds.
_BUS_READ_TIMEOUT = 0.2
_SOCKET_READ_TIMEOUT = 3600.0


class _Table:
    """Which sessions a frame is for, by its identifier. Its entries are replaced, never changed: no lock to read."""

    def __init__(self) -> None:
        self.sessions: dict[HubSession, frozenset[int]] = {}
        self.by_identifier: dict[int, tuple[HubSession, ...]] = {}
        # A user's class of address may take frames with any identifier.
        self.asked: tuple[HubSession, ...] = ()

    def add(self, session: HubSession) -> None:
        if session._asks_address:
            self.sessions[session] = frozenset()
            self._set_asked((*self.asked, session))
            return
        self.sessions[session] = frozenset(receive_identifiers(session.receive_addresses))
        self._begin(session, self.sessions[session])

    def remove(self, session: HubSession) -> None:
        self._end(session, self.sessions.pop(session))
        if session in self.asked:
            self._set_asked(tuple(other for other in self.asked if other is not session))

    def readdress(self, session: HubSession) -> None:
        """The session has another address: of the identifiers that it keeps, it misses no frame."""
        if session._asks_address and session in self.asked:
            return
        if session._asks_address or session in self.asked:
            self.remove(session)
            self.add(session)
            return
        before = self.sessions[session]
        self.sessions[session] = after = frozenset(receive_identifiers(session.receive_addresses))
        self._begin(session, after - before)
        self._end(session, before - after)

    def _begin(self, session: HubSession, identifiers: Iterable[int]) -> None:
        for identifier in identifiers:
            takers = self.by_identifier.get(identifier, self.asked)
            self.by_identifier[identifier] = (*takers, session)

    def _end(self, session: HubSession, identifiers: Iterable[int]) -> None:
        for identifier in identifiers:
            takers = tuple(taker for taker in self.by_identifier[identifier] if taker is not session)
            if len(takers) > len(self.asked):
                self.by_identifier[identifier] = takers
            else:
                del self.by_identifier[identifier]

    def _set_asked(self, asked: tuple[HubSession, ...]) -> None:
        before, self.asked = self.asked, asked
        for identifier, takers in list(self.by_identifier.items()):
            self.by_identifier[identifier] = asked + tuple(taker for taker in takers if taker not in before)

    def dispatch(self, received: can.Message) -> None:
        """Give a frame of python-can to its sessions."""
        identifier = received.arbitration_id | (0x8000_0000 if received.is_extended_id else 0)
        takers = self.by_identifier.get(identifier, self.asked)
        frame = frame_from_python_can(received) if takers else None
        if frame is not None:
            for session in takers:
                session._feed(frame)


class _Port(Protocol):
    """One bus: brings frames to the table of a hub, sends those of its sessions.

    stop() does not wait; what it returns does.
    """

    def start(self, hub: Hub) -> None: ...
    def stop(self) -> Callable[[], object]: ...
    def close(self) -> None: ...
    def end_in_child(self) -> None: ...
    def listen_for(self, table: _Table) -> None: ...
    def connect(self, session: HubSession) -> None: ...


class _ThreadedPort:
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

    def start(self, hub: Hub) -> None:
        stop_requested = self._stop_requested = threading.Event()
        self._thread = self._readers.make(
            lambda: self._run(hub, stop_requested), longest_end(self._read_timeout)
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

    def _run(self, hub: Hub, stop_requested: threading.Event) -> None:
        pause = 0.0
        while not stop_requested.is_set():
            try:
                self._read(hub)
                pause = 0.0
            except BaseException as error:
                self._report(hub, error)
                # A bus that is gone raises at each read: do not fill the log at full speed.
                pause = min(max(2 * pause, 0.01), 1.0)
                stop_requested.wait(pause)

    def _report(self, hub: Hub, error: BaseException) -> None:
        hub._report(error)

    def _wake(self) -> None:
        raise NotImplementedError

    def _read(self, hub: Hub) -> None:
        raise NotImplementedError


class _SocketPort(_ThreadedPort):
    """A CAN interface of Linux, by a raw socket."""

    def __init__(self, interface: str) -> None:
        super().__init__()
        self._can = open_can_socket(interface)

    def close(self) -> None:
        self._can.close()

    def listen_for(self, table: _Table) -> None:
        self._can.set_filters(None if table.asked else table.by_identifier)

    def connect(self, session: HubSession) -> None:
        session.txfn = self._can.send
        session._port = port_on(self._can)

    def end_in_child(self) -> None:
        super().end_in_child()
        self._can.forget_threads()

    def _wake(self) -> None:
        self._can.wake()

    def _read(self, hub: Hub) -> None:
        if self._can.wait(_SOCKET_READ_TIMEOUT):
            # Only now: sessions may have been started during the wait.
            self._can.dispatch(hub.table.by_identifier, hub.table.asked)


class _Sender:
    """Sends frames of many sessions on a python-can bus, one after the other: few buses can do it at once."""

    def __init__(self, bus: can.BusABC) -> None:
        self.bus = bus
        self._one_at_a_time = threading.Lock()

    def send(self, message: CanMessage) -> None:
        with self._one_at_a_time:
            send_on_bus(self.bus, message)


class _BusPort(_ThreadedPort):
    """A python-can bus that only the hub reads."""

    _read_timeout = _BUS_READ_TIMEOUT

    def __init__(self, bus: can.BusABC) -> None:
        super().__init__()
        check_bus(bus)
        self._sender = _Sender(bus)

    def end_in_child(self) -> None:
        super().end_in_child()
        self._sender = _Sender(self._sender.bus)

    def close(self) -> None:
        """The bus is its owner's to shut down."""

    def listen_for(self, table: _Table) -> None:
        """Filters of the bus are its owner's: others may read it too."""

    def connect(self, session: HubSession) -> None:
        session.txfn = self._sender.send

    def _wake(self) -> None:
        """A python-can bus can not be woken: its read ends by itself."""

    def _read(self, hub: Hub) -> None:
        received = self._sender.bus.recv(self._read_timeout)
        if received is not None:
            hub.table.dispatch(received)


class _NotifierPort:
    """A python-can bus that a notifier reads: the hub needs no thread."""

    def __init__(self, bus: can.BusABC, notifier: can.Notifier) -> None:
        check_bus(bus)
        self._sender = _Sender(bus)
        check_notifier(notifier)
        self._notifier = notifier
        self._hub: Hub | None = None

    def start(self, hub: Hub) -> None:
        self._hub = hub
        add_listener(self._notifier, self._on_message)

    def stop(self) -> Callable[[], object]:
        remove_listener(self._notifier, self._on_message)
        self._hub = None
        return lambda: None

    def end_in_child(self) -> None:
        """After a fork: neither is the notifier's thread there, nor who was amid sending."""
        self._hub = None
        self._sender = _Sender(self._sender.bus)

    def close(self) -> None:
        """Bus and notifier are their owner's to shut down."""

    def listen_for(self, table: _Table) -> None:
        """The notifier brings all frames."""

    def connect(self, session: HubSession) -> None:
        session.txfn = self._sender.send

    def _on_message(self, received: can.Message) -> None:
        if self._hub is not None:
            self._hub.table.dispatch(received)


class HubSession(TransportLayer):
    """One session of a :class:`Hub`; made by :meth:`Hub.session`. A layer like any other, without a thread."""

    def __init__(
        self, hub: Hub, address: Address | AsymmetricAddress, also: Iterable[Address] = (), **kwargs: Any
    ) -> None:
        self.hub = hub
        self.receive_addresses: tuple[Address | AsymmetricAddress, ...] = ()
        super().__init__(rxfn=self._no_frame, txfn=self._no_bus, address=address, **kwargs)
        self.receive_also(also)

    def _new_courier(self) -> Courier | None:
        return Courier(self._report_callback_error, self.hub.executor)

    def _no_frame(self, timeout: float = 0.0) -> None:
        """A session that was not started hears nothing."""

    def _no_bus(self, message: CanMessage) -> None:
        raise RuntimeError("the session belongs to no hub")

    def set_address(self, address: Address | AsymmetricAddress) -> None:
        """Use this address from the next message on; frames are heard on it at once.

        :raises ValueError: if it is no address, or an address for one direction only.
        """
        with self.hub._changing:
            super().set_address(address)
            self.receive_addresses = (address, *self.receive_addresses[1:])
            self.hub._address_changed(self)

    def receive_also(self, addresses: Iterable[Address]) -> None:
        """Receive on these addresses too, as an ECU does on its functional one; answers go by the session's own.

        :raises ValueError: if there are too many, or one is no address.
        """
        addresses = tuple(addresses)
        with self.hub._changing:
            super().receive_also(addresses)
            self.receive_addresses = (self.receive_addresses[0], *addresses)
            self.hub._address_changed(self)

    def _end_in_child(self) -> None:
        super()._end_in_child()
        self.hub._end_in_child()
        self.hub._port.connect(self)

    def _drive_from_now_on(self) -> None:
        # In this order: a session that works must not miss a frame amid others, which it might put together then.
        self.hub._enlist(self)
        super()._drive_from_now_on()

    def _start_reading(self) -> None:
        """The hub reads."""

    def _stop_reading(self) -> Callable[[], object] | None:
        return self.hub._dismiss(self)


class Hub:
    """Any number of sessions on one bus, with one thread for all of them.

    :param bus: a python-can bus, or the name of a CAN interface of Linux (`can0`) for a raw socket.
    :param notifier: `can.Notifier` that reads the bus. Without one, the hub reads the bus itself, alone.
    :param executor: runs `on_message` and `error_handler` of the sessions, each session's one after the other, so that
        a slow one holds nobody else up. None: up to four threads of the package, which start as they are needed.

    Each frame is found its sessions by its identifier, so the cost of a frame does not grow with their number. Reading
    begins with the first session that is started. Close the hub after use, or use it as a context manager.

    :raises ValueError: if `bus` is no bus, or `notifier` no notifier.
    :raises RuntimeError: if python-can is needed and not installed.
    :raises OSError: if there is no such interface, or no CAN in this kernel.
    :raises NotImplementedError: for the name of an interface, on other systems than Linux.
    """

    def __init__(
        self, bus: can.BusABC | str, notifier: can.Notifier | None = None, executor: Executor | None = None
    ) -> None:
        if notifier is not None and isinstance(bus, str):
            raise ValueError(f"a notifier goes with a python-can bus, not with an interface: {bus!r}")
        self.executor = executor
        self._lost = 0  # frames that no session has heard
        self._closed = False
        self._port = self._open_port(bus, notifier)
        self.bus = bus
        self.table = _Table()
        # Reentrant: the class of an address is a user's, and its methods may look at the hub.
        self._changing = threading.RLock()

    def _open_port(self, bus: can.BusABC | str, notifier: can.Notifier | None) -> _Port:
        if isinstance(bus, str):
            return _SocketPort(bus)
        return _BusPort(bus) if notifier is None else _NotifierPort(bus, notifier)

    @property
    def sessions(self) -> tuple[HubSession, ...]:
        """The sessions that are started."""
        with self._changing:
            return tuple(self.table.sessions)

    @property
    def stats(self) -> Stats:
        """What the sessions that are started counted together, and the frames that were lost before them."""
        return self._sum(self._lost, False)

    def reset_stats(self) -> Stats:
        """Let the sessions that are started count anew; returns what they counted together until now."""
        lost, self._lost = self._lost, 0
        return self._sum(lost, True)

    def _sum(self, lost: int, reset: bool) -> Stats:
        own = Stats(dropped={"frames": lost} if lost else {})
        return Stats.sum((own, *(session._stats(reset) for session in self.sessions)))

    def session(
        self, address: Address | AsymmetricAddress, also: Iterable[Address] = (), **kwargs: Any
    ) -> HubSession:
        """A new session, not started yet.

        :param address: its address.
        :param also: further addresses to receive on, say the functional one of an ECU.
        :param kwargs: parameters of :class:`isotp.TransportLayer`, but for rxfn and txfn.
        :raises ValueError: as :class:`isotp.TransportLayer` does.
        """
        session = HubSession(self, address, also, **kwargs)
        self._port.connect(session)
        return session

    def close(self) -> None:
        """Stop all sessions and leave the bus; a python-can bus stays open."""
        with self._changing:
            self._closed = isinstance(self.bus, str)
        with ExitStack() as steps:  # the last one first; all of them, whatever one raises
            steps.callback(self._port.close)
            for session in reversed(self.sessions):
                steps.callback(session.stop)

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Hub with {len(self.sessions)} sessions on {self.bus!r}>"

    def _end_in_child(self) -> None:
        self.table = _Table()
        self._changing = threading.RLock()
        self._port.end_in_child()

    def _report(self, error: BaseException) -> None:
        """The bus can not be read: all sessions are concerned."""
        for session in self.sessions:
            session._report_callback_error(error)

    def _report_lost(self, count: int, text: str) -> None:
        """Frames were lost before anybody saw whose they are: all sessions are concerned."""
        self._lost += count
        for session in self.sessions:
            session.trigger_error(FramesLostError(text))

    def _enlist(self, session: HubSession) -> None:
        with self._changing:
            if self._closed:
                raise OSError(errno.EBADF, f"the socket on {self.bus} was closed")
            self.table.add(session)
            try:
                self._port.listen_for(self.table)
                if len(self.table.sessions) == 1:
                    self._port.start(self)
            except BaseException:
                self.table.remove(session)
                raise

    def _dismiss(self, session: HubSession) -> Callable[[], object] | None:
        """Let the session hear no more; what this returns waits until the thread of the last one has ended."""
        with self._changing:
            if session not in self.table.sessions:
                return None
            self.table.remove(session)
            # Where the bus is gone, it brings no frames that nobody wants.
            with suppress(OSError):
                self._port.listen_for(self.table)
            return None if self.table.sessions else self._port.stop()

    def _address_changed(self, session: HubSession) -> None:
        """Called with `_changing` held: the session's address and the table go together."""
        if session in self.table.sessions:
            self.table.readdress(session)
            self._port.listen_for(self.table)
