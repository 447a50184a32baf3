"""Messages to lines and columns: a table to read, JSON lines, CSV and Parquet."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any, Protocol

import typer
from rich.console import Console
from rich.style import Style

from isotp.bulk._messages import Messages
from isotp.cli.addresses import address_text, can_id_text
from isotp.cli.shown.words import DIRECTIONS, STATUSES, TARGET_TYPES

if TYPE_CHECKING:
    import pyarrow

__all__ = ["CsvWriter", "JsonWriter", "MessageWriter", "ParquetWriter", "TableWriter"]

ChannelName = Callable[[int], str]

# The columns of isotp.Messages; `can_id` is that of the message's own frames.
FIELDS = (
    *("start", "end", "channel", "session", "direction", "can_id", "target_type", "status", "length"),
    *("frames", "blocksize", "stmin_us", "waits", "flow_controls", "payload"),
)


class MessageWriter(Protocol):
    """Where messages go, a table of them at a time."""

    def write(self, messages: Messages) -> None: ...

    def close(self) -> None:
        """Write what was held back, if anything is."""


class Names:
    """Words for the numbers in the columns, made once each."""

    def __init__(self, channel_name: ChannelName) -> None:
        self._channel_name = channel_name
        self._sessions: dict[int, str] = {}
        self._can_ids: dict[tuple[int, int, int], str] = {}

    def rows(self, messages: Messages) -> Iterator[tuple[Any, ...]]:
        """One tuple a message, in the order of FIELDS; None for what was not seen, the payload as bytes."""

        def column(name: str) -> list[int]:
            values: list[int] = messages.column(name).tolist()
            return values

        lanes = zip(column("session"), column("direction"), column("target_type"), strict=True)
        words: dict[str, Iterable[Any]] = {
            "channel": map(self._channel_name, column("channel")),
            "session": (self.session(messages, each) for each in column("session")),
            "direction": map(DIRECTIONS.__getitem__, column("direction")),
            "can_id": (self.can_id(messages, *lane) for lane in lanes),
            "target_type": map(TARGET_TYPES.__getitem__, column("target_type")),
            "status": map(STATUSES.__getitem__, column("status")),
            "blocksize": (None if each < 0 else each for each in column("blocksize")),
            "stmin_us": (None if each < 0 else each for each in column("stmin_us")),
            "payload": messages.payloads,
        }
        return zip(*(words[name] if name in words else column(name) for name in FIELDS), strict=True)

    def session(self, messages: Messages, session: int) -> str:
        if session not in self._sessions:
            self._sessions[session] = address_text(messages.sessions[session])
        return self._sessions[session]

    def can_id(self, messages: Messages, session: int, direction: int, target_type: int) -> str:
        key = session, direction, target_type
        if key not in self._can_ids:
            self._can_ids[key] = can_id_text(messages.sessions[session], direction, target_type)
        return self._can_ids[key]


class JsonWriter(MessageWriter):
    """One JSON object a line. Times are integers in ns, payloads are in hex."""

    def __init__(self, stream: IO[str], channel_name: ChannelName) -> None:
        self._stream = stream
        self._names = Names(channel_name)
        self._encode = json.JSONEncoder(separators=(",", ":")).encode

    def write(self, messages: Messages) -> None:
        for row in self._names.rows(messages):
            line = dict(zip(FIELDS, row, strict=True))
            line["payload"] = line["payload"].hex()
            self._stream.write(self._encode(line) + "\n")
        self._stream.flush()


class CsvWriter(MessageWriter):
    """RFC 4180 with a header line; the values are those of JSON, empty for what was not seen."""

    def __init__(self, stream: IO[str], channel_name: ChannelName) -> None:
        self._stream = stream
        self._names = Names(channel_name)
        self._csv = csv.writer(stream, lineterminator="\n")
        self._csv.writerow(FIELDS)

    def write(self, messages: Messages) -> None:
        self._csv.writerows((*row[:-1], row[-1].hex()) for row in self._names.rows(messages))
        self._stream.flush()


STATUS_STYLES = {"ok": Style(color="green"), "open": Style(color="yellow")}
BROKEN_STYLE = Style(color="red", bold=True)


class TableWriter(MessageWriter):
    """Lines for people: columns of a fixed width, colours on a terminal, and payloads cut to its width."""

    HEADER = f"{'TIME':>17}  {'CHANNEL':8}  {'FROM':11}  {'TO':11}  {'STATUS':27}  {'BYTES':>7}  PAYLOAD"
    LEAST_BYTES = 8

    def __init__(self, stream: IO[str], channel_name: ChannelName, *, full: bool) -> None:
        self._stream = stream
        self._names = Names(channel_name)
        self._channel_name = channel_name
        console = Console(file=stream)
        self._colours = console.is_terminal and not console.no_color
        self._most = self._bytes_shown(shutil.get_terminal_size().columns if stream.isatty() else 160, full)
        self._stream.write((Style(bold=True).render(self.HEADER) if self._colours else self.HEADER) + "\n")

    def _bytes_shown(self, width: int, full: bool) -> int | None:
        if full:
            return None
        before = len(self.HEADER) - len("PAYLOAD")
        return max((width - before - len(" ...")) // 3, self.LEAST_BYTES)

    def write(self, messages: Messages) -> None:
        names = ("start", "channel", "session", "direction", "target_type", "status", "length")
        columns = [messages.column(name).tolist() for name in names]
        for values, payload in zip(zip(*columns, strict=True), messages.payloads, strict=True):
            self._stream.write(self._line(messages, values, payload))
        self._stream.flush()

    def _line(self, messages: Messages, values: tuple[int, ...], payload: bytes) -> str:
        start, channel, session, direction, target_type, status, length = values
        sender = self._names.can_id(messages, session, direction, target_type)
        receiver = self._names.can_id(messages, session, 1 - direction, 0)
        return (
            f"{seconds(start):>17}  {self._channel_name(channel):8}  {sender:11}  {receiver:11}"
            f"  {self._status(STATUSES[status])}  {self._size(length, payload):>7}  {self._hex(payload)}\n"
        )

    def _status(self, status: str) -> str:
        text = f"{status:27}"
        return STATUS_STYLES.get(status, BROKEN_STYLE).render(text) if self._colours else text

    @staticmethod
    def _size(length: int, payload: bytes) -> str:
        return str(length) if len(payload) == length else f"{len(payload)}/{length}"

    def _hex(self, payload: bytes) -> str:
        if self._most is None or len(payload) <= self._most:
            return payload.hex(" ")
        return payload[: self._most].hex(" ") + " ..."


class ParquetWriter(MessageWriter):
    """Columns for pandas, Polars, DuckDB and the like; payloads are binary, times are timestamps."""

    ROWS_IN_GROUP = 65_536
    BYTES_IN_GROUP = 64 << 20

    def __init__(self, stream: IO[bytes], channel_name: ChannelName) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise typer.BadParameter(
                f"Parquet is written with pyarrow: pip install 'can-isotp-cython[tables]' ({error})",
                param_hint="--format",
            ) from None
        self._pyarrow = pyarrow
        self._stream = stream
        self._channel_name = channel_name
        self._writer: Any = None
        self._tables: list[pyarrow.Table] = []
        self._rows = self._bytes = 0

    def write(self, messages: Messages) -> None:
        self._tables.append(self._named(messages))
        self._rows += len(messages)
        self._bytes += messages.nbytes
        if self._rows >= self.ROWS_IN_GROUP or self._bytes >= self.BYTES_IN_GROUP:
            self._write_group()

    def _named(self, messages: Messages) -> pyarrow.Table:
        """The table with channels and sessions as the other formats have them."""
        arrow = self._pyarrow
        table = messages.to_arrow()
        numbers = messages.column("channel").tolist()
        names = {number: self._channel_name(number) for number in set(numbers)}
        sessions = [address_text(address) for address in messages.sessions]
        indices = messages.column("session").tolist()
        replaced = {
            "channel": arrow.array([names[number] for number in numbers], arrow.string()),
            "session": arrow.array([sessions[index] for index in indices], arrow.string()),
        }
        kinds = {"direction": DIRECTIONS, "target_type": TARGET_TYPES, "status": STATUSES}
        columns = {name: replaced.get(name, table[name]) for name in table.column_names if name != "address"}
        columns |= {name: columns[name].cast(arrow.string()) for name in kinds}
        named: pyarrow.Table = arrow.table(columns)
        return named

    def _write_group(self) -> None:
        from pyarrow import parquet

        table = self._pyarrow.concat_tables(self._tables)
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._stream, table.schema, compression="zstd")
        self._writer.write_table(table)
        self._tables = []
        self._rows = self._bytes = 0

    def close(self) -> None:
        if self._tables or self._writer is None:
            # A file without a message has a schema all the same.
            self._tables = self._tables or [self._named(Messages.concat([]))]
            self._write_group()
        self._writer.close()


def seconds(ns: int) -> str:
    """A time in ns as decimal seconds, exact to the us."""
    sign = "-" if ns < 0 else ""
    return f"{sign}{abs(ns) // 10**9}.{abs(ns) % 10**9 // 1000:06}"
