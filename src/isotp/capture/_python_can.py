"""Logs that readers of python-can read, one message after the other."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Final

from isotp._can_ids import BRS, EFF_FLAG, EFF_MASK, ERR_FLAG, ESI, FDF, RTR_FLAG, SENT
from isotp.bulk._records import Records
from isotp.capture._reading import Reader, Reading
from isotp.capture._source import Source

if TYPE_CHECKING:
    from can import Message

    from isotp.capture._parsers import FrameCollector

__all__ = ["read_by"]

CHUNK: Final = 16_384  # frames of one Records
LONGEST_LINE: Final = 65_536
MOST_SECONDS: Final = (1 << 63) // 10**9  # of a record


class Lines:
    """The lines of a log as a text file for a reader, which knows where it is."""

    def __init__(self, source: Source, reading: Reading) -> None:
        self._source = source
        self._reading = reading
        self._rest = b""
        self._lines: list[bytes] = []
        # Bytes of a long line that are not kept: of the rest, and of the next line.
        self._rest_dropped = self._dropped = 0
        self._next_offset = 0
        self.offset = 0
        self.line = 0
        self.ended = False
        self.before: str | None = None  # a line to give once more

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        if self.before is not None:
            line, self.before = self.before, None
            return line
        while (raw := self._next_line()) is not None:
            self.line += 1
            self.offset = self._next_offset
            self._next_offset += len(raw) + self._dropped
            self._dropped = 0
            if len(raw) <= LONGEST_LINE:
                return raw.decode("utf-8", "replace")
            self._reading.report(self.offset, "a line is longer than 64 KiB", self.line)
        raise StopIteration

    def _next_line(self) -> bytes | None:
        while not self._lines and not self.ended:
            self._load()
        return self._lines.pop() if self._lines else None

    def _load(self) -> None:
        block = self._source.read(self._reading.block_size)
        lines = (self._rest + block).splitlines(keepends=True)
        if block:
            self._rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
        else:
            self.ended = True
            # The rest of a line that was cut with the packed data may look like a whole one.
            lines = [] if self._source.cut else lines
        if lines:
            self._dropped, self._rest_dropped = self._rest_dropped, 0
            self._lines = lines[::-1]
        if len(self._rest) > LONGEST_LINE + 1:
            # Nobody reads it: how long it is and whether it ends here is enough.
            self._rest_dropped += len(self._rest) - (LONGEST_LINE + 1)
            self._rest = self._rest[:LONGEST_LINE] + self._rest[-1:]

    # python-can takes what has both for an open file.
    def read(self, size: int = -1) -> str:
        raise OSError("a log is read by lines")

    def write(self, text: str) -> int:
        raise OSError("a log is only read")

    def close(self) -> None:
        """The source is closed by the capture."""


def read_by(reader_name: str, header: str | None = None) -> Reader:
    """Reading by a class of python-can; `header` is a line that it passes over, each time that it begins anew."""
    return partial(read_messages, reader_name, header)


def read_messages(
    reader_name: str, header: str | None, source: Source, reading: Reading
) -> Iterator[Records]:
    try:
        import can
    except ImportError as error:
        raise ImportError(
            f"{source.name} is read with python-can: pip install can-isotp-cython[capture]"
        ) from error
    lines = Lines(source, reading)
    reader = getattr(can, reader_name)(lines)
    collector = reading.collector()
    messages = iter(reader)
    count = 0
    given_up = -1
    while True:
        try:
            message = next(messages, None)
            if message is None:
                break
            put_message(message, collector, reading)
        # Whatever a line of nonsense makes of the reader; it is reported, and reading goes on behind it.
        except (ValueError, LookupError, TypeError, ArithmeticError, NotImplementedError) as error:
            reading.report(lines.offset, f"{type(error).__name__}: {error}", lines.line)
            if lines.line == given_up:  # nothing was read since: that will not change
                break
            given_up = lines.line
            lines.before = header
            messages = iter(reader)
            continue
        count += 1
        if count % CHUNK == 0 and len(records := collector.take()) > 0:
            yield records
    if len(records := collector.take()) > 0:
        yield records


def put_message(message: Message, collector: FrameCollector, reading: Reading) -> None:
    can_id = message.arbitration_id
    if not 0 <= can_id <= EFF_MASK:
        raise ValueError(f"no CAN identifier: {can_id:#x}")
    can_id |= EFF_FLAG if message.is_extended_id else 0
    can_id |= RTR_FLAG if message.is_remote_frame else 0
    can_id |= ERR_FLAG if message.is_error_frame else 0
    flags = (
        (FDF if message.is_fd else 0)
        | (BRS if message.bitrate_switch else 0)
        | (ESI if message.error_state_indicator else 0)
        | (0 if message.is_rx else SENT)
    )
    channel = message.channel
    if channel is None:
        channel = 0
    elif not isinstance(channel, int):
        channel = reading.channels.number_of(str(channel))
    length = min(message.dlc, 8) if message.is_remote_frame else len(message.data)
    collector.put(nanoseconds(message.timestamp), can_id, message.data, length, flags, channel & 0xFFFF)


def nanoseconds(seconds: float) -> int:
    """The decimal number that the float stands for, not the binary one that it is."""
    if not abs(seconds) < MOST_SECONDS:
        raise ValueError(f"the time {seconds} is out of range")
    # Nearly all logs have whole microseconds.
    microseconds = round(seconds * 1e6) * 1000
    if microseconds / 10**9 == seconds:
        return microseconds
    return round(Decimal(repr(seconds)).scaleb(9))
