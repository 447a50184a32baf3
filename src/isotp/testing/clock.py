"""A clock that the test holds: time passes when the test says so, and what is due then happens at its time."""

from __future__ import annotations

import heapq
import itertools
import math
import threading
from collections.abc import Callable

from isotp.threads.kept_clock import KeptClock

__all__ = ["HeldClock", "Standstill"]

_MS = 1_000_000
_SECOND = 1_000_000_000


class Standstill(RuntimeError):
    """Somebody waits without a limit, and nothing is left that could happen: on real time this waits for ever."""


class HeldClock(KeptClock):
    """Time that stands still, but for :meth:`advance` and for those who wait.

    Layers on a :class:`Wire` with this clock have it as their `clock`. What they wait for happens in the order of
    its time, on the thread that made the clock: while that is in :meth:`advance`, in :meth:`sleep`, or in a call that
    waits on such a layer, as `recv(block=True, timeout=2)`, which lets two seconds pass at the most and takes none.

    It begins an hour after zero, so that nothing depends on that.
    """

    def __init__(self) -> None:
        self.ns = 3600 * _SECOND
        self._began = self.ns
        self._due: list[tuple[int, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._changing = threading.Lock()
        self._holder = threading.get_ident()

    def __call__(self) -> int:
        """The time in ns."""
        return self.ns

    def __repr__(self) -> str:
        return f"<HeldClock at {self.ms:g} ms>"

    @property
    def ms(self) -> float:
        """Milliseconds since the clock was made."""
        return (self.ns - self._began) / _MS

    def monotonic(self) -> float:
        """The time in seconds, in place of `time.monotonic()`."""
        return self.ns / _SECOND

    def sleep(self, seconds: float) -> None:
        """Let time pass, in place of `time.sleep()`."""
        self._run(lambda: False, self.ns + round(seconds * _SECOND))

    def advance(self, ms: float) -> None:
        """Let so many milliseconds pass; what is due until then happens."""
        if not ms >= 0:
            raise ValueError(f"time goes on, not back: {ms!r} ms")
        self._run(lambda: False, self.ns + round(ms * _MS))

    def call_at(self, when_ns: int, action: Callable[[], object]) -> None:
        """Have `action` called when it is `when_ns`; at the next step, if that is over."""
        with self._changing:
            heapq.heappush(self._due, (when_ns, next(self._order), action))

    def is_held_here(self) -> bool:
        """Whether this is the thread that made the clock."""
        return threading.get_ident() == self._holder

    def wait_for(self, is_over: Callable[[], bool], timeout: float | None) -> bool:
        """Let time pass until something is over, at the most `timeout` seconds. False: it is not over then.

        :raises Standstill: if there is no limit, and nothing is left that could happen.
        """
        until = None if timeout is None or timeout == math.inf else self.ns + round(timeout * _SECOND)
        return self._run(is_over, until)

    def _run(self, is_over: Callable[[], bool], until: int | None) -> bool:
        while not is_over():
            action = self._next(until)
            if action is None:
                if until is None:
                    raise Standstill("nothing is left that could happen: on real time, this waits for ever")
                self.ns = max(self.ns, until)
                return is_over()
            action()
        return True

    def _next(self, until: int | None) -> Callable[[], object] | None:
        """What is due first, with the time set to that; None: nothing is, until then."""
        with self._changing:
            if not self._due or (until is not None and self._due[0][0] > until):
                return None
            when, _, action = heapq.heappop(self._due)
            self.ns = max(self.ns, when)
            return action
