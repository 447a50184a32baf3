"""What all readers share: the options of one reading, and the list of what could not be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from isotp._logs import DEFECTS_KEPT, FrameCollector, LogParser
from isotp.bulk._records import Records
from isotp.capture._channels import Channels

# Problems that are kept of one log; all are counted.
MOST_PROBLEMS: Final = DEFECTS_KEPT


@dataclass(frozen=True)
class Problem:
    """Something in a log that could not be read.

    `offset` is the byte of the (unpacked) log at which it begins; for BLF, at which its log container begins.
    `line` counts from 1, and is None in binary logs.
    """

    name: str
    offset: int
    line: int | None
    reason: str

    def __str__(self) -> str:
        place = f"byte {self.offset}" if self.line is None else f"line {self.line}"
        return f"{self.name}: {place}: {self.reason}"


@dataclass
class Reading:
    """One log being read: what is wanted of it, and what went wrong."""

    name: str
    channels: Channels
    start: int | None = None
    end: int | None = None
    wanted: list[int] | None = None
    absolute: bool = False
    block_size: int = 1 << 20
    problems: list[Problem] = field(default_factory=list)
    problem_count: int = 0

    def report(self, offset: int, reason: str, line: int | None = None) -> None:
        self.problem_count += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(self.name, offset, line, reason))

    def collector(self) -> FrameCollector:
        return FrameCollector(self.start, self.end, self.wanted)

    def take_defects(self, parser: LogParser) -> None:
        """Report what the parser could not read since the last time."""
        found, count = parser.defects_found()
        for offset, line, reason in found:
            self.report(offset, reason, line or None)
        self.problem_count += count - len(found)

    def parse(self, parser: LogParser, block: bytes, final: bool = False) -> Iterator[Records]:
        records = parser.feed(block, final)
        self.take_defects(parser)
        if len(records) > 0:
            yield records
