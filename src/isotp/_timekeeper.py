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

from isotp._core import monotonic_ns

__all__ = ["call_at"]


class _Timekeeper:
    def __init__(self) -> None:
        self._entries: list[tuple[int, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def call_at(self, when_ns: int, action: Callable[[], object]) -> None:
        entry = (when_ns, next(self._order), action)
        with self._changed:
            heapq.heappush(self._entries, entry)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="isotp timekeeper", daemon=True)
                self._thread.start()
            elif self._entries[0] is entry:
                self._changed.notify()

    def _run(self) -> None:
        try:
            self._keep_time()
        finally:
            # Only an exception such as SystemExit ends the thread: whoever comes next starts another one.
            with self._changed:
                self._thread = None

    def _keep_time(self) -> None:
        while True:
            with self._changed:
                while not self._entries:
                    self._changed.wait()
                remaining = self._entries[0][0] - monotonic_ns()
                if remaining > 0:
                    self._changed.wait(min(remaining / 1e9, threading.TIMEOUT_MAX))
                    continue
                _, _, action = heapq.heappop(self._entries)
            action()


_timekeeper = _Timekeeper()


def _start_anew() -> None:
    # Threads do not survive a fork, nor do the started layers that the entries belong to.
    global _timekeeper
    _timekeeper = _Timekeeper()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)


def call_at(when_ns: int, action: Callable[[], object]) -> None:
    """Call `action` on the timekeeper's thread once `isotp._core.monotonic_ns()` reaches `when_ns`.

    `action` must not raise nor wait.
    """
    _timekeeper.call_at(when_ns, action)
