"""Messages to lines and columns for programs: JSON lines, CSV and Parquet."""

from __future__ import annotations

import csv
import json
from typing import IO, TYPE_CHECKING, Any, Protocol

import typer

from isotp.bulk._messages import Messages
from isotp.bulk._schema import COLUMNS, UDS_COLUMNS, SessionWords, text_rows
from isotp.bulk._uds import UdsRow

if TYPE_CHECKING:
    import pyarrow

__all__ = ["CsvWriter", "JsonWriter", "MessageWriter", "ParquetWriter"]


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
        """Refuse to begin what cannot be written."""
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
