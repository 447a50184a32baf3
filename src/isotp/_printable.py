"""Text of others that is safe to show."""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: object) -> str:
    """What a log, a bus or the name of a file says, on a terminal: a backslash and a number for what is no character
    to see. An ESC would be a command to the terminal, and what follows a new line would pass for a line of ours.
    """
    said = str(text)
    if said.isprintable():
        return said
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in said)
