"""Many sessions on one bus: one reader, one thread, and each frame goes only to the sessions that it is for."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import TYPE_CHECKING, cast

from isotp._core import CanMessage, SendRequest
from isotp.address import Address, AsymmetricAddress
from isotp.bus.feed import Feed, HasFeed
from isotp.bus.feeds import BusFeed, NotifierFeed, SocketFeed
from isotp.bus.table import Listener, Table, receive_identifiers
from isotp.errors import FramesLostError
from isotp.stats import Stats
from isotp.threads.courier import Courier
from isotp.threads.kept_clock import KeptClock

if TYPE_CHECKING:
    import can
    from typing_extensions import Unpack

    from isotp.layers import SessionKeywords

__all__ = ["Hub", "HubSession"]


class HubSession(Listener):
    """One session of a :class:`Hub`; made by :meth:`Hub.session`. A layer like any other, without a thread."""

    def __init__(
        self,
        hub: Hub,
        address: Address | AsymmetricAddress,
        also: Iterable[Address] = (),
        **kwargs: Unpack[SessionKeywords],
    ) -> None:
        self.hub = hub
        super().__init__(rxfn=self._no_frame, txfn=self._no_bus, address=address, **kwargs)
        self.receive_also(also)

    def _new_courier(self) -> Courier | None:
        return Courier(self._report_callback_error, self.hub.executor)

    def _first_courier(self) -> Courier | None:
        # What is called then waits for nobody, and has its turn in the order of what happens.
        return None if isinstance(self.clock, KeptClock) else self._courier

    def _read_meanwhile(self, timeout: float | None, breaks: int | None) -> float | None:
        clock = self.clock
        if not isinstance(clock, KeptClock) or not clock.is_held_here():
            return timeout

        def is_over() -> bool:
            return self.available() or not self.started or breaks not in (None, self._breaks)

        if not clock.wait_for(is_over, timeout) and breaks is not None and self._has_begun:
            clock.wait_for(is_over, None)
        return 0.0

    def _wait_done(self, request: SendRequest, timeout: float | None) -> bool:
        clock = self.clock
        if isinstance(clock, KeptClock) and clock.is_held_here():
            return clock.wait_for(request.complete_event.is_set, timeout)
        return request.complete_event.wait(timeout)

    def _no_frame(self, timeout: float = 0.0) -> None:
        """A session that was not started hears nothing."""

    def _no_bus(self, message: CanMessage) -> None:
        raise RuntimeError("the session belongs to no hub")

    @property
    def _addressing(self) -> AbstractContextManager[object]:  # type: ignore[override]
        return self.hub._changing

    def _addresses_changed(self) -> None:
        self.hub._address_changed(self)

    def _end_in_child(self) -> None:
        super()._end_in_child()
        self.hub._end_in_child()
        self.hub._feed.connect(self)

    def _drive_from_now_on(self) -> None:
        # In this order: a session that works must not miss a frame between others, or it might join those.
        self.hub._enlist(self)
        super()._drive_from_now_on()

    def _start_reading(self) -> None:
        """The hub reads."""

    def _stop_reading(self) -> Callable[[], object] | None:
        return self.hub._dismiss(self)


class Hub:
    """Any number of sessions on one bus, with one thread for all of them.

    :param bus: a python-can bus, the name of a CAN interface of Linux (`can0`) for a raw socket, or an
        `isotp.testing.Wire`.
    :param notifier: `can.Notifier` that reads the bus. Without one, the hub reads the bus itself, alone.
    :param executor: runs `on_message` and `error_handler` of the sessions. Those of one session run one after the
        other, so a slow one holds up no other session. None: up to four threads of the package, which start when
        needed.

    Each frame goes to its sessions by its identifier, so the cost of a frame does not grow with their number. Reading
    begins with the first session that is started. Close the hub after use, or use it as a context manager.

    :raises ValueError: if `bus` is not a bus, or `notifier` not a notifier.
    :raises RuntimeError: if python-can is needed and not installed.
    :raises OSError: if there is no such interface, or no CAN in this kernel.
    :raises NotImplementedError: for the name of an interface, on other systems than Linux.
    """

    def __init__(
        self,
        bus: can.BusABC | str | HasFeed,
        notifier: can.Notifier | None = None,
        executor: Executor | None = None,
    ) -> None:
        if notifier is not None and isinstance(bus, str):
            raise ValueError(f"a notifier goes with a python-can bus, not with an interface: {bus!r}")
        self.executor = executor
        self._lost = 0  # frames that no session has heard
        self._closed = False
        self._feed = self._open_feed(bus, notifier)
        self.bus = bus
        self.table: Table[Listener] = Table()
        # Reentrant: the methods of a user's class of address may look at the hub.
        self._changing = threading.RLock()

    def _open_feed(self, bus: can.BusABC | str | HasFeed, notifier: can.Notifier | None) -> Feed:
        if isinstance(bus, str):
            return SocketFeed(bus)
        if isinstance(bus, HasFeed):
            return bus.open_feed()
        return BusFeed(bus) if notifier is None else NotifierFeed(bus, notifier)

    @property
    def sessions(self) -> tuple[HubSession, ...]:
        """The sessions that are started."""
        with self._changing:
            return cast(tuple[HubSession, ...], tuple(self.table.sessions))

    @property
    def stats(self) -> Stats:
        """The counts of the started sessions, added up, and the frames that were lost before any session heard them."""
        return self._sum(self._lost, False)

    def reset_stats(self) -> Stats:
        """Start the counts of the started sessions anew; returns their sum until now."""
        lost, self._lost = self._lost, 0
        return self._sum(lost, True)

    def _sum(self, lost: int, reset: bool) -> Stats:
        own = Stats(dropped={"frames": lost} if lost else {})
        return Stats.sum((own, *(session._stats(reset) for session in self.sessions)))

    def session(
        self,
        address: Address | AsymmetricAddress,
        also: Iterable[Address] = (),
        **kwargs: Unpack[SessionKeywords],
    ) -> HubSession:
        """A new session, not started yet.

        :param address: its address.
        :param also: further addresses to receive on, such as the functional one of an ECU.
        :param kwargs: parameters of :class:`isotp.TransportLayer`, except rxfn and txfn.
        :raises ValueError: as :class:`isotp.TransportLayer` does; and if a session with this address is started: two
            would answer each First Frame. A session in listen mode answers none, and may be one of many.
        """
        session = HubSession(self, address, also, **kwargs)
        self._require_alone(session)
        self._feed.connect(session)
        return session

    def _require_alone(self, session: HubSession) -> None:
        """Two sessions with one address would send two Flow Controls."""
        if session.params.listen_mode:
            return
        for identifier in receive_identifiers((session.address,)):
            for other in self.table.by_identifier.get(identifier, ()):
                if other is not session and other.address == session.address and not other.params.listen_mode:
                    raise ValueError(
                        f"the hub has a started session {session.address.get_content_str()} already: a second one would"
                        " send a second Flow Control, unless it is in listen mode"
                    )

    def close(self) -> None:
        """Stop all sessions and leave the bus; a python-can bus stays open."""
        with self._changing:
            self._closed = isinstance(self.bus, str)
        with ExitStack() as steps:  # the last one first; all of them, whatever one raises
            steps.callback(self._feed.close)
            for session in reversed(self.sessions):
                steps.callback(session.stop)

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Hub with {len(self.sessions)} sessions on {self.bus!r}>"

    def _end_in_child(self) -> None:
        self.table = Table()
        self._changing = threading.RLock()
        self._feed.end_in_child()

    def report(self, error: BaseException) -> None:
        """The bus cannot be read: this concerns all sessions."""
        for session in self.sessions:
            session._report_callback_error(error)

    def report_lost(self, count: int, text: str) -> None:
        """Frames were lost before anybody saw whose they are: this concerns all sessions."""
        self._lost += count
        for session in self.sessions:
            session.trigger_error(FramesLostError(text))

    def _enlist(self, session: HubSession) -> None:
        with self._changing:
            if self._closed:
                raise OSError(errno.EBADF, f"the socket on {self.bus} was closed")
            self._require_alone(session)
            self.table.add(session)
            try:
                self._feed.listen_for(self.table)
                if len(self.table.sessions) == 1:
                    self._feed.start(self)
            except BaseException:
                self.table.remove(session)
                raise

    def _dismiss(self, session: HubSession) -> Callable[[], object] | None:
        """Let the session hear no more; what this returns waits until the thread of the last one has ended."""
        with self._changing:
            if session not in self.table.sessions:
                return None
            self.table.remove(session)
            # If the bus is gone, it brings no unwanted frames.
            with suppress(OSError):
                self._feed.listen_for(self.table)
            return None if self.table.sessions else self._feed.stop()

    def _address_changed(self, session: HubSession) -> None:
        """Called with `_changing` held: the session's address and the table go together."""
        if session in self.table.sessions:
            self.table.readdress(session)
            self._feed.listen_for(self.table)
