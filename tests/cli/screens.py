"""Runs a command of `isotp` on a terminal of so many columns, and tells what is on it."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest

from isotp.cli.app import app
from tests.cli.command import ENVIRONMENT

__all__ = ["Terminal", "screen"]


class Terminal(io.StringIO):
    """A stream that is one, as programs ask for it."""

    def isatty(self) -> bool:
        return True


def screen(
    columns: int, words: str, *more: str | Path, colours: bool = False, **environment: str
) -> list[str]:
    """The lines on standard output, with their colours if that is asked for."""
    terminal = Terminal()
    with pytest.MonkeyPatch.context() as patches:
        for name, value in {**ENVIRONMENT, "COLUMNS": str(columns), "TERM": "xterm", **environment}.items():
            if value is None:
                patches.delenv(name, raising=False)
            else:
                patches.setenv(name, value)
        patches.setattr(sys, "stdout", terminal)
        with pytest.raises(SystemExit):
            app([*words.split(), *map(str, more)], prog_name="isotp")
    text = terminal.getvalue() if colours else re.sub(r"\x1b\[[\d;]*m", "", terminal.getvalue())
    return [line.rstrip() for line in text.splitlines()]
