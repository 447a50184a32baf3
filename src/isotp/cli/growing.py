"""A log that another program still writes: read to its end, and on when there is more."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["GrowingFile", "ended_by_ctrl_c"]

PAUSE = 0.1  # s, between two looks at a log that did not grow


class GrowingFile:
    """What :func:`isotp.capture.open` reads: it ends when `stop` is set, and where the file is no longer the same.

    :ivar problem: why it ended, if nobody wanted that.
    """

    def __init__(self, path: Path, stop: threading.Event) -> None:
        self.name = str(path)
        self.problem: str | None = None
        self._stop = stop
        self._file = path.open("rb", buffering=0)

    def read(self, size: int) -> bytes:
        """Bytes that are there, from 1 to `size`, or that come; none at the end."""
        while True:
            # In this order: what was written before the end was asked for is read.
            is_last = self._stop.is_set()
            data = self._file.read(size)
            if data or is_last:
                return data
            self.problem = self._what_became_of_it()
            if self.problem is not None:
                return b""
            self._stop.wait(PAUSE)

    def _what_became_of_it(self) -> str | None:
        ours = os.fstat(self._file.fileno())
        if ours.st_size < self._file.tell():
            return f"{self.name} became shorter while it was followed"
        try:
            there = os.stat(self.name)
        except FileNotFoundError:
            return f"{self.name} was removed while it was followed"
        if not os.path.samestat(ours, there):
            return f"{self.name} is another file now, which was not followed"
        return None

    def close(self) -> None:
        self._file.close()


@contextmanager
def ended_by_ctrl_c() -> Iterator[threading.Event]:
    """What is set by the first Ctrl-C, so that what came until then is shown as a whole; the second one interrupts."""
    stop = threading.Event()

    def end(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, before)
        stop.set()

    before = signal.signal(signal.SIGINT, end)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
