"""What a conformance case is: a story of frames and times, told by one end of a session.

One line each, in the order of time:

    < 10 0A 00*6          a frame that this end hears; ``7DF#02 3E 80`` with an identifier of its own
    > 30 08 00            a frame that it sends then
    send 00*10            N_USData.request; ``send functional 3E 80``, ``send functional priority 3E 80``
    got 00*10             N_USData.indication of a message
    confirm               N_USData.confirm: the message of `send` is on the bus
    failed                ... or it was given up
    error OverflowError   what the error handler is told
    wait 999.9            milliseconds; what is due meanwhile happens at its time
    full                  the transmit queue of the bus takes no frame, until ``free``
    busy                  what takes the messages of this end is not ready for more, until ``ready``
    echo                  the first of the frames that the bus has and has not confirmed yet is on it now

All that happens is told. ``default:`` or ``strict:`` before a line: it happens only in this mode.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import isotp
from tests.frames import HERE, octets, words

MODES = ("default", "strict")


@dataclass(frozen=True)
class Rule:
    """One rule of the standard, named by its clause."""

    clause: str
    title: str

    def __str__(self) -> str:
        return f"{self.clause} {self.title}"


class Line(NamedTuple):
    word: str
    text: str
    mode: str | None

    def __str__(self) -> str:
        return f"{self.word} {self.text}".rstrip()


@dataclass(frozen=True)
class Case:
    """One case of a rule.

    `alone`: why it does not run on records in bulk. `confirming`: the bus tells by echoes what went, when the story
    says so; such a case does not run on a kernel, which has its own mind.
    """

    rule: Rule
    name: str
    story: str
    params: dict[str, Any] = field(default_factory=dict)
    address: isotp.Address | isotp.AsymmetricAddress = HERE
    also: tuple[isotp.Address, ...] = ()
    alone: str | None = None
    confirming: bool = False

    def lines(self, mode: str) -> list[Line]:
        """The story in one mode."""
        return [line for line in self.all_lines() if line.mode in (None, mode)]

    def all_lines(self) -> list[Line]:
        told = (parse(text) for text in self.story.strip().splitlines())
        return [line for line in told if line is not None]

    def differs(self) -> bool:
        """Strict and default do not do the same."""
        return any(line.mode is not None for line in self.all_lines())


STIMULI = ("<", "send", "wait", "full", "free", "busy", "ready", "echo")
EFFECTS = (">", "got", "confirm", "failed", "error")


def parse(text: str) -> Line | None:
    text = text.partition("//")[0].strip()
    if not text:
        return None
    mode = None
    for name in MODES:
        if text.startswith(f"{name}:"):
            mode, text = name, text.removeprefix(f"{name}:").strip()
    word, _, rest = text.partition(" ")
    if word not in STIMULI + EFFECTS:
        raise ValueError(f"{text!r} begins with none of {', '.join(STIMULI + EFFECTS)}")
    rest = rest.strip()
    if word in (">", "got"):
        head, mark, tail = rest.rpartition("#")
        rest = head + mark + words(octets(tail))
    return Line(word, rest, mode)


def can_id_of(text: str, identifier: int, extended: bool) -> tuple[int, bytes]:
    """Identifier (bit 31: 29 bits) and data of ``7DF#02 3E 80``; the given identifier where it has none."""
    head, mark, tail = text.rpartition("#")
    if mark:
        identifier, extended = int(head, 16), len(head) == 8
    return identifier | (0x8000_0000 if extended else 0), octets(tail)
