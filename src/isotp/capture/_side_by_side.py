"""Tasks side by side, with their results in order: one of the threads is that which takes the results."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Generic, TypeVar

__all__ = ["SideBySide", "UntilError", "cores"]

AHEAD: Final = 2  # tasks that wait for each thread

MOST_CORES: Final = 8  # there are so many at the most: one thread reads, and takes what the others found

T = TypeVar("T")


def cores() -> int:
    """How many threads have a processor of their own here."""
    usable = getattr(os, "sched_getaffinity", None)
    return min(len(usable(0)) if usable is not None else os.cpu_count() or 1, MOST_CORES)


class UntilError(Generic[T]):
    """An iterator that ends before an error, which `check()` raises: what was read before it is done first."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._error: Exception | None = None

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._error is not None:
            raise StopIteration
        try:
            return next(self._items)
        except StopIteration:
            raise
        except Exception as error:
            self._error = error
            raise StopIteration from None

    def check(self) -> None:
        if self._error is not None:
            raise self._error


class Task(Generic[T]):
    """One that a thread of a pool does, if there is one, or who waits for it."""

    def __init__(self, pool: ThreadPoolExecutor | None, do: Callable[[], T]) -> None:
        self._do = do
        self._future: Future[T] = Future() if pool is None else pool.submit(do)

    @property
    def is_done(self) -> bool:
        return self._future.done()

    def do(self) -> bool:
        """Do it here, unless a thread of the pool has begun with it."""
        if not self._future.cancel():
            return False
        self._future = Future()
        try:
            self._future.set_result(self._do())
        except Exception as error:
            # Told where the result is taken, like that of another thread.
            self._future.set_exception(error)
        return True

    def cancel(self) -> None:
        self._future.cancel()

    def result(self) -> T:
        return self._future.result()


class SideBySide(Generic[T]):
    """Tasks that are done by so many threads in all; whoever makes it has to close it."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads - 1, "isotp-capture") if threads > 1 else None
        self._waiting: deque[Task[T]] = deque()
        self._most = AHEAD * threads if threads > 1 else 1

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """So many tasks wait that there is enough to do."""
        return len(self._waiting) >= self._most

    def add(self, do: Callable[[], T]) -> None:
        self._waiting.append(Task(self._pool, do))

    def take(self) -> T:
        """The result of the task that was added first; meanwhile others are done here."""
        first = self._waiting[0]
        while not first.is_done and any(task.do() for task in self._waiting):
            pass
        self._waiting.popleft()
        return first.result()

    def drop(self) -> None:
        """Forget the tasks that wait; those that have begun come to their end."""
        for task in self._waiting:
            task.cancel()
        self._waiting.clear()

    def close(self) -> None:
        self.drop()
        if self._pool is not None:
            self._pool.shutdown()
