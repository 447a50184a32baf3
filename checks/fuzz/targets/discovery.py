"""`Discovery` fed with any records, in any pieces: the same sessions, each with a score and evidence."""

from __future__ import annotations

from checks.fuzz.choices import Choices
from checks.fuzz.targets.reassembler import SIZES, frames
from isotp import Discovery, Reassembler


def one_input(data: bytes) -> None:
    choices = Choices(data)
    layout = choices.pick(("classic", "fd"))
    size = SIZES[layout]
    cut = choices.byte() * size
    raw = choices.flag()
    log = choices.rest() if raw else frames(choices, size)
    log = log[: len(log) // size * size]
    whole, pieces = Discovery(), Discovery()
    whole.feed(log, layout)
    pieces.feed(log[:cut], layout)
    pieces.feed(log[cut:], layout)
    found = whole.sessions(0.0)
    assert found == pieces.sessions(0.0), "the sessions depend on the pieces"
    assert all(0 <= session.score <= 1 for session in found)
    Reassembler([(session.address, session.channel) for session in whole.sessions()]).feed(log, layout)
