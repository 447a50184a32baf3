"""What the harnesses of single log formats share: one log, read in two ways."""

from __future__ import annotations

import io
from collections.abc import Callable

from checks.fuzz.choices import Choices
from isotp import capture
from isotp._logs import LogParser


def number_of(name: str) -> int:
    """The number of a channel: any, but always the same."""
    return len(name)


def read_in_pieces(make: Callable[[], LogParser], log: bytes, cuts: bytes) -> None:
    """However a log is cut into blocks, its frames and its defects are the same."""
    whole, cut = make(), make()
    expected = list(whole.feed(log, True))
    found = []
    place = 0
    for size in cuts:
        found += list(cut.feed(log[place : place + size]))
        place += size
    found += list(cut.feed(log[place:]))
    found += list(cut.feed(b"", True))
    assert found == expected, "the frames depend on the blocks"
    assert whole.defects_found() == cut.defects_found(), "the defects depend on the blocks"
    assert whole.channels_seen == cut.channels_seen
    assert len(expected) <= len(log)
    assert all(len(record.data) <= 64 for record in expected)


def read_log(log: bytes, log_format: str | None, *, absolute: bool = False) -> None:
    """A log as users read it: there is always an end, and the problems are counted."""
    try:
        reading = capture.open(io.BytesIO(log), format=log_format, absolute=absolute, block_size=4096)
    except capture.UnknownFormatError:
        return
    with reading:
        for records in reading:
            assert len(records) > 0, "pieces without frames are not given"
    assert reading.problem_count >= len(reading.problems)
    assert all(problem.reason and problem.offset >= 0 for problem in reading.problems)


def split(data: bytes) -> tuple[Choices, bytes]:
    """Sixteen bytes of choices, and the log."""
    return Choices(data[:16]), data[16:]
