"""One thread that wakes started layers at their deadlines; it exists from the first deadline on.

Layers with a reader thread need it only when another thread than the reader's leaves an early deadline
behind.
"""

from __future__ import annotations

import heapq
import itertools
import os
import threading
from collections.abc import Callable
from logging import getLogger

from isotp._core import Sleeper, monotonic_ns, sharpen_timers

__all__ = ["call_at"]


# This long before an action is due, nothing can wake the thread any more: an event then waits at most this long.
_ASLEEP_NS = 200_000


class _Timekeeper:
    def __init__(self) -> None:
        self._entries: list[tuple[int, int, int, Callable[[], object]]] = []
        self._sleeper = Sleeper()
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def call_at(self, when_ns: int, action: Callable[[], object], busy_ns: int) -> None:
        entry = (when_ns, next(self._order), busy_ns, action)
        with self._changed:
            heapq.heappush(self._entries, entry)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="isotp timekeeper", daemon=True)
                self._thread.start()
            elif self._entries[0] is entry:
                self._changed.notify()

    def _run(self) -> None:
        sharpen_timers()
        try:
            self._keep_time()
        finally:
            # The thread ends when memory runs out: the next caller starts another one.
            with self._changed:
                self._thread = None

    def _keep_time(self) -> None:
        while True:
            with self._changed:
                while not self._entries:
                    self._changed.wait()
                when_ns, _, busy_ns, action = self._entries[0]
                remaining = when_ns - monotonic_ns()
                if remaining > _ASLEEP_NS:
                    self._changed.wait(min((remaining - _ASLEEP_NS) / 1e9, threading.TIMEOUT_MAX))
                    continue
                heapq.heappop(self._entries)
            self._sleeper.wait(when_ns - monotonic_ns(), busy_ns)
            try:
                action()
            except BaseException as error:
                # It must not raise, but actions of other layers must come in time whatever it does.
                getLogger("isotp").error(
                    "an action at a deadline raised %s", type(error).__name__, exc_info=error
                )


_timekeeper = _Timekeeper()


def _start_anew() -> None:
    # Threads do not survive a fork, nor do the started layers that the entries belong to.
    global _timekeeper
    _timekeeper = _Timekeeper()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)


def call_at(when_ns: int, action: Callable[[], object], busy_ns: int = 0) -> None:
    """Call `action` on the timekeeper's thread once `isotp._core.monotonic_ns()` reaches `when_ns`.

    The thread may spend the last `busy_ns` until then awake, to be on time. `action` must neither raise nor wait.
    """
    _timekeeper.call_at(when_ns, action, busy_ns)
