"""What all formats share: how a format is described, the options of one reading, the list of what could not be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from isotp.bulk._records import Records
from isotp.capture._channels import Channels
from isotp.capture._parsers import DEFECTS_KEPT, LogParser
from isotp.capture._source import Source

__all__ = ["MOST_PROBLEMS", "Format", "Problem", "Reader", "Reading"]

# Problems that are kept of one log; all are counted.
MOST_PROBLEMS: Final = DEFECTS_KEPT

_Parser = TypeVar("_Parser", bound=LogParser)


@dataclass(frozen=True)
class Problem:
    """Something in a log that could not be read.

    `offset` is the byte of the (unpacked) log at which it begins; for BLF, where its log container begins. `line`
    counts from 1, and is None in binary logs.
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
    block_size: int = 1 << 19
    threads: int = 1
    problems: list[Problem] = field(default_factory=list)
    problem_count: int = 0
    #: What the log has beside frames: how many of each kind.
    others: dict[str, int] = field(default_factory=dict)
    #: Channels that have frames, and are not wanted.
    left_out: set[int] = field(default_factory=set)
    #: What the source told, until its turn comes; None: that is at once.
    held: list[tuple[int, str]] | None = None

    def report(self, offset: int, reason: str, line: int | None = None) -> None:
        self.problem_count += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(self.name, offset, line, reason))

    def report_of_source(self, offset: int, reason: str) -> None:
        """Where the bytes of the log end too early; told in its turn where they are read ahead."""
        if self.held is None:
            self.report(offset, reason)
        else:
            self.held.append((offset, reason))

    @contextmanager
    def reading_ahead(self) -> Iterator[None]:
        """What the source tells meanwhile, it tells at the end."""
        held: list[tuple[int, str]] = []
        self.held = held
        yield
        self.held = None
        for offset, reason in held:
            self.report(offset, reason)

    def pass_by(self, kind: str, number: int = 1) -> None:
        """Count something that is no frame."""
        self.others[kind] = self.others.get(kind, 0) + number

    def parser(self, kind: Callable[..., _Parser], *options: Any) -> _Parser:
        """A parser that numbers the channels and gives the frames that are wanted."""
        return kind(self.channels.number_of, *options, self.start, self.end, self.wanted)

    def parse(
        self, parser: LogParser, block: bytes, *, final: bool = False, container: int | None = None
    ) -> Iterator[Records]:
        """What a block of the log has; it may have been unpacked from the log's byte `container` on."""
        return self.take(parser, parser.feed(block, final), container=container)

    def take(
        self, parser: LogParser, records: Records, *, container: int | None = None, lines: int = 0
    ) -> Iterator[Records]:
        """What a parser found in a block, before which it did not see so many lines."""
        found, count = parser.defects_found()
        for offset, line, reason in found:
            if container is None:
                self.report(offset, reason, line + lines if line else None)
            else:
                self.report(container, f"{reason} (byte {offset} of the unpacked objects)")
        self.problem_count += count - len(found)
        for kind, number in parser.others_found().items():
            self.pass_by(kind, number)
        if len(records) > 0:
            yield records


Reader: TypeAlias = Callable[[Source, Reading], Iterator[Records]]


class Format(NamedTuple):
    """What a format's room says of it: how a log is read, and how its first bytes tell that it is one.

    `line` matches the beginning of a line that only this format has, anywhere in those bytes.
    """

    read: Reader
    magic: tuple[bytes, ...] = ()
    line: bytes | None = None
