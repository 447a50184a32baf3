"""The threads that read for a layer or a hub: one at a time, however often it is stopped and started."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Readers", "longer_pause", "read_until"]


def longer_pause(pause: float) -> float:
    """Seconds to wait after a further error: a bus that is gone raises at each read, and would fill the log."""
    return min(max(2 * pause, 0.01), 1.0)


def read_until(
    stop_requested: threading.Event, read: Callable[[], object], report: Callable[[BaseException], object]
) -> None:
    """What a thread does that reads: go on, whatever is raised."""
    pause = 0.0
    while not stop_requested.is_set():
        try:
            read()
            pause = 0.0
        except BaseException as error:
            report(error)
            pause = longer_pause(pause)
            stop_requested.wait(pause)


class Readers:
    """Threads of which each begins to read when those before it have ended.

    Two at once would mix up the order of the frames: each takes some, and who is first to give them on is luck.

    :param name: of the threads.
    :param leaves_behind: one that does not end in time is given up: the next one reads beside it. It may be another
        source that it reads by then.
    """

    def __init__(self, name: str, leaves_behind: bool) -> None:
        self._name = name
        self._leaves_behind = leaves_behind
        self._changing = threading.RLock()  # a destructor may stop a session of the same hub
        # Those that were made and have neither ended nor been given up.
        self.alive: set[threading.Thread] = set()

    def make(
        self, read: Callable[[], object], patience: float, begin: Callable[[], object] = lambda: None
    ) -> threading.Thread:
        """A thread, to be started with :meth:`start`.

        :param read: what it calls when those before it have ended.
        :param patience: seconds after which it gives them up, if it may.
        :param begin: what it calls at once.
        """
        with self._changing:
            before = tuple(self.alive)

        def run() -> None:
            try:
                begin()
                for thread in before:
                    self.wait_for(thread, patience if self._leaves_behind else None)
                read()
            finally:
                self._forget(threading.current_thread())

        return threading.Thread(target=run, name=self._name, daemon=True)

    def start(self, thread: threading.Thread) -> None:
        """Let a thread run.

        :raises RuntimeError: if the system has no more threads.
        """
        with self._changing:
            self.alive.add(thread)
        try:
            thread.start()
        except BaseException:
            self._forget(thread)
            raise

    def wait_for(self, thread: threading.Thread, patience: float | None) -> bool:
        """Wait up to `patience` seconds for a thread that was told to end. False: it has not."""
        thread.join(patience)
        if not thread.is_alive():
            return True
        if self._leaves_behind:
            self._forget(thread)
        return False

    def include_this_one(self) -> bool:
        """Whether it is one of these threads that asks. It must not wait for another one, which may wait for it."""
        return threading.current_thread() in self.alive

    def _forget(self, thread: threading.Thread) -> None:
        with self._changing:
            self.alive.discard(thread)
