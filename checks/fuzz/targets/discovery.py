"""`Discovery` fed with any records, in any pieces: the same sessions, each with a score and evidence, for good."""

from __future__ import annotations

from checks.fuzz.choices import Choices
from checks.fuzz.targets.reassembler import SIZES, frames
from isotp import Discovery, FoundSession, Reassembler


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
    before = pieces.sessions()
    pieces.feed(log[cut:], layout)
    after = pieces.sessions()
    assert all(is_still_found(session, after) for session in before), "more frames took a session away"
    found = whole.sessions(0.0)
    assert found == pieces.sessions(0.0), "the sessions depend on the pieces"
    assert all(0 <= session.score <= 1 for session in found)
    Reassembler([(session.address, session.channel) for session in whole.sessions()]).feed(log, layout)


def ids_of(session: FoundSession) -> set[tuple[int, int]]:
    sides = (session.address.tx_side(), session.address.rx_side())
    return {(session.channel, side.can_id(session.target_type)) for side in sides if side is not None}


def directions(session: FoundSession) -> int:
    return (session.tx is not None) + (session.rx is not None)


def is_still_found(session: FoundSession, after: list[FoundSession]) -> bool:
    """Itself, or what has one of its CAN IDs and is surer, or has a direction more."""
    return any(
        each.score >= session.score or directions(each) > directions(session)
        for each in after
        if ids_of(each) & ids_of(session)
    )
