"""Lets a thread wait for a file descriptor until another thread rings (systems with poll(), that is not Windows)."""

from __future__ import annotations

import contextlib
import os
import select

__all__ = ["Doorbell"]


class Doorbell:
    """Waits for a descriptor to be readable, or for :meth:`ring`.

    :param descriptor: what to wait for; it stays its owner's.
    """

    def __init__(self, descriptor: int) -> None:
        self._pipe: tuple[int, ...] = ()
        self._pipe = self._listening, self._ringing = os.pipe()
        os.set_blocking(self._ringing, False)
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._poll.register(self._listening, select.POLLIN)

    def __del__(self) -> None:
        for end in self._pipe:
            os.close(end)

    def wait(self, timeout: float) -> None:
        """Wait up to `timeout` seconds. Once it has rung, it never waits again."""
        self._poll.poll(timeout * 1000)

    def ring(self) -> None:
        """End all waiting, now and later."""
        with contextlib.suppress(BlockingIOError):  # it rings already
            os.write(self._ringing, b"!")
