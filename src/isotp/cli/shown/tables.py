"""Messages to lines and columns: a table to read, JSON lines, CSV and Parquet."""

from __future__ import annotations

import csv
import json
import shutil
from itertools import repeat
from typing import IO, TYPE_CHECKING, Any, Protocol

import typer
from rich.console import Console
from rich.style import Style

from isotp.bulk._messages import Messages
from isotp.bulk._schema import COLUMNS, STATUSES, UDS_COLUMNS, SessionWords, channel_text, text_rows
from isotp.bulk._uds import UdsRow
from isotp.cli.shown.uds import row_text
from isotp.cli.shown.words import seconds_text

if TYPE_CHECKING:
    import pyarrow

__all__ = ["CsvWriter", "JsonWriter", "MessageWriter", "ParquetWriter", "TableWriter"]


class MessageWriter(Protocol):
    """Where messages go, a table of them at a time, with what they say in UDS if the writer was made for that."""

    def write(self, messages: Messages, uds: list[UdsRow] | None = None) -> None: ...

    def close(self) -> None:
        """Write what was held back, if anything is."""


class JsonWriter(MessageWriter):
    """One JSON object a line: the columns of isotp.bulk._schema as text."""

    def __init__(self, stream: IO[str], *, uds: bool = False) -> None:
        self._stream = stream
        self._words = SessionWords()
        self._names = COLUMNS + (UDS_COLUMNS if uds else ())
        self._encode = json.JSONEncoder(separators=(",", ":")).encode

    def write(self, messages: Messages, uds: list[UdsRow] | None = None) -> None:
        for row in text_rows(messages, self._words, uds):
            self._stream.write(self._encode(dict(zip(self._names, row, strict=True))) + "\n")
        self._stream.flush()


class CsvWriter(MessageWriter):
    """RFC 4180 with a header line; the values are those of JSON, empty for what was not seen."""

    def __init__(self, stream: IO[str], *, uds: bool = False) -> None:
        self._stream = stream
        self._words = SessionWords()
        self._csv = csv.writer(stream, lineterminator="\n")
        self._csv.writerow(COLUMNS + (UDS_COLUMNS if uds else ()))

    def write(self, messages: Messages, uds: list[UdsRow] | None = None) -> None:
        self._csv.writerows(text_rows(messages, self._words, uds))
        self._stream.flush()


STATUS_STYLES = {"ok": Style(color="green"), "open": Style(color="yellow")}
BROKEN_STYLE = Style(color="red", bold=True)


class TableWriter(MessageWriter):
    """Lines for people: columns of a fixed width, colours on a terminal, and payloads cut to its width."""

    HEADER = f"{'TIME':>17}  {'CHANNEL':8}  {'FROM':11}  {'TO':11}  {'STATUS':27}  {'BYTES':>7}  "
    UDS_WIDTH = 48
    LEAST_BYTES = 8

    def __init__(self, stream: IO[str], *, full: bool = False, uds: bool = False) -> None:
        self._stream = stream
        self._words = SessionWords()
        console = Console(file=stream)
        self._colours = console.is_terminal and not console.no_color
        header = self.HEADER + (f"{'UDS':{self.UDS_WIDTH}}  " if uds else "")
        before = len(header)
        header += "PAYLOAD"
        self._most = self._bytes_shown(
            before, shutil.get_terminal_size().columns if stream.isatty() else 160, full
        )
        self._stream.write((Style(bold=True).render(header) if self._colours else header) + "\n")

    def _bytes_shown(self, before: int, width: int, full: bool) -> int | None:
        if full:
            return None
        return max((width - before - len(" ...")) // 3, self.LEAST_BYTES)

    def write(self, messages: Messages, uds: list[UdsRow] | None = None) -> None:
        self._words.learn(messages)
        names = ("start", "channel", "session", "direction", "target_type", "status", "length")
        columns = [messages.column(name).tolist() for name in names]
        said = repeat("") if uds is None else (f"{row_text(row):{self.UDS_WIDTH}}  " for row in uds)
        for values, payload, told in zip(zip(*columns, strict=True), messages.payloads, said, strict=False):
            self._stream.write(self._line(messages, values, payload, told))
        self._stream.flush()

    def _line(self, messages: Messages, values: tuple[int, ...], payload: bytes, told: str) -> str:
        start, channel, session, direction, target_type, status, length = values
        sender = self._words.can_id(session, direction, target_type)
        receiver = self._words.can_id(session, 1 - direction, 0)
        return (
            f"{seconds_text(start):>17}  {channel_text(messages, channel):8}  {sender:11}  {receiver:11}"
            f"  {self._status(STATUSES[status])}  {self._size(length, payload):>7}  {told}{self._hex(payload)}\n"
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
    """What Messages.to_arrow() makes of them, for pandas, Polars, DuckDB and the like."""

    ROWS_IN_GROUP = 65_536
    BYTES_IN_GROUP = 64 << 20

    def __init__(self, stream: IO[bytes], *, uds: bool = False) -> None:
        self.check()
        self._stream = stream
        self._uds = uds
        self._writer: Any = None
        self._tables: list[pyarrow.Table] = []
        self._rows = self._bytes = 0

    @staticmethod
    def check() -> None:
        """Refuse to begin what can not be written."""
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise typer.BadParameter(
                f"Parquet is written with pyarrow: pip install 'can-isotp-cython[tables]' ({error})",
                param_hint="--format",
            ) from None

    def write(self, messages: Messages, uds: list[UdsRow] | None = None) -> None:
        self.add(messages.to_arrow(uds=uds or False))

    def add(self, table: pyarrow.Table) -> None:
        """Such a table, or some columns of one; the same each time."""
        self._tables.append(table)
        self._rows += table.num_rows
        self._bytes += table.nbytes
        if self._rows >= self.ROWS_IN_GROUP or self._bytes >= self.BYTES_IN_GROUP:
            self._write_group()

    def _write_group(self) -> None:
        import pyarrow
        from pyarrow import parquet

        # Tables differ in the words that they have, but not in what these stand for.
        table = pyarrow.concat_tables(self._tables).unify_dictionaries()
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._stream, table.schema, compression="zstd")
        self._writer.write_table(table)
        self._tables = []
        self._rows = self._bytes = 0

    def close(self) -> None:
        if self._tables or self._writer is None:
            # A file without a message has a schema all the same.
            self._tables = self._tables or [Messages.concat([]).to_arrow(uds=self._uds)]
            self._write_group()
        self._writer.close()
