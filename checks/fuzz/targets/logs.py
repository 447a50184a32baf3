"""What the harnesses of logs share: one log, read in several ways."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from typing import NamedTuple

from checks.fuzz.choices import Choices
from isotp import capture
from isotp.bulk._records import Record
from isotp.capture._parsers import LogParser


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
    assert len(expected) <= len(log)
    assert all(len(record.data) <= 64 for record in expected)


class Dribbling(io.BytesIO):
    """A file that gives few bytes at a time, as a pipe may."""

    def __init__(self, log: bytes, sizes: bytes) -> None:
        super().__init__(log)
        self._sizes = itertools.cycle(size or 5000 for size in sizes or b"\0")

    def read(self, size: int | None = -1) -> bytes:
        given = next(self._sizes)
        return super().read(given if size is None or size < 0 else min(size, given))


class Outcome(NamedTuple):
    """What there was to read in a log."""

    frames: list[Record]
    problems: list[tuple[int, int | None, str]]
    problem_count: int
    channels: dict[str, int]
    format: str
    compression: str | None


def outcome(
    file: io.BytesIO, log_format: str | None, *, absolute: bool = False, block_size: int = 1 << 20
) -> Outcome | None:
    """A log as users read it; None if it is none."""
    try:
        reading = capture.open(file, format=log_format, absolute=absolute, block_size=block_size)
    except capture.UnknownFormatError:
        return None
    frames = []
    with reading:
        for records in reading:
            assert len(records) > 0, "pieces without frames are not given"
            frames += list(records)
    problems = [(each.offset, each.line, each.reason) for each in reading.problems]
    assert len(problems) == min(reading.problem_count, 1000)
    assert all(reason and offset >= 0 for offset, _, reason in problems)
    return Outcome(
        frames,
        problems,
        reading.problem_count,
        reading.channels.numbers,
        reading.format,
        reading.compression,
    )


def read_log(log: bytes, log_format: str | None, *, absolute: bool = False, sizes: bytes = b"") -> None:
    """There is always an end, and the same for blocks of each size and files that give few bytes at a time."""
    expected = outcome(io.BytesIO(log), log_format, absolute=absolute)
    small = outcome(io.BytesIO(log), log_format, absolute=absolute, block_size=4096)
    assert small == expected, "what is read depends on the size of the blocks"
    dribbled = outcome(Dribbling(log, sizes), log_format, absolute=absolute, block_size=10_000)
    assert dribbled == expected, "what is read depends on how many bytes come at once"


def split(data: bytes) -> tuple[Choices, bytes]:
    """Sixteen bytes of choices, and the log."""
    return Choices(data[:16]), data[16:]
