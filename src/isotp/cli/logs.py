"""The logs of one command, read one after the other as if they were one, with a progress bar on a terminal."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

import typer
from rich.console import Console

from isotp import capture
from isotp._kept_stream import KeptStream
from isotp.address import AbstractAddress
from isotp.bulk._address_text import lanes_of
from isotp.bulk._messages import Messages
from isotp.bulk._reassembler import Reassembler
from isotp.bulk._records import Records
from isotp.bulk._uds import Exchanges, UdsRow
from isotp.bulk._uds_figures import UdsFigures
from isotp.capture._decode import reassembled, too_many_channels
from isotp.capture._side_by_side import cores
from isotp.cli.growing import GrowingFile
from isotp.cli.heard import Heard
from isotp.cli.options import checking
from isotp.cli.options.logs import STDIN, Place, Question
from isotp.cli.order import Order
from isotp.cli.shown.lines import printable
from isotp.discovery import Discovery, FoundSession

__all__ = [
    "LogFiles",
    "Sessions",
    "chosen_of",
    "messages_of",
    "progress_of",
    "reassembler_for",
    "sessions_of",
    "with_uds",
]

# Addresses, each with the number of the one channel that it is used on; None: all.
Sessions: TypeAlias = "list[tuple[AbstractAddress, int | None]]"

# A log, and other names of its channels.
NamedLog: TypeAlias = "tuple[Place, dict[str | int, str]]"

MOST_SHOWN = 20  # problems of one log, and discovered sessions
MOST_CANDIDATES = 3  # for sessions, that are shown where fewer than so many were found
LEAST_SCORE = 0.01  # of such a candidate


class LogFiles:
    """Frames of several logs, and what could not be read of them.

    :param progress: called with the file that is read, and the bytes of it that are done so far.
    :param again: also where no sessions are discovered, the logs may be read a second time: standard input is kept.
    """

    def __init__(
        self,
        question: Question,
        progress: Callable[[Place, int], None] | None = None,
        *,
        again: bool = False,
    ) -> None:
        self._question = question
        self._progress = progress
        self._keeps_input = again or question.discover
        self.channels = capture.Channels()
        self.frames = 0
        self.problem_count = 0
        self.problems: list[str] = []
        self._passed_over: list[str] = []
        self.found: list[FoundSession] = []
        #: What was nearly found, where little was.
        self.candidates: list[FoundSession] = []
        self._input: KeptStream | None = None
        self._growing: GrowingFile | None = None
        self.others: Counter[str] = Counter()
        #: What ends the following of the last log, which is read on when it grows; None: it is not followed.
        self.follow_until: threading.Event | None = None
        self._left_out: set[str] = set()
        self._heard = self._anew()
        self._order = Order()
        #: The log that is read, as it was named.
        self.current = ""

    def _anew(self) -> Heard:
        self.others.clear()
        self._left_out.clear()
        return Heard(self._question.addresses, partial(channel_number, self))

    def records(self) -> Iterator[Records]:
        """The frames of all logs; problems are counted anew each time."""
        self.frames = 0
        self.problem_count = len(self._passed_over)
        self.problems = list(self._passed_over)
        self._heard = self._anew()
        question = self._question
        logs = list(zip(question.logs, question.names or [{}] * len(question.logs), strict=True))
        self._order = Order()
        for group in [logs] if question.merge else [[each] for each in logs]:
            yield from self._records_of(group)

    def report_passed_over(self, reason: str) -> None:
        """Frames that were read, and not looked at: that remains true whatever is read again."""
        self._passed_over.append(reason)
        self.problem_count += 1
        self.problems.append(reason)

    def unheard(self) -> list[str]:
        """What was asked for and is not there, and what is there instead."""
        return self._order.lines + self._heard.lines(sorted(self._left_out))

    def channel_name(self, number: int) -> str:
        """As every output has it: the name is what somebody wrote into a log."""
        return printable(self.channels[number])

    def _records_of(self, logs: Sequence[NamedLog]) -> Iterator[Records]:
        """Those of one log, or of several that are read as one."""
        path = logs[-1][0]
        try:
            log = self._open(logs)
        except (OSError, ValueError) as error:
            self._end_following()
            self.problem_count += 1
            self.problems.append(str(error))
            return
        except ImportError as error:
            raise typer.BadParameter(printable(error), param_hint="LOG") from None
        try:
            self.current = str(path)
            self._order.begin(self.current)
            with log:
                for records in log:
                    self._order.look(records)
                    self.frames += len(records)
                    self._heard.look(records)
                    yield records
                    if self._progress is not None:
                        self._progress(path, log.bytes_read)
        except OSError as error:
            self.problem_count += 1
            self.problems.append(f"{path}: {error}" if isinstance(path, Path) else str(error))
        finally:
            self._end_following()
        self.others.update(log.others)
        self._left_out.update(printable(name) for name in log.left_out)
        self.problem_count += log.problem_count
        self.problems += [str(problem) for problem in log.problems[:MOST_SHOWN]]
        if log.problem_count > MOST_SHOWN:
            self.problems.append(f"{path}: {log.problem_count - MOST_SHOWN} more problems")

    def _open(self, logs: Sequence[NamedLog]) -> capture.Capture | capture.Merged:
        if len(logs) > 1 or logs[0][1]:
            files = [self._standard_input() if path == STDIN else path for path, _ in logs]
            return capture.merge(files, names=[names for _, names in logs], **self._options())
        path = logs[0][0]
        file: Place | BinaryIO = path
        if path == STDIN:
            file = self._standard_input()
        elif self.follow_until is not None and isinstance(path, Path) and path == self._question.logs[-1]:
            self._check_followed(path)
            self._growing = GrowingFile(path, self.follow_until)
            file = cast(BinaryIO, self._growing)
        # One that grows is read as it comes.
        threads = 1 if self._growing is not None else cores()
        return capture.open(file, **self._options(), threads=threads)

    def _options(self) -> dict[str, Any]:
        return {
            "channels": self._question.channels,
            "table": self.channels,
            "absolute": self._question.absolute,
            "format": self._question.log_format,
        }

    def _check_followed(self, path: Path) -> None:
        """What is followed must be something that can be read while it is written; it may still be empty."""
        with suppress(capture.UnknownFormatError), capture.open(path, **self._options()) as log:
            if log.compression is not None or log.format == "mf4":
                raise typer.BadParameter(
                    f"{printable(path)}: {log.compression or log.format} is read as a whole",
                    param_hint="--follow",
                )

    def _end_following(self) -> None:
        if self._growing is None:
            return
        self._growing.close()
        if self._growing.problem is not None:
            self.problem_count += 1
            self.problems.append(self._growing.problem)
        self._growing = None

    def _standard_input(self) -> BinaryIO:
        """Kept where it is read more than once."""
        if not self._keeps_input:
            return standard_input()
        if self._input is None:
            self._input = KeptStream(standard_input())
        self._input.rewind()
        return cast(BinaryIO, self._input)


def standard_input() -> BinaryIO:
    """Unbuffered, if there is a file behind it: frames of a live pipe are not held back until a block is full."""
    raw: BinaryIO = getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)
    return raw


def sessions_of(question: Question, files: LogFiles) -> Sessions:
    """The addresses given, with the numbers of their channels, and those discovered in a reading of its own."""
    sessions: Sessions = [
        (address, None if channel is None else channel_number(files, channel))
        for address, channel in question.addresses
    ]
    if question.discover:
        discovery = Discovery()
        for records in files.records():
            discovery.feed(records)
        files.found = [
            each
            for each in discovery.sessions(question.min_score)
            if not any(overlap(each, given) for given in sessions)
        ]
        if len(files.found) < MOST_CANDIDATES:
            nearly = discovery.candidates(MOST_CANDIDATES, question.min_score)
            files.candidates = [each for each in nearly if each.score >= LEAST_SCORE]
        sessions += [(each.address, each.channel) for each in files.found]
    return sessions


def overlap(found: FoundSession, given: tuple[AbstractAddress, int | None]) -> bool:
    """True if a CAN ID of the one is one of the other too, unless another byte before the N_PCI tells them apart."""
    address, channel = given
    return channel in (None, found.channel) and any(
        one.can_id == other.can_id
        and (None in (one.extension, other.extension) or one.extension == other.extension)
        for one in lanes_of(found.address)
        for other in lanes_of(address)
    )


def channel_number(files: LogFiles, channel: str) -> int:
    return int(channel) if channel.isdecimal() else files.channels.number_of(channel)


def messages_of(
    files: LogFiles, reassembler: Reassembler, beside: Callable[[Records], None] | None = None
) -> Iterator[Messages]:
    """All messages, in tables of those that ended in one piece of a log; empty ones are left out.

    :param beside: is given the frames too.
    """

    def pieces() -> Iterator[Records]:
        for records in files.records():
            if beside is not None:
                beside(records)
            yield records

    for messages in reassembled(pieces(), reassembler):
        yield messages.with_channels(files.channels)
    if reassembler.passed_over:
        files.report_passed_over(too_many_channels(reassembler))


def chosen_of(question: Question, tables: Iterable[Messages]) -> Iterator[Messages]:
    """The messages asked for, table by table."""
    for messages in tables:
        if question.picks_messages:
            messages = messages.filter(status=question.statuses, since=question.since, until=question.until)
        if len(messages) > 0:
            yield messages


def with_uds(
    question: Question, tables: Iterable[Messages], figures: UdsFigures | None
) -> Iterator[tuple[Messages, list[UdsRow] | None]]:
    """The messages asked for, with what they say in UDS if that is asked for: to requests that are left out, too.

    :param figures: of UDS, if that is asked for; counts all this.
    """
    if figures is None:
        yield from ((messages, None) for messages in chosen_of(question, tables))
        return
    exchanges = Exchanges()
    for messages in tables:
        rows = exchanges.rows(messages)
        chosen = chosen_rows(question, messages) if question.picks_messages else None
        figures.add(messages, rows, chosen)
        if chosen is not None:
            rows = [row for row, is_chosen in zip(rows, chosen, strict=True) if is_chosen]
            messages = messages.filter(status=question.statuses, since=question.since, until=question.until)
        if len(messages) > 0:
            yield messages, rows


def chosen_rows(question: Question, messages: Messages) -> list[bool]:
    """Which messages filter() gives for the question."""
    import numpy  # takes long, and few ask for so much

    status, start, end = (numpy.asarray(messages.column(name)) for name in ("status", "start", "end"))
    chosen = numpy.ones(len(messages), numpy.bool_)
    if question.statuses is not None:
        chosen &= numpy.isin(status, list(question.statuses))
    if question.since is not None:
        chosen &= end >= question.since
    if question.until is not None:
        chosen &= start < question.until
    found: list[bool] = chosen.tolist()
    return found


def reassembler_for(question: Question, sessions: Sessions) -> Reassembler:
    with checking("--address"):
        return Reassembler(
            [address if channel is None else (address, channel) for address, channel in sessions],
            rx_consecutive_frame_timeout=question.n_cr,
        )


@contextmanager
def progress_of(
    question: Question, console: Console, *, hidden: bool
) -> Iterator[Callable[[Place, int], None] | None]:
    """A bar on a terminal, and what to call with a log and the bytes of it that are read."""
    if hidden or not console.is_terminal:
        yield None
        return
    # It brings many modules, for a terminal alone.
    from rich import progress

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    # Standard output is somewhere else: what goes there must not be shown above the bar.
    with progress.Progress(
        *columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False
    ) as bar:
        tasks: dict[Place, progress.TaskID] = {}

        def show(path: Place, done: int) -> None:
            if path not in tasks:
                is_here = isinstance(path, Path) and path != STDIN and not question.merge
                total = Path(path).stat().st_size if is_here else None
                tasks[path] = bar.add_task(printable(path.name), total=total)
            bar.update(tasks[path], completed=done)

        yield show
