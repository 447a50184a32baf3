"""The one schema of messages: which columns every table and file has, in their order, and the words in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from isotp._extras import extra
from isotp._printable import printable
from isotp.address import AbstractAddress, TargetAddressType
from isotp.bulk._address_text import address_text, can_id_text
from isotp.bulk._message import Direction, MessageStatus
from isotp.bulk._uds import FIELDS as UDS_COLUMNS
from isotp.bulk._uds import Exchanges, UdsRow

if TYPE_CHECKING:
    import pyarrow

    from isotp.bulk._messages import Messages

__all__ = [
    "COLUMNS",
    "DIRECTIONS",
    "STATUSES",
    "TARGET_TYPES",
    "UDS_COLUMNS",
    "SessionWords",
    "arrow_table",
    "channel_text",
    "direction_of",
    "status_of",
    "text_rows",
]

# docs/table.md says what each of them has.
COLUMNS: Final = (
    *("start", "end", "start_time", "end_time", "channel", "session", "direction", "can_id", "target_type", "status"),
    *("length", "frames", "blocksize", "stmin_us", "waits", "flow_controls", "payload"),
)  # fmt: skip
DIRECTIONS, TARGET_TYPES, STATUSES = (
    tuple(each.name.lower() for each in kind) for kind in (Direction, TargetAddressType, MessageStatus)
)
NUMBERS: Final = ("start", "end", "length", "frames", "waits", "flow_controls")
SEEN: Final = ("blocksize", "stmin_us")  # what is -1 in Messages where no flow control was seen

# Whether there are columns of UDS: True, or what has seen the messages before; or the rows themselves.
Uds: TypeAlias = "bool | Exchanges | list[UdsRow]"

NS: Final = 10**9
EPOCH: Final = datetime(1970, 1, 1)


class SessionWords:
    """The words for sessions and CAN IDs, made once for all tables that have the same sessions."""

    def __init__(self) -> None:
        self._sessions: tuple[AbstractAddress, ...] | None = None
        self.sessions: list[str] = []
        self._can_ids: list[str] = []

    def learn(self, messages: Messages) -> None:
        """Those of this table from now on."""
        if messages.sessions is self._sessions:
            return
        self._sessions = messages.sessions
        self.sessions = [address_text(each) for each in messages.sessions]
        self._can_ids = [
            can_id_text(each, direction, target_type)
            for each in messages.sessions
            for direction in Direction
            for target_type in TargetAddressType
        ]

    def can_id(self, session: int, direction: int, target_type: int) -> str:
        return self._can_ids[session * 4 + direction * 2 + target_type]

    def can_ids(self) -> tuple[list[str], list[int]]:
        """All of them, each once, and the place of each session's there: in the order that can_id() counts in."""
        places: dict[str, int] = {}
        order = [places.setdefault(text, len(places)) for text in self._can_ids]
        return list(places), order


def channel_text(messages: Messages, number: int) -> str:
    """As the log says it, except invisible characters."""
    return printable(messages.channel_name(number))


# ---------------------------------------------------------------- words in place of numbers


def status_of(given: object) -> MessageStatus:
    """A status, its number, or its word.

    :raises ValueError: if it is none.
    """
    return MessageStatus(_place(given, STATUSES))


def direction_of(given: object) -> Direction:
    """A direction, its number, or its word.

    :raises ValueError: if it is none.
    """
    return Direction(_place(given, DIRECTIONS))


def _place(given: Any, words: tuple[str, ...]) -> Any:
    if not isinstance(given, str):
        return given
    if given not in words:
        raise ValueError(f"{given!r} is none of {', '.join(words)}")
    return words.index(given)


# ---------------------------------------------------------------- text


def text_rows(
    messages: Messages, words: SessionWords, uds: Sequence[UdsRow] | None = None
) -> Iterator[tuple[Any, ...]]:
    """One tuple a message, in the order of COLUMNS and, if given, the columns of UDS, as text formats have it: payloads
    in hex, None for what was not seen.
    """
    words.learn(messages)
    channels = {number: channel_text(messages, number) for number in set(numbers(messages, "channel"))}
    lanes = zip(
        *(numbers(messages, name) for name in ("session", "direction", "target_type")),
        strict=True,
    )
    columns: dict[str, Iterable[Any]] = {name: numbers(messages, name) for name in NUMBERS}
    columns |= {name: (None if each < 0 else each for each in numbers(messages, name)) for name in SEEN}
    columns |= {
        "start_time": map(time_stamp, numbers(messages, "start")),
        "end_time": map(time_stamp, numbers(messages, "end")),
        "channel": map(channels.__getitem__, numbers(messages, "channel")),
        "session": map(words.sessions.__getitem__, numbers(messages, "session")),
        "direction": map(DIRECTIONS.__getitem__, numbers(messages, "direction")),
        "can_id": (words.can_id(*lane) for lane in lanes),
        "target_type": map(TARGET_TYPES.__getitem__, numbers(messages, "target_type")),
        "status": map(STATUSES.__getitem__, numbers(messages, "status")),
        "payload": map(bytes.hex, messages.payloads),
    }
    rows = zip(*(columns[name] for name in COLUMNS), strict=True)
    return rows if uds is None else ((*row, *more) for row, more in zip(rows, uds, strict=True))


def numbers(messages: Messages, name: str) -> list[int]:
    values: list[int] = messages.column(name).tolist()
    return values


def time_stamp(ns: int) -> str:
    """ISO 8601 in UTC, with all nine digits: what Arrow, pandas, Polars and DuckDB read as a time stamp."""
    seconds, rest = divmod(ns, NS)
    return f"{second_text(seconds)}.{rest:09}Z"


@lru_cache(4096)
def second_text(seconds: int) -> str:
    return (EPOCH + timedelta(seconds=seconds)).isoformat()


# ---------------------------------------------------------------- Arrow


def arrow_table(messages: Messages, data: memoryview, uds: Uds = False) -> pyarrow.Table:
    """The table that to_arrow(), and Parquet, has.

    :param data: the payloads, from where `offsets` count.
    :param uds: as to_arrow() takes it, or the rows themselves.
    """
    extra("pyarrow", "to_arrow()", "tables")
    import pyarrow

    words = SessionWords()
    words.learn(messages)
    arrays = ArrowColumns(messages)
    columns: dict[str, Any] = {name: arrays.plain(name) for name in NUMBERS}
    columns |= {name: arrays.seen(name) for name in SEEN}
    for name in ("start", "end"):
        columns[f"{name}_time"] = arrays.plain(name, pyarrow.timestamp("ns", "UTC"))
    can_ids, order = words.can_ids()
    columns |= {
        "channel": arrays.channels(),
        "session": arrays.coded(arrays.plain("session"), words.sessions),
        "direction": arrays.coded(arrays.plain("direction"), DIRECTIONS),
        "can_id": arrays.coded(pyarrow.array(order, pyarrow.int32()).take(arrays.lanes()), can_ids),
        "target_type": arrays.coded(arrays.plain("target_type"), TARGET_TYPES),
        "status": arrays.coded(arrays.plain("status"), STATUSES),
        "payload": pyarrow.Array.from_buffers(
            pyarrow.large_binary(),
            len(messages),
            [None, pyarrow.py_buffer(messages.column("offsets")), pyarrow.py_buffer(data)],
        ),
    }
    table = {name: columns[name] for name in COLUMNS}
    if uds is not False:
        rows = uds if isinstance(uds, list) else (Exchanges() if uds is True else uds).rows(messages)
        table |= arrays.of_uds(rows)
    return pyarrow.table(table)


class ArrowColumns:
    """Columns of Messages as arrays of Arrow, without a copy where they are the same."""

    def __init__(self, messages: Messages) -> None:
        import pyarrow
        import pyarrow.compute

        self._messages = messages
        self._arrow: Any = pyarrow
        kinds: dict[str, Callable[[], Any]] = {
            "q": pyarrow.int64, "I": pyarrow.uint32, "i": pyarrow.int32, "h": pyarrow.int16, "H": pyarrow.uint16,
            "B": pyarrow.uint8,
        }  # fmt: skip
        self._kinds = kinds

    def plain(self, name: str, kind: Any = None) -> Any:
        column = self._messages.column(name)
        kind = self._kinds[column.format]() if kind is None else kind
        return self._arrow.Array.from_buffers(
            kind, len(self._messages), [None, self._arrow.py_buffer(column)]
        )

    def seen(self, name: str) -> Any:
        compute: Any = self._arrow.compute

        values = self.plain(name)
        return compute.if_else(compute.less(values, 0), self._arrow.scalar(None, values.type), values)

    def coded(self, places: Any, words: Iterable[str]) -> Any:
        """Words by their places: what pandas calls categories."""
        dictionary = self._arrow.array(list(words), self._arrow.string())
        return self._arrow.DictionaryArray.from_arrays(places.cast(self._arrow.int32()), dictionary)

    def channels(self) -> Any:
        compute: Any = self._arrow.compute

        values = self.plain("channel")
        there = compute.unique(values)
        # Two names may look the same once they are printable: no word may be there twice.
        places: dict[str, int] = {}
        order = [
            places.setdefault(channel_text(self._messages, each), len(places)) for each in there.to_pylist()
        ]
        found = self._arrow.array(order, self._arrow.int32()).take(compute.index_in(values, there))
        return self.coded(found, places)

    def of_uds(self, rows: list[UdsRow]) -> dict[str, Any]:
        arrow = self._arrow
        kinds = {
            "uds_suppressed": arrow.bool_(),
            "uds_exchange": arrow.int64(),
            "uds_pending": arrow.int32(),
            "uds_response_ns": arrow.int64(),
        }
        columns = zip(*rows, strict=True) if rows else ((),) * len(UDS_COLUMNS)
        return {
            name: arrow.array(values, kinds[name])
            if name in kinds
            else arrow.array(values, arrow.string()).dictionary_encode()
            for name, values in zip(UDS_COLUMNS, columns, strict=True)
        }

    def lanes(self) -> Any:
        """The place of each message's CAN ID, as SessionWords counts them."""
        compute: Any = self._arrow.compute

        session, direction, target_type = (
            self.plain(name).cast(self._arrow.int32()) for name in ("session", "direction", "target_type")
        )
        by_session = compute.add(compute.multiply(session, 4), compute.multiply(direction, 2))
        return compute.add(by_session, target_type)
