"""Helpers that user code imports by name: a stopwatch with a time limit, a generator of known length."""

from __future__ import annotations

import math
from collections.abc import Generator
from itertools import islice
from time import perf_counter_ns

from isotp.errors import BadGeneratorError

__all__ = ["FiniteByteGenerator", "Timer"]


class Timer:
    """A monotonic stopwatch with a time limit. It is made stopped.

    ``timeout`` is the limit in nanoseconds, ``start_time`` the ``time.perf_counter_ns()`` of the start, or
    None if stopped.

    :param timeout: Limit in seconds. Zero or less: over as soon as started.
    :raises ValueError: ``timeout`` is not a finite number.
    """

    timeout: int
    start_time: int | None

    def __init__(self, timeout: float) -> None:
        self.start_time = None
        self.set_timeout(timeout)

    def set_timeout(self, timeout: float) -> None:
        """Change the limit (seconds), also while running.

        :raises ValueError: ``timeout`` is not a finite number.
        """
        if not isinstance(timeout, (int, float)) or not -math.inf < timeout * 1_000_000_000 < math.inf:
            raise ValueError(f"timeout must be a finite number of seconds, not {timeout!r}")
        self.timeout = int(timeout * 1_000_000_000)

    def start(self, timeout: float | None = None) -> None:
        """Start from zero, also if running; with ``timeout`` (seconds) as the new limit if given."""
        if timeout is not None:
            self.set_timeout(timeout)
        self.start_time = perf_counter_ns()

    def stop(self) -> None:
        """Stop and forget the time."""
        self.start_time = None

    def elapsed(self) -> float:
        """Seconds since the start; 0 if stopped."""
        return self.elapsed_ns() / 1e9

    def elapsed_ns(self) -> int:
        """Nanoseconds since the start; 0 if stopped."""
        return 0 if self.start_time is None else perf_counter_ns() - self.start_time

    def remaining(self) -> float:
        """Seconds until the limit; 0 if it is over or the timer stopped."""
        return self.remaining_ns() / 1e9

    def remaining_ns(self) -> int:
        """Nanoseconds until the limit; 0 if it is over or the timer stopped."""
        return 0 if self.start_time is None else max(0, self.timeout - self.elapsed_ns())

    def is_timed_out(self) -> bool:
        """True if the timer runs and the limit is over."""
        return self.start_time is not None and (self.timeout <= 0 or self.elapsed_ns() > self.timeout)

    def is_stopped(self) -> bool:
        """True if not running."""
        return self.start_time is None


class FiniteByteGenerator:
    """A generator of bytes together with the number of bytes that are expected of it.

    :param gen: A generator of integers 0..255. It is only advanced as bytes are consumed.
    :param size: Number of bytes to take from it.
    :raises ValueError: ``gen`` is not a generator, or ``size`` not an integer of 0 or more.
    """

    def __init__(self, gen: Generator[int, object, object], size: int) -> None:
        if not isinstance(gen, Generator):
            raise ValueError(f"gen must be a generator, not {gen!r}")
        if not isinstance(size, int) or size < 0:
            raise ValueError(f"size must be an integer of 0 or more, not {size!r}")
        self._gen = gen
        self._size = size
        self._consumed = 0
        self._ended = False

    def total_length(self) -> int:
        """The number of bytes expected in all."""
        return self._size

    def remaining_size(self) -> int:
        """The number of bytes still expected."""
        return self._size - self._consumed

    def depleted(self) -> bool:
        """True if nothing more will come: all is consumed, or the generator has ended early."""
        return self._ended or self._consumed == self._size

    def consume(self, size: int, enforce_exact: bool = True) -> bytearray:
        """Take the next ``size`` bytes.

        :param size: Number of bytes wanted, 0 or more.
        :param enforce_exact: If False, fewer bytes than wanted are returned when the generator ends early.
        :raises BadGeneratorError: The generator has ended early (and ``enforce_exact``), or it yields more
            than the size it was announced with.
        :raises ValueError: ``size`` is not an integer of 0 or more, or an item of the generator not an integer
            0..255; the generator is then not used any more.

        Exceptions of the generator itself pass through.
        """
        if not isinstance(size, int) or size < 0:
            raise ValueError(f"size must be an integer of 0 or more, not {size!r}")
        remaining = self.remaining_size()
        # One more than announced is enough to see that there is a surplus; the rest is left to its owner.
        wanted = 0 if self._ended else min(size, remaining + 1)
        chunk = bytearray()
        for item in islice(self._gen, wanted):
            try:
                chunk.append(item)
            except (TypeError, ValueError):
                self._ended = True
                position = self._consumed + len(chunk)
                raise ValueError(
                    f"The generator yielded {item!r} as byte {position}, not an integer from 0 to 255"
                ) from None
        if len(chunk) < wanted:
            self._ended = True
        self._consumed += min(len(chunk), remaining)
        if len(chunk) > remaining:
            raise BadGeneratorError(f"The generator yields more than the {self._size} bytes announced")
        if enforce_exact and len(chunk) < size:
            raise BadGeneratorError(
                f"The generator ended after {self._consumed} of the {self._size} bytes announced"
                f" ({size} more were wanted, {len(chunk)} came)"
            )
        return chunk
