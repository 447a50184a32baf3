"""Logs that a parser takes as they are: block after block, or text on several cores.

On several cores, blocks of whole lines are read ahead of those before them, by twins of the parser, which suppose that
nothing changes that decides how a line is read: it changes rarely behind the head of a log. What they found is taken
in the order of the log, if the parser is then in the state that they began with; if not, it reads the block itself. So
frames, problems and counts are those of one core, whatever the log holds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

from isotp.bulk._records import Records
from isotp.capture._parsers import LogParser, TextParser
from isotp.capture._reading import Reader, Reading
from isotp.capture._side_by_side import SideBySide, UntilError
from isotp.capture._source import Source

__all__ = ["parse_all", "parsed_by"]

LONGEST: Final = 65_536  # bytes of a line that is waited for
MOST_CREDIT: Final = 32  # blocks that may be read ahead in vain, after so many that were not


def parsed_by(kind: Callable[..., LogParser]) -> Reader:
    """Reading by a parser that takes the log as it is."""
    return lambda source, reading: parse_all(partial(reading.parser, kind), source, reading)


def parse_all(make: Callable[[], LogParser], source: Source, reading: Reading) -> Iterator[Records]:
    """Read a log by a parser that takes it as it is.

    :param make: makes that parser, and its twins.
    """
    parser = make()
    if reading.threads > 1 and source.is_steady and isinstance(parser, TextParser):
        with reading.reading_ahead():
            yield from TextReader(parser, make, reading).read(source)
    else:
        while block := source.read(reading.block_size):
            yield from reading.parse(parser, block)
    # If the packed data cut a line, the rest of it may look like a whole one.
    if not source.cut:
        yield from reading.parse(parser, b"", final=True)
    reading.left_out.update(parser.left_out())


class Lines(NamedTuple):
    """Whole lines, as a rule: `head`, and behind it `block[begin:end]`."""

    head: bytes
    block: bytes
    begin: int
    end: int


def lines_of(source: Source, size: int) -> Iterator[Lines]:
    """A log in blocks that end with a line, but for the last one and lines that are too long. Few bytes are copied."""
    rest = b""
    while block := source.read(size):
        begin = block.find(b"\n") + 1
        end = block.rfind(b"\n") + 1
        if end > 0:
            yield Lines(rest + block[:begin], block, begin, end)
            rest = block[end:]
        else:
            rest += block
            if len(rest) > LONGEST:
                yield Lines(rest, b"", 0, 0)
                rest = b""
    if rest:
        yield Lines(rest, b"", 0, 0)


class Ahead(NamedTuple):
    """What a twin found in lines that it read ahead from a state; no records: only the parser itself can."""

    lines: Lines
    state: tuple[Any, ...]
    twin: TextParser
    records: Records | None


class TextReader:
    """A text log, parsed by several threads.

    :param parser: the one whose state counts; `make` makes its twins.
    """

    def __init__(self, parser: TextParser, make: Callable[[], LogParser], reading: Reading) -> None:
        self._parser = parser
        self._make = make
        self._reading = reading
        self._twins: deque[Any] = deque()
        self._credit = MOST_CREDIT

    def read(self, source: Source) -> Iterator[Records]:
        tasks: SideBySide[Ahead] = SideBySide(self._reading.threads)
        blocks = UntilError(lines_of(source, self._reading.block_size))
        offset = 0
        try:
            for lines in blocks:
                state = self._parser.state() if offset > 0 and self._credit > 0 else None
                while tasks.is_full or (state is None and tasks):
                    yield from self._take(tasks.take())
                if state is None:
                    yield from self._parse(lines)
                else:
                    tasks.add(partial(self._by_twin, lines, state, offset))
                offset += len(lines.head) + lines.end - lines.begin
            while tasks:
                yield from self._take(tasks.take())
            blocks.check()
        finally:
            tasks.close()

    def _parse(self, lines: Lines) -> Iterator[Records]:
        return self._reading.parse(self._parser, lines.head + lines.block[lines.begin : lines.end])

    def _by_twin(self, lines: Lines, state: tuple[Any, ...], offset: int) -> Ahead:
        twin: Any = self._twins.popleft() if self._twins else self._make()
        return Ahead(lines, state, twin, twin.read_ahead(state, *lines, offset))

    def _take(self, ahead: Ahead) -> Iterator[Records]:
        if ahead.records is not None and self._parser.state() == ahead.state:
            self._credit = min(self._credit + 1, MOST_CREDIT)
            lines = self._parser.lines
            self._parser.follow(ahead.twin)
            yield from self._reading.take(ahead.twin, ahead.records, lines=lines)
        else:
            self._credit -= 1
            yield from self._parse(ahead.lines)
        self._twins.append(ahead.twin)
