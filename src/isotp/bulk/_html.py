"""What a notebook shows of tables of frames and messages: the first rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from isotp._can_ids import id_text
from isotp._printable import printable

if TYPE_CHECKING:
    from isotp.bulk._messages import Messages
    from isotp.bulk._records import Records

__all__ = ["MOST_ROWS", "html_table", "table_of_messages", "table_of_records"]

MOST_ROWS = 20
MOST_BYTES = 32  # of a payload

OF_MESSAGES = ("start_time", "channel", "session", "direction", "status", "length", "payload")
OF_RECORDS = ("timestamp", "channel", "CAN ID", "flags", "data")


def html_table(title: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table of HTML in which nothing that a log says is markup."""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(printable(value))}</td>" for value in row) + "</tr>" for row in rows
    )
    caption = f"<caption>{escape(printable(title))}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def table_of_messages(messages: Messages) -> str:
    from isotp.bulk._schema import (  # which has the table of messages to import
        COLUMNS,
        SessionWords,
        text_rows,
    )

    places = [COLUMNS.index(name) for name in OF_MESSAGES]
    rows = [
        [*(row[place] for place in places[:-1]), hex_of(bytes.fromhex(row[places[-1]]))]
        for row in text_rows(messages[:MOST_ROWS], SessionWords())
    ]
    return html_table(title_of(messages, "messages"), OF_MESSAGES, rows)


def table_of_records(records: Records) -> str:
    rows = [
        [each.timestamp, each.channel, id_text(each.can_id), f"{each.flags:02X}", hex_of(each.data)]
        for each in (records[place] for place in range(min(len(records), MOST_ROWS)))
    ]
    return html_table(title_of(records, "frames"), OF_RECORDS, rows)


def title_of(table: Messages | Records, noun: str) -> str:
    first = f", the first {MOST_ROWS}" if len(table) > MOST_ROWS else ""
    return f"{len(table)} {noun}{first}"


def hex_of(data: bytes) -> str:
    return data[:MOST_BYTES].hex(" ").upper() + (" ..." if len(data) > MOST_BYTES else "")
