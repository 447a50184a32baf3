"""Whose turn it is to read a bus: one thread at a time, its own or one that waits for a frame anyway."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["Turn"]

# How often to look whether a notifier still reads the bus: nobody tells when it is stopped.
_NOTIFIER_PAUSE = 0.1
# How long (s) the thread waits for a leader to come back before it takes over, if it pauses at all.
_SHORT_PAUSE, _LONG_PAUSE = 0.0001, 0.002


class Turn:
    """The turn to read one bus.

    The bus's own thread has it most of the time. A *leader* has it in place of that thread, to read by itself what it
    waits for. The leader does not take it away: the thread hands it over after its next frames. The thread then stays
    away for a while, in case the leader comes again. It learns how long: the longer, the more often it came back for
    nothing.

    :param is_read_by_notifier: whether a notifier reads the bus: then nobody else needs to, except guests, of which
        the notifier is one.
    """

    def __init__(self, is_read_by_notifier: Callable[[], bool]) -> None:
        self._is_read_by_notifier = is_read_by_notifier
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        # The thread waits here: not every wake-up of others is for it.
        self._for_thread = threading.Condition(self._lock)
        self._holder = 0  # the thread that has the turn
        self._waiting = 0  # threads that wait for the turn, or for what others find for them
        self.is_led = False  # somebody leads, or waits for that
        self._leads, self._leads_seen = 0, 0  # how often somebody began to, and of how many the thread knows
        self._thread_waits = self._thread_sleeps_deeply = False
        self._thread_came_for_nothing = False
        self._pause = 0.0

    def is_mine(self) -> bool:
        """Whether the caller has the turn: it is a callback during a frame."""
        return self._holder == threading.get_ident()

    def is_of(self, thread: threading.Thread) -> bool:
        """Whether this thread has the turn."""
        return self._holder == thread.ident

    def is_wanted(self) -> bool:
        """Whether somebody waits for it."""
        return self.is_led or self._waiting > 0

    def take_at_once(self, is_guest: bool) -> bool:
        """Have the turn, if nobody has it."""
        with self._lock:
            is_free = not self._holder and (is_guest or not self._is_read_by_notifier())
            if is_free:
                self._holder = threading.get_ident()
        return is_free

    def take(self, is_over: Callable[[], bool], timeout: float | None, is_guest: bool) -> bool:
        """Wait for the turn. False: it is over before, or the time is. Who has the turn may be what ends the wait."""
        until = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            self._waiting += 1
            try:
                while not is_over():
                    is_read = not is_guest and self._is_read_by_notifier()
                    if not is_read and not self._holder:
                        self._holder = threading.get_ident()
                        return True
                    left = None if until is None else until - time.monotonic()
                    if left is not None and left <= 0:
                        return False
                    if is_read:
                        left = _NOTIFIER_PAUSE if left is None else min(left, _NOTIFIER_PAUSE)
                    self._changed.wait(left)
                return False
            finally:
                self._waiting -= 1

    def take_as_thread(self, stop_requested: threading.Event) -> bool:
        """The same for the bus's own thread. False: it is to stop."""
        with self._lock:
            while not stop_requested.is_set():
                newly, self._leads_seen = self._leads - self._leads_seen, self._leads
                if newly > 1:
                    self._lengthen_pause()
                wait_for: float | None = None
                self._thread_sleeps_deeply = False
                if self.is_led:
                    # Not woken for each message of a leader that leads for a short time, again and again
                    self._thread_sleeps_deeply = newly == 0 or self._pause == 0
                    wait_for = None if self._thread_sleeps_deeply else self._pause
                elif not self._holder:
                    if self._is_read_by_notifier():
                        wait_for = _NOTIFIER_PAUSE
                    elif newly and self._pause:
                        wait_for = self._pause
                    else:
                        self._holder = threading.get_ident()
                        self._thread_came_for_nothing = True
                        return True
                self._thread_waits = True
                self._for_thread.wait(wait_for)
                self._thread_waits = False
        return False

    def _lengthen_pause(self) -> None:
        self._pause = min(max(2 * self._pause, _SHORT_PAUSE), _LONG_PAUSE)

    def end_as_thread(self, has_read: bool) -> None:
        """Let others have the turn; `has_read`: the bus's own thread read frames while nobody led."""
        if has_read:
            self._thread_came_for_nothing = False
            self._pause = 0.0
        self.end()

    def lead(self, is_over: Callable[[], bool], timeout: float | None) -> bool:
        """Have the turn once nobody has it. False: somebody leads already, or it is over before, or the time is."""
        until = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            if self.is_led or self.is_mine():
                return False
            self.is_led = True
            self._leads += 1
            self._waiting += 1
            if self._holder and self._thread_came_for_nothing:
                self._lengthen_pause()
            leads = False
            try:
                while self._holder and not is_over():
                    left = None if until is None else until - time.monotonic()
                    if left is not None and left <= 0:
                        break
                    self._changed.wait(left)
                leads = not self._holder and not is_over()
            finally:  # also of KeyboardInterrupt
                self._waiting -= 1
                self.is_led = leads
                if not leads:
                    self._for_thread.notify()
            if leads:
                self._holder = threading.get_ident()
            return leads

    def end_lead(self) -> None:
        """Let others have the turn; the thread looks by itself, unless it has gone to sleep for good."""
        with self._lock:
            self.is_led = False
            self._let_go(self._thread_sleeps_deeply)

    def end(self) -> None:
        """Let others have the turn."""
        with self._lock:
            self._let_go(self._thread_waits)

    def _let_go(self, wakes_thread: bool) -> None:
        self._holder = 0
        if wakes_thread:
            self._for_thread.notify()
        if self._waiting:
            self._changed.notify_all()

    def tell(self) -> None:
        """Something was found that somebody may wait for."""
        if self._waiting:
            with self._lock:
                self._changed.notify_all()

    def wake_all(self) -> None:
        """Have all that wait look whether it is over."""
        with self._lock:
            self._changed.notify_all()
            self._for_thread.notify()
