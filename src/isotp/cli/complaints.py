"""How a command that cannot go on says so, and the exit statuses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from isotp.cli.shown.lines import printable, write_error

__all__ = [
    "EXIT_STATUS",
    "FAILED",
    "UNUSABLE",
    "Complaints",
    "complain",
    "error_text",
    "explained",
    "give_up",
]

FAILED = 1  # something went wrong on the bus
UNUSABLE = 2  # a wrong option, or what is asked for is not there

EXIT_STATUS = """\
[bold]Exit status[/bold]

0: all well
1: something went wrong on the bus: an error, or nobody answered in time
2: a wrong option, no such bus, or something that is not installed
130: interrupted before it was done
141: nobody reads the output any more, say head
"""


def complain(text: object) -> None:
    """A line on standard error, of what a driver, a bus or a log may have said."""
    sys.stdout.flush()
    write_error(f"isotp: {printable(text)}")


class Complaints:
    """Complaints about a bus: of many of one kind in a row, the first is told, and then how many more there were."""

    def __init__(self) -> None:
        self._kind: type[Exception] | None = None
        self._more = 0

    def tell(self, error: Exception) -> None:
        if type(error) is self._kind:
            self._more += 1
            return
        self.end_row()
        self._kind = type(error)
        complain(error_text(error))

    def end_row(self) -> None:
        """Something else happened."""
        if self._kind is not None and self._more:
            complain(f"{self._kind.__name__}: {self._more:,} more of them")
        self._kind, self._more = None, 0


def error_text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def give_up(text: object, status: int = UNUSABLE) -> typer.Exit:
    """Say why, and what to raise."""
    complain(text)
    return typer.Exit(status)


@contextmanager
def explained() -> Iterator[None]:
    """Errors of the system and of drivers, while a bus is opened or used, as a line for people."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except BrokenPipeError:
        # Nobody reads any more, say `| head`: typer ends quietly.
        raise
    except (OSError, NotImplementedError) as error:
        # Without the number, which says nothing to people.
        raise give_up(getattr(error, "strerror", None) or error) from None
