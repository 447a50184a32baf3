"""What a clock is that also wakes: deadlines are kept by its own time, and nobody waits for that of the system."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["KeptClock"]


class KeptClock:
    """The time of layers that somebody else moves; `isotp.testing.HeldClock` is one."""

    def __call__(self) -> int:
        """The time in ns."""
        raise NotImplementedError

    def call_at(self, when_ns: int, action: Callable[[], object]) -> None:
        """Have `action` called when it is `when_ns`. It must not wait."""
        raise NotImplementedError

    def is_held_here(self) -> bool:
        """Whether the calling thread is the one that moves the time: its waiting is what lets it pass."""
        raise NotImplementedError

    def wait_for(self, is_over: Callable[[], bool], timeout: float | None) -> bool:
        """Let time pass until something is over, at the most `timeout` seconds. False: it is not over then."""
        raise NotImplementedError
