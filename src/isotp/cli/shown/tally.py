"""What went by so far, in a line or two at the end of a command."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import Any

import typer

from isotp.cli.shown.lines import write_error
from isotp.cli.shown.words import count_text, number_text, size_text

__all__ = ["Tally"]

# What is no message that broke off: frames that belong to none.
STRAY = frozenset(
    (
        "FramesLostError",
        "InvalidCanDataError",
        "InvalidCanFdFirstFrameRXDL",
        "MissingEscapeSequenceError",
        "UnexpectedConsecutiveFrameError",
        "UnexpectedFlowControlError",
    )
)


class Tally:
    """Counts of messages, bytes and errors since it was made."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.messages = 0
        self.bytes = 0
        self.errors: Counter[str] = Counter()
        self._counters: dict[str, dict[str, Any]] = {}

    def add(self, size: int) -> None:
        self.messages += 1
        self.bytes += size

    def add_error(self, error: Exception | str) -> None:
        self.errors[error if isinstance(error, str) else type(error).__name__] += 1

    def add_counters(self, session: str, counters: dict[str, Any]) -> None:
        """What an end of the session has counted itself."""
        self._counters[session] = counters

    def show(self) -> None:
        """On standard error."""
        # A clock may stand still for some ms.
        seconds = max(time.monotonic() - self._began, 1e-3)
        # Over the ^C that a terminal shows.
        start = "\r" if sys.stderr.isatty() else ""
        typer.echo(
            f"{start}{count_text(self.messages, 'message')}, {size_text(self.bytes)} in {number_text(seconds)} s"
            f" ({number_text(self.bytes / seconds)} bytes/s)",
            err=True,
        )
        for told, noun, is_stray in (("broken", "message", False), ("stray", "frame", True)):
            errors = Counter({name: n for name, n in self.errors.items() if (name in STRAY) == is_stray})
            if errors:
                kinds = ", ".join(f"{name} {count:,}" for name, count in errors.most_common())
                write_error(f"{told}: {count_text(errors.total(), noun)} ({kinds})")
        for session, counters in self._counters.items():
            counted = ", ".join(f"{name} {value}" for name, value in counters.items() if value)
            if counted:
                typer.echo(f"{session}: {counted}", err=True)
