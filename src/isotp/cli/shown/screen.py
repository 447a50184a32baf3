"""Messages as lines for people: columns as wide as what they hold, and what does not fit below."""

from __future__ import annotations

import shutil
from itertools import chain, repeat
from typing import IO

from rich.console import Console
from rich.style import Style

from isotp.bulk._messages import Messages
from isotp.bulk._schema import STATUSES, SessionWords, channel_text
from isotp.bulk._uds import UdsRow
from isotp.cli.shown.tables import MessageWriter
from isotp.cli.shown.uds import row_text
from isotp.cli.shown.words import seconds_text

__all__ = ["TableWriter"]

STATUS_STYLES = {"ok": Style(color="green"), "open": Style(color="yellow")}
BROKEN_STYLE = Style(color="red", bold=True)
BOLD = Style(bold=True)

COLUMNS = ("TIME", "CHANNEL", "FROM", "TO", "STATUS", "BYTES", "UDS", "PAYLOAD")
STATUS, BYTES, UDS, PAYLOAD = range(4, 8)
TO_THE_RIGHT = (0, BYTES)

WIDTH_OF_FILES = 160  # of lines that do not go to a terminal
MOST_OF_UDS = 48  # a longer text moves the payload of its line alone
GAP = "  "
INDENT = "    "
LEAST_BYTES = 8  # of a payload, on a line with other columns

Cells = list[str]


class TableWriter(MessageWriter):
    """A table on a terminal or in a file.

    A column is as wide as what it holds in the tables so far. On a terminal, the columns that do not fit stand on the
    next line; payloads are cut at the end of theirs.
    """

    def __init__(self, stream: IO[str], *, full: bool = False, uds: bool = False) -> None:
        self._stream = stream
        self._words = SessionWords()
        console = Console(file=stream)
        self._colours = console.color_system is not None and not console.no_color
        self._is_full = full
        self._width = shutil.get_terminal_size().columns if stream.isatty() else WIDTH_OF_FILES
        self._wraps = stream.isatty()
        self._shown = [column for column in range(len(COLUMNS)) if uds or column != UDS]
        self._widths = [len(name) for name in COLUMNS]
        self._has_header = False

    def write(self, messages: Messages, uds: list[UdsRow] | None = None) -> None:
        self._words.learn(messages)
        names = ("start", "channel", "session", "direction", "target_type", "status", "length")
        columns = [messages.column(name).tolist() for name in names]
        said = repeat("") if uds is None else map(row_text, uds)
        rows = [
            self._cells(messages, values, payload, told)
            for values, payload, told in zip(
                zip(*columns, strict=True), messages.payloads, said, strict=False
            )
        ]
        self._widen(rows)
        lines = self._lines()
        self._write_header(lines)
        for row, payload in zip(rows, messages.payloads, strict=True):
            self._write_row(row, payload, lines)
        self._stream.flush()

    def close(self) -> None:
        """A table without a message has a header all the same."""
        self._write_header(self._lines())

    def _cells(self, messages: Messages, values: tuple[int, ...], payload: bytes, told: str) -> Cells:
        """All but the payload, whose place decides how much of it there is."""
        start, channel, session, direction, target_type, status, length = values
        return [
            seconds_text(start),
            channel_text(messages, channel),
            self._words.can_id(session, direction, target_type),
            self._words.can_id(session, 1 - direction, 0),
            STATUSES[status],
            str(length) if len(payload) == length else f"{len(payload)}/{length}",
            told,
        ]

    def _widen(self, rows: list[Cells]) -> None:
        for column in range(PAYLOAD):
            longest = max((len(row[column]) for row in rows), default=0)
            if column == UDS:
                longest = min(longest, MOST_OF_UDS)
            self._widths[column] = max(self._widths[column], longest)

    def _lines(self) -> list[list[int]]:
        """Which columns stand on which line of a message."""
        lines: list[list[int]] = [[]]
        left = self._width
        for column in self._shown:
            needed = 3 * LEAST_BYTES + len("...") if column == PAYLOAD else self._widths[column]
            if self._wraps and lines[-1] and needed > left:
                lines.append([])
                left = self._width - len(INDENT)
            lines[-1].append(column)
            left -= self._widths[column] + len(GAP)
        return lines

    def _write_header(self, lines: list[list[int]]) -> None:
        if self._has_header:
            return
        self._has_header = True
        for line in self._texts([*COLUMNS], lines):
            self._stream.write((BOLD.render(line) if self._colours else line) + "\n")

    def _write_row(self, row: Cells, payload: bytes, lines: list[list[int]]) -> None:
        before = len(INDENT) * (len(lines) > 1) + sum(
            self._widths[column] + len(GAP) for column in lines[-1][:-1]
        )
        if len(lines[-1]) > 1 and self._shown[-2] == UDS:
            before += max(len(row[UDS]) - self._widths[UDS], 0)
        for line in self._texts([*row, self._hex(payload, self._width - before)], lines, row[STATUS]):
            self._stream.write(line + "\n")

    def _texts(self, cells: Cells, lines: list[list[int]], status: str | None = None) -> list[str]:
        """The lines of a message, or of the header."""
        texts = []
        for number, columns in enumerate(lines):
            words = [self._padded(cells[column], column) for column in columns]
            words[-1] = words[-1].rstrip()
            if status is not None and self._colours and STATUS in columns:
                place = columns.index(STATUS)
                words[place] = STATUS_STYLES.get(status, BROKEN_STYLE).render(words[place])
            texts.append(INDENT * (number > 0) + GAP.join(words))
        # A message without a payload, say, has nothing below.
        return list(chain(texts[:1], (text for text in texts[1:] if text.strip())))

    def _padded(self, cell: str, column: int) -> str:
        width = self._widths[column]
        return f"{cell:>{width}}" if column in TO_THE_RIGHT else f"{cell:{width}}"

    def _hex(self, payload: bytes, width: int) -> str:
        """As much of it as there is room for."""
        if self._is_full or 3 * len(payload) - 1 <= width:
            return payload.hex(" ")
        most = max((width - len(" ...")) // 3, LEAST_BYTES)
        return payload.hex(" ") if len(payload) <= most else payload[:most].hex(" ") + " ..."
