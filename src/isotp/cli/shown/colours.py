"""Colours of lines on a terminal: one for each session, so that what belongs together is seen."""

from __future__ import annotations

from collections.abc import Hashable

from rich.console import Console
from rich.style import Style

from isotp.cli.shown.lines import ColourWhen

__all__ = ["Colours"]

NAMES = ("cyan", "yellow", "magenta", "green", "blue", "bright_cyan", "bright_yellow", "bright_magenta")
PALETTE = [Style(color=name) for name in NAMES]
ERROR, FAINT, BRIGHT = Style(color="red", bold=True), Style(dim=True), Style(bold=True)


class Colours:
    """Gives each session the next colour of the palette."""

    def __init__(self, when: ColourWhen) -> None:
        # On a terminal, unless NO_COLOR (no-color.org) says no; FORCE_COLOR asks for it everywhere.
        console = Console()
        on_terminal = console.color_system is not None and not console.no_color
        self.on = when is ColourWhen.ALWAYS or (when is ColourWhen.AUTO and on_terminal)
        self._given: dict[Hashable, Style] = {}

    def of(self, session: Hashable, text: str, *, bright: bool = False) -> str:
        """The text in the colour of its session."""
        style = self._given.setdefault(session, PALETTE[len(self._given) % len(PALETTE)])
        return self._in(style + BRIGHT if bright else style, text)

    def error(self, text: str) -> str:
        return self._in(ERROR, text)

    def faint(self, text: str) -> str:
        return self._in(FAINT, text)

    def _in(self, style: Style, text: str) -> str:
        return style.render(text) if self.on else text
