"""Lines for people and for programs: bytes in hex and ASCII, times as can-utils shows them, JSON."""

from __future__ import annotations

import enum
import json
import os
import sys
from typing import Any

import typer

from isotp._printable import printable

__all__ = [
    "ColourWhen",
    "TimeKind",
    "TimeText",
    "ascii_text",
    "hex_text",
    "payload_of",
    "printable",
    "write_error",
    "write_json",
    "write_line",
]


class TimeKind(str, enum.Enum):
    """-t of can-utils."""

    ABSOLUTE = "a"
    DELTA = "d"
    ZERO = "z"
    DATE = "A"


class ColourWhen(str, enum.Enum):
    """--color, as grep and ls have it."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class TimeText:
    """Times in ns since 1970 as text, one after the other."""

    def __init__(self, kind: TimeKind | None) -> None:
        self._kind = kind
        self._zero: int | None = None

    def __call__(self, time: int) -> str:
        """Nothing if no kind was asked for; otherwise with the space before what follows."""
        if self._kind is None:
            return ""
        if self._kind is TimeKind.DATE:
            # All formats of logs come with it, which nothing else here needs.
            from isotp.capture._local_time import local_time

            seconds, ns = divmod(time, 10**9)
            year, local = local_time(seconds)
            return f"({year:04}-{local:%m-%d %H:%M:%S}.{ns // 1000:06}) "
        zero, width = 0, 10
        if self._kind is not TimeKind.ABSOLUTE:
            zero, width = time if self._zero is None else self._zero, 3
            if self._zero is None or self._kind is TimeKind.DELTA:
                self._zero = time
        microseconds = max(time - zero, 0) // 1000
        return f"({microseconds // 1_000_000:0{width}}.{microseconds % 1_000_000:06}) "


def hex_text(data: bytes) -> str:
    """As can-utils has it: 22 F1 90."""
    return data.hex(" ").upper()


def ascii_text(data: bytes) -> str:
    """A dot for what is no ASCII character."""
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)


def write_error(text: str) -> None:
    """A line in red on standard error; without the colour where NO_COLOR (no-color.org) is set, or no terminal is."""
    typer.secho(text, fg="red", err=True, color=False if os.environ.get("NO_COLOR") else None)


def payload_of(line: str) -> bytes:
    """The bytes of a line in hex, with or without spaces, or of a line of JSON with a "payload".

    :raises ValueError: if it is neither.
    """
    text = line.strip()
    if text.startswith("{"):
        try:
            text = json.loads(text)["payload"]
        except (KeyError, TypeError, ValueError):
            raise ValueError(f'no JSON object with a "payload": {line.strip()[:60]!r}') from None
    digits = text.replace("0x", " ").replace(",", " ")
    # Bytes may have one digit if they are apart, as scanf() of isotpsend takes them.
    words = [word.zfill(2) for word in digits.split()]
    try:
        return bytes.fromhex("".join(words))
    except ValueError:
        raise ValueError(f"no bytes in hex: {text[:60]!r}") from None


def write_line(text: str) -> None:
    """On standard output, at once: another program may wait for it."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def write_json(**values: Any) -> None:
    """One object on one line."""
    write_line(json.dumps(values, separators=(",", ":")))
