"""Logs to messages: one recording as a stream, in parts if its file was rotated, and many recordings side by side."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, Final, TypeAlias, TypeGuard

from isotp.address import AbstractAddress
from isotp.bulk._address_text import address_text
from isotp.bulk._html import MOST_ROWS, html_table
from isotp.bulk._messages import Messages
from isotp.bulk._reassembler import Reassembler
from isotp.bulk._records import Records
from isotp.capture._capture import Capture, open
from isotp.capture._channels import Channels
from isotp.capture._merge import ChannelMap, Group, Merged, groups_of, open_group
from isotp.capture._reading import MOST_PROBLEMS, Problem
from isotp.capture._recognise import UnknownFormatError
from isotp.capture._remote import is_url
from isotp.capture._source import StrPath
from isotp.discovery import Discovery

Log: TypeAlias = "StrPath | BinaryIO"
Addresses: TypeAlias = "Iterable[AbstractAddress | tuple[AbstractAddress, str | int]]"

# Bytes of frame records that are read ahead of the reassembly, for each thread.
AHEAD: Final = 1 << 25


class Decoding:
    """A recording being decoded: an iterator of :class:`isotp.Messages`, and a context manager.

    Made by :func:`isotp.capture.decode`. Each table has the messages that ended in one block of the log; the last one
    has those that were still open at the end.
    """

    def __init__(
        self,
        parts: Sequence[Log | Group],
        reassembler: Reassembler,
        channels: Channels,
        opener: Callable[[Any], Capture | Merged],
        threads: int,
    ) -> None:
        self._parts = parts
        self._opener = opener
        self._open: list[Capture | Merged] = []
        self._threads = threads
        self._sizes = [os.stat(part).st_size for part in parts if is_path(part)]
        self._tables = self._decode()
        self._ended_bytes = 0
        self._last_name = ""
        self.reassembler = reassembler
        self.channels = channels
        #: What could not be read in the parts that are done, the first 1000.
        self.problems: list[Problem] = []
        #: How many problems there were.
        self.problem_count = 0
        #: How many frames were read.
        self.frames = 0

    @property
    def size(self) -> int | None:
        """Bytes of all files, None if one has no size."""
        return sum(self._sizes) if len(self._sizes) == len(self._parts) else None

    @property
    def bytes_read(self) -> int:
        """Bytes read from the files so far: for a progress bar, with `size`."""
        return self._ended_bytes + sum(capture.bytes_read for capture in self._open)

    def __iter__(self) -> Iterator[Messages]:
        return self._tables

    def table(self) -> Messages:
        """All messages that are still to come, as one table."""
        return Messages.concat(self)

    def _repr_html_(self) -> str:
        """What a notebook shows: how far it is; no message is taken away."""
        sessions = [address_text(each) for each in self.reassembler.sessions]
        rows = [
            ("parts", len(self._parts)),
            ("bytes", self.size if self.size is not None else "unknown"),
            ("bytes read", self.bytes_read),
            ("frames read", self.frames),
            ("sessions", ", ".join(sessions[:MOST_ROWS]) + (" ..." if len(sessions) > MOST_ROWS else "")),
            ("problems", self.problem_count),
        ]
        return html_table("Decoding", ("", ""), rows)

    def __enter__(self) -> Decoding:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop, and close the files."""
        self._tables.close()

    def _decode(self) -> Generator[Messages, None, None]:
        pieces = self._ahead() if min(self._threads, len(self._parts)) > 1 else self._one_by_one()
        try:
            for messages in reassembled(self._counted(pieces), self.reassembler):
                yield messages.with_channels(self.channels)
        finally:
            pieces.close()
        if self.reassembler.passed_over:
            self.problem_count += 1
            self.problems.append(Problem(self._last_name, 0, None, too_many_channels(self.reassembler)))

    def _counted(self, pieces: Iterable[Records]) -> Iterator[Records]:
        for records in pieces:
            self.frames += len(records)
            yield records

    def _start(self, part: Log | Group) -> Capture | Merged:
        capture = self._opener(part)
        self._open.append(capture)
        return capture

    def _end(self, capture: Capture | Merged) -> None:
        capture.close()
        self._open.remove(capture)
        self._ended_bytes += capture.bytes_read
        self._last_name = capture.name
        self.problems += capture.problems[: MOST_PROBLEMS - len(self.problems)]
        self.problem_count += capture.problem_count

    def _one_by_one(self) -> Generator[Records, None, None]:
        for part in self._parts:
            capture = self._start(part)
            try:
                yield from capture
            finally:
                self._end(capture)

    def _ahead(self) -> Generator[Records, None, None]:
        """The same, with the next parts read by other threads, each up to AHEAD bytes further."""
        waiting = deque(self._parts)
        reading: deque[tuple[Capture | Merged, Future[list[Records]]]] = deque()
        with ThreadPoolExecutor(self._threads, "isotp-capture") as pool:
            try:
                while waiting or reading:
                    while waiting and len(reading) < self._threads:
                        capture = self._start(waiting.popleft())
                        reading.append((capture, pool.submit(read_some, capture)))
                    capture, future = reading[0]
                    pieces = future.result()
                    reading.popleft()
                    if pieces:
                        reading.appendleft((capture, pool.submit(read_some, capture)))
                        yield from pieces
                    else:
                        self._end(capture)
            finally:
                for _, future in reading:
                    future.cancel()
                pool.shutdown()
                for capture, _ in reading:
                    self._end(capture)


def is_path(part: Log | Group) -> TypeGuard[StrPath]:
    """True for the path of a file here."""
    return isinstance(part, os.PathLike) or (isinstance(part, str) and not is_url(part))


def reassembled(pieces: Iterable[Records], reassembler: Reassembler) -> Iterator[Messages]:
    """All messages in these frames, in tables of those that ended in one piece; empty ones are left out."""
    for records in pieces:
        messages = reassembler.feed(records)
        if len(messages) > 0:
            yield messages
    messages = reassembler.flush()
    if len(messages) > 0:
        yield messages


def too_many_channels(reassembler: Reassembler) -> str:
    """What to say about the frames that a Reassembler passed over."""
    return f"{reassembler.passed_over} frames were on more channels than their addresses are followed on"


def read_some(capture: Capture | Merged) -> list[Records]:
    """The next pieces of a log, AHEAD bytes or a little more; none at the end."""
    pieces: list[Records] = []
    size = 0
    for records in capture:
        pieces.append(records)
        size += records.nbytes
        if size >= AHEAD:
            break
    return pieces


def decode(
    parts: Log | Sequence[Log],
    addresses: Addresses | None = None,
    *,
    format: str | None = None,
    channels: Iterable[str | int] | None = None,
    start: int | None = None,
    end: int | None = None,
    absolute: bool = False,
    merge: bool = False,
    names: Sequence[ChannelMap] | None = None,
    table: Channels | None = None,
    rx_consecutive_frame_timeout: float = 1000,
    max_frame_size: int | None = None,
    strict: bool = False,
    threads: int = 1,
    block_size: int = 1 << 19,
) -> Decoding:
    """Decode a recording as a stream: memory does not grow with the size of the log.

    :param parts: a log (see :func:`isotp.capture.open`), or several: the parts of one recording in their order, if
        the logger began new files. A message that runs from one into the next is put together.
    :param addresses: addresses of the sessions, as for :class:`isotp.Reassembler`; you may give channels by their
        names. None: those that :class:`isotp.Discovery` finds in the log, which is then read twice.
    :param format: the format of the logs, if their content does not show it.
    :param channels: names or numbers of the channels to decode; None: all.
    :param start: ns; frames before this time are left out.
    :param end: ns; frames at this time and after it are left out.
    :param absolute: add the date of ASC files to their times; needed for parts that each begin at 0.
    :param merge: the parts were recorded at the same time: read them as one, in the order of their times (see
        :func:`merge`).
    :param names: other names of channels, for each part, as for :func:`merge`.
    :param table: the numbers of the channels' names.
    :param rx_consecutive_frame_timeout: N_Cr in ms, by the times in the log.
    :param max_frame_size: longest message in bytes; None: no limit.
    :param strict: follow ISO 15765-2 where can-isotp deviates from it, as for :class:`isotp.Reassembler`.
    :param threads: how many parts are read at the same time or, if there are fewer parts, how many blocks of each.
        The result does not depend on it.
    :param block_size: bytes that are parsed at once.
    :raises ValueError: for a wrong option or address, or if sessions are to be discovered in a stream. Iterating
        raises what :func:`isotp.capture.open` does.
    :raises OSError: if a file is not there.
    """
    if threads < 1:
        raise ValueError(f"threads must be 1 or more, not {threads!r}")
    if isinstance(parts, (str, os.PathLike)) or not isinstance(parts, Sequence):
        parts = [parts]
    table = Channels() if table is None else table
    opener: partial[Any] = partial(
        open,
        format=format,
        channels=None if channels is None else list(channels),
        start=start,
        end=end,
        table=table,
        absolute=absolute,
        block_size=block_size,
        threads=max(threads // max(len(parts), 1), 1),
    )
    read: Sequence[Log | Group] = parts
    if merge or names is not None:
        read, opener = groups_of(parts, names, together=merge), partial(open_group, **opener.keywords)
    reassembler = Reassembler(
        discovered(read, opener) if addresses is None else [numbered(each, table) for each in addresses],
        rx_consecutive_frame_timeout=rx_consecutive_frame_timeout,
        max_frame_size=max_frame_size,
        strict=strict,
    )
    return Decoding(read, reassembler, table, opener, threads)


def discovered(
    parts: Sequence[Log | Group], opener: Callable[[Any], Capture | Merged]
) -> list[tuple[AbstractAddress, int]]:
    """The sessions in a log, each with its channel."""
    discovery = Discovery()
    for part in parts:
        for log in part.logs if isinstance(part, Group) else [part]:
            if not isinstance(log, (str, os.PathLike)):
                raise ValueError(f"sessions are discovered in files, which can be read twice, not in {log!r}")
        with opener(part) as capture:
            for records in capture:
                discovery.feed(records)
    return [(session.address, session.channel) for session in discovery.sessions()]


def numbered(
    address: AbstractAddress | tuple[AbstractAddress, str | int], table: Channels
) -> AbstractAddress | tuple[AbstractAddress, int]:
    """The same with the channel as a number."""
    if isinstance(address, tuple) and isinstance(address[1], str):
        return address[0], table.number_of(address[1])
    return address  # type: ignore[return-value]


@dataclass(frozen=True)
class Decoded:
    """What one recording held."""

    parts: tuple[str, ...]
    messages: Messages
    channels: Channels
    frames: int
    problems: list[Problem] = field(default_factory=list)
    problem_count: int = 0


def decode_recording(recording: Sequence[StrPath], addresses: Any, options: dict[str, Any]) -> Decoded:
    """Decode one recording as a whole; a task for an executor, so it takes and gives what can be pickled."""
    parts = tuple(os.fspath(part) for part in recording)
    table = options.get("table") or Channels()
    try:
        with decode(parts, addresses, **{**options, "table": table}) as decoding:
            messages = decoding.table()
    # One bad file does not end the decoding of all the others.
    except (OSError, UnknownFormatError) as error:
        problem = Problem(", ".join(parts), 0, None, f"{type(error).__name__}: {error}")
        return Decoded(parts, Messages.concat([]), table, 0, [problem], 1)
    return Decoded(parts, messages, table, decoding.frames, decoding.problems, decoding.problem_count)


def decode_all(
    recordings: Iterable[StrPath | Sequence[StrPath]],
    addresses: Addresses | None = None,
    *,
    executor: Executor | None = None,
    ahead: int | None = None,
    **options: Any,
) -> Iterator[Decoded]:
    """Decode many recordings, each as a whole; yields a :class:`Decoded` for each, in their order.

    :param recordings: paths; several of them (a list or tuple) are the parts of one recording.
    :param addresses: as for :func:`decode`; None: each recording's own are discovered.
    :param executor: where the work is done, one task a recording: a pool of threads (the parsers and the reassembly
        release the GIL), of processes, or `client.get_executor()` of Dask; None: here.
    :param ahead: tasks that are given out at the same time; None: twice the processors of this machine.
    :param options: those of :func:`decode`. With threads, all recordings share a `table` that is given.
    :raises ValueError: for a wrong option or address. A file that cannot be opened, or is not a log, is a problem of
        its recording.
    """
    several = [
        (recording,) if isinstance(recording, (str, os.PathLike)) else tuple(recording)
        for recording in recordings
    ]
    ahead = 2 * (os.cpu_count() or 1) if ahead is None else ahead
    if ahead < 1:
        raise ValueError(f"ahead must be 1 or more, not {ahead!r}")
    # What is wrong with them is told here, not by a worker.
    addresses = None if addresses is None else list(addresses)
    decode([], addresses, **{**options, "names": None})
    task = partial(decode_recording, addresses=addresses, options=options)
    return map(task, several) if executor is None else in_order(executor, task, several, ahead)


def in_order(
    executor: Executor,
    task: Callable[[Sequence[StrPath]], Decoded],
    recordings: list[tuple[StrPath, ...]],
    ahead: int,
) -> Iterator[Decoded]:
    """As executor.map() does it, but results that nobody took yet do not pile up."""
    futures: deque[Future[Decoded]] = deque()
    try:
        for recording in recordings:
            if len(futures) == ahead:
                yield futures.popleft().result()
            futures.append(executor.submit(task, recording))
        while futures:
            yield futures.popleft().result()
    finally:
        for future in futures:
            future.cancel()
