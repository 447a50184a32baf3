"""Calls a layer's callbacks on the threads of an executor, one after the other, in the order of what happened."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

__all__ = ["Courier"]


class Courier:
    """Takes the place of the thread that brings an event: that one goes on at once, however slow a callback is.

    :param executor: gives it the executor to run on; asked when there is something to call.
    :param report: called with the exception of a callback that raises.
    """

    def __init__(self, executor: Callable[[], Executor], report: Callable[[Exception], object]) -> None:
        self._executor = executor
        self._report = report
        self._waiting: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._changing = threading.Lock()
        self._at_work = False

    def __call__(self, function: Callable[..., object], *arguments: object) -> None:
        with self._changing:
            self._waiting.append((function, arguments))
            if self._at_work:
                return
            self._at_work = True
        try:
            self._executor().submit(self._run)
        except BaseException:
            with self._changing:
                self._at_work = False
            raise

    def clear(self) -> None:
        """Forget what was not called yet."""
        self._waiting.clear()

    def _run(self) -> None:
        while True:
            with self._changing:
                if not self._waiting:
                    self._at_work = False
                    return
                function, arguments = self._waiting.popleft()
            try:
                function(*arguments)
            except Exception as error:
                self._report(error)
