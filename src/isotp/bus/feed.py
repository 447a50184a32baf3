"""What a feed is: it brings the frames of one bus to all sessions on it. And the thread of one that has to read."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from logging import getLogger
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from isotp.started import TransportLayer, longest_end
from isotp.threads.readers import Readers, read_until

if TYPE_CHECKING:
    from isotp.bus.table import Listener, Table

__all__ = ["Audience", "Feed", "HasFeed", "ThreadedFeed"]


class Audience(Protocol):
    """Those that a feed brings frames to."""

    table: Table[Listener]

    def report(self, error: BaseException) -> None:
        """The bus cannot be read: this concerns all."""

    def report_lost(self, count: int, text: str) -> None:
        """Frames were lost before anybody saw whose they are: this concerns all."""


class Feed(Protocol):
    """One bus: brings frames to its audience, and has the frames of a session go.

    stop() does not wait; what it returns does.
    """

    def start(self, audience: Audience) -> None: ...
    def stop(self) -> Callable[[], object]: ...
    def close(self) -> None: ...
    def end_in_child(self) -> None: ...
    def listen_for(self, table: Table[Listener]) -> None: ...
    def connect(self, session: TransportLayer) -> None: ...


@runtime_checkable
class HasFeed(Protocol):
    """A bus that says itself how its frames come."""

    def open_feed(self, in_loop: bool = False) -> Feed:
        """:param in_loop: for sessions in an event loop of asyncio: it is a `LoopFeed` then."""


class ThreadedFeed:
    """A bus that a thread of the package reads."""

    # The most that its thread was asked to wait if it cannot be woken, in seconds.
    _read_timeout = 0.0

    def __init__(self) -> None:
        self._stop_requested = threading.Event()
        self._thread: threading.Thread | None = None
        self._readers = self._new_readers()

    def _new_readers(self) -> Readers:
        # The bus never changes, so nobody reads it beside a thread that does not return.
        return Readers("isotp reader", leaves_behind=False)

    def start(self, audience: Audience) -> None:
        stop_requested = self._stop_requested = threading.Event()
        self._thread = self._readers.make(
            lambda: self._run(audience, stop_requested), longest_end(self._read_timeout)
        )
        self._readers.start(self._thread)

    @property
    def thread(self) -> threading.Thread | None:
        """The thread that reads, if it was started ever."""
        return self._thread

    def stop(self) -> Callable[[], object]:
        self._stop_requested.set()
        self._wake()
        thread = self._thread
        # A callback may stop the hub that calls it: the thread then ends by itself.
        if thread is None or self._readers.include_this_one():
            return lambda: None
        return lambda: self._wait_for_end(thread)

    def _wait_for_end(self, thread: threading.Thread) -> None:
        if not self._readers.wait_for(thread, longest_end(self._read_timeout)):
            getLogger("isotp").error(
                "the bus, or a callback, does not return: the thread that reads it is left behind"
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
