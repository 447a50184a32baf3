"""One log: opened by what it holds, and read as frame records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

from isotp.bulk._records import Records
from isotp.capture._channels import Channels
from isotp.capture._formats import _FORMATS, FORMATS
from isotp.capture._reading import Problem, Reading
from isotp.capture._recognise import UnknownFormatError, format_of
from isotp.capture._source import Source, StrPath


class Capture:
    """A log of CAN frames: an iterator of :class:`isotp.Records`, and a context manager.

    Made by :func:`isotp.capture.open`. Iterating reads the log; each piece has the frames of about one block, in the
    order of the log. Use it from one thread at a time.
    """

    def __init__(self, source: Source, log_format: str, reading: Reading) -> None:
        self._source = source
        self._reading = reading
        self._format = log_format
        self._pieces = _FORMATS[log_format].read(source, reading)

    @property
    def name(self) -> str:
        """The path, or the name of the file object."""
        return self._source.name

    @property
    def format(self) -> str:
        """ "candump", "asc" or another one of FORMATS."""
        return self._format

    @property
    def compression(self) -> str | None:
        """ "gz", "zip", "bz2", "xz", "zstd", or None."""
        return self._source.compression

    @property
    def channels(self) -> Channels:
        """The names of the channel numbers in the records."""
        return self._reading.channels

    @property
    def problems(self) -> list[Problem]:
        """What could not be read so far, the first 1000."""
        return self._reading.problems

    @property
    def problem_count(self) -> int:
        """How many problems there were so far."""
        return self._reading.problem_count

    @property
    def others(self) -> dict[str, int]:
        """What the log has besides CAN frames and problems: how many of each kind so far."""
        return dict(self._reading.others)

    @property
    def left_out(self) -> list[str | int]:
        """The channels that have frames and are not among the `channels` asked for; known at the end of the log."""
        return [self.channels[number] for number in sorted(self._reading.left_out)]

    @property
    def bytes_read(self) -> int:
        """Bytes read from the file so far, counted packed: for a progress bar, with `size`."""
        return self._source.bytes_read

    @property
    def size(self) -> int | None:
        """Bytes of the file, None if it has no size (a pipe)."""
        return self._source.size

    def __iter__(self) -> Iterator[Records]:
        return self._pieces

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, if it was opened by its path."""
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()
        self._source.close()


def open(
    file: StrPath | BinaryIO,
    *,
    format: str | None = None,
    start: int | None = None,
    end: int | None = None,
    channels: Iterable[str | int] | None = None,
    table: Channels | None = None,
    absolute: bool = False,
    block_size: int = 1 << 19,
    threads: int = 1,
) -> Capture:
    """Open a log of CAN frames in one of FORMATS, plain or packed by gzip, zip, bzip2, xz or zstd. The content shows
    the format.

    :param file: a path, a URL that fsspec knows (``s3://bucket/drive.blf``; ``can-isotp-cython[url]``), or a file that
        is open for reading bytes; the latter is not closed.
    :param format: the format, if the content does not show it.
    :param start: ns; frames before this time are left out.
    :param end: ns; frames at this time and after it are left out.
    :param channels: names or numbers of the channels to keep; None: all.
    :param table: the table of channel names and their numbers, for several logs that belong together.
    :param absolute: add the date in the header of an ASC, BUSMASTER or Vehicle Spy file (local time) to its times,
        which otherwise count from the start of the measurement or of the day. Times of the other formats do not
        change; usually they are ns since 1970.
    :param block_size: bytes that are parsed at once, from 4096 on.
    :param threads: how many blocks of a file are parsed at the same time; those of a pipe are parsed one by one.
        Frames and problems do not depend on it.
    :raises UnknownFormatError: if the content is not a known log; it is a ValueError.
    :raises ValueError: if an option makes no sense.
    :raises OSError: if the file cannot be opened.
    :raises ImportError: if the library that reads this format is not installed.
    """
    if format is not None and format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, not {format!r}")
    if block_size < 4096:
        raise ValueError(f"block_size must be 4096 or more, not {block_size!r}")
    if threads < 1:
        raise ValueError(f"threads must be 1 or more, not {threads!r}")
    table = Channels() if table is None else table
    reading = Reading("", table, start, end, table.chosen(channels), absolute, block_size, threads)
    source = Source(file, reading.report_of_source, threads)
    try:
        reading.name = source.name
        found = format or format_of(source)
        if found is None:
            why = f": {reading.problems[0].reason}" if reading.problems else ""
            if not source.peek(1) and not why:
                raise UnknownFormatError(f"{source.name} is empty")
            raise UnknownFormatError(f"{source.name} is no log in a known format ({', '.join(FORMATS)}){why}")
        return Capture(source, found, reading)
    except BaseException:
        source.close()
        raise
