"""Colours of lines on a terminal: one for each session, so that what belongs together is seen."""

from __future__ import annotations

import enum
import os
import sys
from collections.abc import Hashable

import typer

__all__ = ["ColourWhen", "Colours"]

PALETTE = ("cyan", "yellow", "magenta", "green", "blue", "bright_cyan", "bright_yellow", "bright_magenta")


class ColourWhen(str, enum.Enum):
    """--color, as grep and ls have it."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Colours:
    """Gives each session the next colour of the palette."""

    def __init__(self, when: ColourWhen) -> None:
        self.on = when is ColourWhen.ALWAYS or (when is ColourWhen.AUTO and wanted())
        self._given: dict[Hashable, str] = {}

    def of(self, session: Hashable, text: str, *, bright: bool = False) -> str:
        """The text in the colour of its session."""
        if not self.on:
            return text
        colour = self._given.setdefault(session, PALETTE[len(self._given) % len(PALETTE)])
        return typer.style(text, fg=colour, bold=bright)

    def error(self, text: str) -> str:
        return typer.style(text, fg="red", bold=True) if self.on else text

    def faint(self, text: str) -> str:
        return typer.style(text, dim=True) if self.on else text


def wanted() -> bool:
    """On a terminal, unless NO_COLOR (no-color.org) says no; FORCE_COLOR asks for it everywhere."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return sys.stdout.isatty() or bool(os.environ.get("FORCE_COLOR"))
