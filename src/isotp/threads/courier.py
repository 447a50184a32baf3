"""Calls a layer's callbacks on other threads, one after the other, in the order of what happened.

The threads are the package's own, a few for all layers, or those of an executor of the user.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from isotp._core import is_interrupt

__all__ = ["Courier"]

_MOST_THREADS = 4
_MOST_ERRORS = 1000
# Bytes that a waiting call takes, beside the payload of its message.
_CALL_WEIGHT = 200


class _Executor(Protocol):
    """As concurrent.futures.Executor."""

    def submit(self, work: Callable[[], object], /) -> object: ...


class _Workers:
    """A few threads, started as they are needed. Not those of an executor: a callback that never returns must not
    hold up the end of the program."""

    def __init__(self) -> None:
        self._work: deque[Callable[[], object]] = deque()
        self._changed = threading.Condition()
        self._threads = 0
        self._idle = 0

    def submit(self, work: Callable[[], object]) -> None:
        with self._changed:
            if self._idle > len(self._work):
                self._changed.notify()
            elif self._threads < _MOST_THREADS:
                self._start_another()
            self._work.append(work)

    def _start_another(self) -> None:
        try:
            threading.Thread(target=self._run, name="isotp callbacks", daemon=True).start()
        except RuntimeError:
            # The system has no more threads; the existing ones will come to it.
            if self._threads == 0:
                raise
        else:
            self._threads += 1

    def _run(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                while not self._work:
                    self._changed.wait()
                self._idle -= 1
                work = self._work.popleft()
            work()


_workers = _Workers()


def _start_anew() -> None:
    # Threads do not survive a fork.
    global _workers
    _workers = _Workers()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)


class Courier:
    """Takes the place of the thread that brings an event: that one goes on at once, however slow a callback is.

    :param report: called with the exception of a callback that raises.
    :param executor: where to call; None: on threads of the package. One that makes no call itself, and instead has
        somebody come to `call_next()`, is as good.
    """

    def __init__(self, report: Callable[[BaseException], object], executor: _Executor | None = None) -> None:
        self._report = report
        self._executor = executor
        self._waiting: deque[tuple[int, Callable[..., object], tuple[Any, ...]]] = deque()
        self._changing = threading.Lock()
        self._at_work = False
        self._errors = 0
        self.weight = 0  # of the messages that wait

    def __call__(self, function: Callable[..., object], *arguments: object) -> bool:
        """Call the error handler. False: too many errors wait, this one is dropped."""
        return self._take(0, function, arguments)

    def carry(self, weight: int, function: Callable[..., object], *arguments: object) -> None:
        """Call `on_message` with a message that weighs something; the caller looks at `weight` before."""
        self._take(weight + _CALL_WEIGHT, function, arguments)

    def _take(self, weight: int, function: Callable[..., object], arguments: tuple[Any, ...]) -> bool:
        with self._changing:
            if weight == 0:
                if self._errors >= _MOST_ERRORS:
                    return False
                self._errors += 1
            self.weight += weight
            self._waiting.append((weight, function, arguments))
            if self._at_work:
                return True
            self._at_work = True
        try:
            (self._executor or _workers).submit(self._run)
        except BaseException:
            with self._changing:
                self._at_work = False
            raise
        return True

    def clear(self) -> None:
        """Forget what was not called yet."""
        with self._changing:
            self._waiting.clear()
            self.weight = self._errors = 0

    def call_next(self) -> bool:
        """Make the call that has waited longest. False: there is none.

        What it raises is reported, but for KeyboardInterrupt in the main thread, which goes to the caller.
        """
        with self._changing:
            if not self._waiting:
                self._at_work = False
                return False
            weight, function, arguments = self._waiting.popleft()
            self.weight -= weight
            self._errors -= weight == 0
        try:
            function(*arguments)
        except BaseException as error:
            if is_interrupt(error):
                raise
            self._report(error)
        return True

    def _run(self) -> None:
        try:
            while self.call_next():
                pass
        except BaseException:
            # An executor may have its work done by the main thread; the next call then brings those that wait, too.
            with self._changing:
                self._at_work = False
            raise
