"""Pickles of tables that were damaged: refused, or something that works, but no crash.

Pickle itself lets a hostile file run any code; this is about files that broke.
"""

from __future__ import annotations

import contextlib
from typing import Any

from checks.fuzz.choices import Choices
from checks.fuzz.targets.reassembler import ADDRESSES, frames
from isotp import Messages, Reassembler, Records

LOG = frames(
    Choices(bytes.fromhex("80 00 10 14 01 02 03 04 05 06 81 01 30 00 00 40 01 21 07 08 09 a5 02 02 12 34")),
    24,
)


def prepared(kind: int) -> Any:
    """An object with something in it."""
    return Reassembler(ADDRESSES).feed(LOG, "classic") if kind else Records.from_buffer(LOG, "classic")


def damaged(choices: Choices, value: Any) -> Any:
    """The same value with one part of it changed, in its kind."""
    if isinstance(value, (bytes, memoryview)):
        broken = bytearray(value)
        how = choices.byte() % 4
        place = choices.number(2) % max(len(broken), 1)
        piece = choices.block(choices.byte() % 17)
        if how == 0:
            broken[place : place + len(piece)] = piece
        elif how == 1:
            del broken[place : place + len(piece)]
        elif how == 2:
            broken[place:place] = piece
        else:
            del broken[place:]
        return bytes(broken)
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int):
        return choices.number(choices.byte() % 9) - choices.byte()
    if isinstance(value, (list, tuple)) and value:
        parts = list(value)
        place = choices.byte() % len(parts)
        how = choices.byte() % 8
        if how == 0:
            del parts[place]
        elif how == 1:
            parts.insert(place, parts[choices.byte() % len(parts)])
        else:
            parts[place] = damaged(choices, parts[place])
        return type(value)(parts)
    return value


def plain(value: Any) -> Any:
    """What pickle would write: bytes in place of views of the original."""
    if isinstance(value, (list, tuple)):
        return type(value)(plain(part) for part in value)
    return bytes(value) if isinstance(value, memoryview) else value


def one_input(data: bytes) -> None:
    choices = Choices(data)
    made = prepared(choices.byte() % 2)
    rebuild, state = made.__reduce_ex__(2)[:2]
    state = plain(state)
    for _ in range(1 + choices.byte() % 4):
        state = damaged(choices, state)
    if len(state) != len(made.__reduce_ex__(2)[1]):
        return  # pickle calls with what was there
    with contextlib.suppress(ValueError):
        use(rebuild(*state))


def use(made: Any) -> None:
    if isinstance(made, Messages):
        list(made)
        assert len(made.payloads) == len(made)
        made[::2].filter(direction=1, channel=0)
        assert Messages.concat([made, made]).payloads == made.payloads * 2
        made.__reduce_ex__(2)
    else:
        assert Records.from_buffer(bytes(made), made.layout) == made
        list(made)
