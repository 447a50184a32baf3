"""Messages to a Parquet data set: a folder with a folder for each session, channel or log, as Hive has it."""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

from isotp.bulk._address_text import address_text
from isotp.bulk._messages import Messages
from isotp.bulk._schema import channel_text
from isotp.bulk._uds import UdsRow
from isotp.cli.shown.tables import MessageWriter, ParquetWriter

__all__ = ["Partition", "PartitionedWriter"]

MOST_OPEN = 64  # files at the same time


class Partition(str, enum.Enum):
    """What has a folder of its own."""

    SESSION = "session"
    CHANNEL = "channel"
    LOG = "log"


class PartitionedWriter(MessageWriter):
    """Files `part-0.parquet` in folders like `session=7E0%3A7E8`, without the column that the folder stands for.

    :param log: what the log is called that the messages are of.
    """

    def __init__(self, folder: Path, by: Partition, log: Callable[[], str], *, uds: bool = False) -> None:
        self._folder = folder
        self._by = by
        self._log = log
        self._uds = uds
        self._open: OrderedDict[str, tuple[ParquetWriter, ExitStack]] = OrderedDict()
        self._parts: dict[str, int] = {}
        ParquetWriter.check()
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, messages: Messages, uds: list[UdsRow] | None = None) -> None:
        for name, rows in self._places(messages):
            table: Any = messages.to_arrow(uds=uds or False).take(rows)
            if self._by is not Partition.LOG:
                table = table.drop_columns([self._by.value])
            self._writer(name).add(table)

    def _places(self, messages: Messages) -> Iterator[tuple[str, list[int]]]:
        """The rows of each folder."""
        if self._by is Partition.LOG:
            yield self._log(), list(range(len(messages)))
            return
        if self._by is Partition.CHANNEL:
            values = messages.column("channel").tolist()
            names = {value: channel_text(messages, value) for value in set(values)}
        else:
            values = messages.column("session").tolist()
            names = {value: address_text(messages.sessions[value]) for value in set(values)}
        rows: dict[str, list[int]] = {}
        for row, value in enumerate(values):
            rows.setdefault(names[value], []).append(row)
        yield from rows.items()

    def _writer(self, name: str) -> ParquetWriter:
        if name not in self._open:
            if len(self._open) == MOST_OPEN:
                _, oldest = self._open.popitem(last=False)
                close(*oldest)
            folder = self._folder / f"{self._by.value}={quote(name, safe='')}"
            folder.mkdir(exist_ok=True)
            part = self._parts.get(name, 0)
            self._parts[name] = part + 1
            stack = ExitStack()
            stream = stack.enter_context((folder / f"part-{part}.parquet").open("wb"))
            self._open[name] = ParquetWriter(stream, uds=self._uds), stack
        self._open.move_to_end(name)
        return self._open[name][0]

    def close(self) -> None:
        for each in self._open.values():
            close(*each)
        self._open.clear()


def close(writer: ParquetWriter, stack: ExitStack) -> None:
    with stack:
        writer.close()
