"""Figures of sessions: how many messages of what kind, how fast, with what flow control, and how soon answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy
from numpy.typing import NDArray

from isotp.address import AbstractAddress
from isotp.bulk._address_text import address_text
from isotp.bulk._message import BROKEN_STATUSES, Direction, MessageStatus
from isotp.bulk._messages import Messages
from isotp.bulk._schema import STATUSES
from isotp.bulk._uds import Exchanges
from isotp.bulk._uds_figures import ServiceFigures, UdsFigures, times_as_json

__all__ = ["MessageColumns", "SessionFigures", "session_figures"]

Numbers = NDArray[Any]

KEPT = ("start", "end", "session", "channel", "direction", "status", "length", "frames", "stmin_us", "blocksize",
        "waits")  # fmt: skip


class MessageColumns:
    """The columns of many tables without their payloads: about 50 bytes a message."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Numbers]] = {name: [] for name in (*KEPT, "size", "pending")}
        self._columns: dict[str, Numbers] = {}
        self._sessions: tuple[AbstractAddress, ...] = ()

    def add(self, messages: Messages) -> None:
        """Take the columns of a table.

        :raises ValueError: if it has other sessions than those before.
        """
        if self._sessions not in ((), messages.sessions):
            raise ValueError("tables of different sessions: make one of them by Messages.concat()")
        self._sessions = messages.sessions
        for name in KEPT:
            # A copy: the memory of a table's column holds the payloads too.
            self._parts[name].append(numpy.array(messages.column(name)))
        offsets = numpy.asarray(messages.column("offsets"))
        self._parts["size"].append(numpy.diff(offsets))
        self._parts["pending"].append(are_pending(messages, offsets))
        self._columns = {}

    def __getitem__(self, name: str) -> Numbers:
        if name not in self._columns:
            parts = self._parts[name]
            none: Numbers = numpy.empty(0, numpy.bool_ if name == "pending" else numpy.int64)
            self._columns[name] = numpy.concatenate(parts) if parts else none
            self._parts[name] = [self._columns[name]] if parts else []
        return self._columns[name]

    def __len__(self) -> int:
        return len(self["start"])

    @property
    def broken(self) -> NDArray[numpy.bool_]:
        """Which messages ended in an error."""
        return numpy.isin(self["status"], [int(status) for status in BROKEN_STATUSES])

    def sessions(self, channel_name: Callable[[int], str]) -> Iterator[SessionFigures]:
        """Each session on each channel, the busiest first.

        :param channel_name: of a channel by its number.
        """
        keys = self["channel"].astype(numpy.int64) << 32 | self["session"].astype(numpy.int64)
        lanes, counts = numpy.unique(keys, return_counts=True)
        order = numpy.argsort(keys, kind="stable")
        begins = numpy.cumsum(counts) - counts
        for place in numpy.lexsort((lanes, -counts)).tolist():
            rows = order[begins[place] : begins[place] + counts[place]]
            lane = int(lanes[place])
            channel = lane >> 32
            yield SessionFigures(
                self, rows, self._sessions[lane & 0xFFFFFFFF], channel, channel_name(channel)
            )


def are_pending(messages: Messages, offsets: Numbers) -> NDArray[numpy.bool_]:
    """Which messages say 7F xx 78: the response takes longer (ISO 14229-1)."""
    found: NDArray[numpy.bool_] = numpy.diff(offsets) == 3
    begins = offsets[:-1][found] - offsets[0]  # of a slice, they do not begin at 0
    data = numpy.asarray(messages.data)
    found[found] = (data[begins] == 0x7F) & (data[begins + 2] == 0x78)
    return found


@dataclass(frozen=True)
class SessionFigures:
    """One session on one channel. "tx" is what went as its address sends.

    `rows` are the places of its messages in `columns`; `services` has a :class:`ServiceFigures` for each service of
    UDS, if these were asked for.
    """

    columns: MessageColumns
    rows: Numbers
    address: AbstractAddress
    channel: int
    channel_name: str
    services: tuple[ServiceFigures, ...] = ()

    def column(self, name: str) -> Numbers:
        return self.columns[name][self.rows]

    def asked(self, name: str) -> list[int]:
        """The values of "stmin_us" or "blocksize" that flow control frames had."""
        values = numpy.unique(self.column(name))
        return [value for value in values.tolist() if value >= 0]

    @property
    def statuses(self) -> dict[str, int]:
        """How many messages ended how, by the name of the status."""
        counts = numpy.bincount(self.column("status")).tolist()
        return {STATUSES[status]: count for status, count in enumerate(counts) if count}

    @property
    def span(self) -> tuple[int, int]:
        """From the first frame of a message to the last, in ns."""
        return int(self.column("start").min()), int(self.column("end").max())

    def per_second(self, amount: int) -> float | None:
        """`amount` over the time of the session; None if that is nothing."""
        first, last = self.span
        return amount * 1e9 / (last - first) if last > first else None

    def traffic(self, direction: Direction) -> dict[str, int]:
        chosen = self.column("direction") == direction
        return {
            "messages": int(chosen.sum()),
            "bytes": int(self.column("size")[chosen].sum()),
            "frames": int(self.column("frames")[chosen].sum()),
        }

    def response_times(self) -> Numbers:
        """ns from the end of each complete message sent to the begin of the first one received after it."""
        sent = (self.column("direction") == Direction.TX) & (self.column("status") == MessageStatus.OK)
        asked = numpy.sort(self.column("end")[sent])
        answered = numpy.sort(self.column("start")[self.column("direction") == Direction.RX])
        question = numpy.searchsorted(asked, answered, side="right") - 1
        questions, first = numpy.unique(question, return_index=True)
        valid = questions >= 0
        times: Numbers = answered[first[valid]] - asked[questions[valid]]
        return times

    def frame_gaps(self) -> Numbers:
        """ns between the frames of each segmented message, on average over the message; -1 for single frames."""
        frames = self.column("frames").astype(numpy.int64)
        gaps = (self.column("end") - self.column("start")) // numpy.maximum(frames - 1, 1)
        return numpy.where(frames > 1, gaps, -1)

    def as_dict(self) -> dict[str, Any]:
        """All figures, as `isotp stats --json` has them: times in ns but STmin, which is in us."""
        first, last = self.span
        times = self.response_times()
        size = int(self.column("size").sum())
        return {
            "channel": self.channel_name,
            "session": address_text(self.address),
            "first": first,
            "last": last,
            "messages": len(self.rows),
            "bytes": size,
            "tx": self.traffic(Direction.TX),
            "rx": self.traffic(Direction.RX),
            "statuses": self.statuses,
            "messages_per_second": self.per_second(len(self.rows)),
            "bytes_per_second": self.per_second(size),
            "stmin_us": self.asked("stmin_us"),
            "blocksize": self.asked("blocksize"),
            "waits": int(self.column("waits").sum()),
            "response_times": times_as_json(times),
        }


def session_figures(tables: Messages | Iterable[Messages], *, uds: bool = False) -> list[SessionFigures]:
    """What the sessions in these tables were like, each on each channel, the busiest first: what `isotp stats` tells.

    :param tables: of one :class:`isotp.Reassembler` or :func:`isotp.capture.decode`, in their order; or one table.
        About 50 bytes a message are kept of them.
    :param uds: also the services of UDS.
    :raises ValueError: if tables have different sessions; `Messages.concat()` makes one of them.
    :raises ImportError: without NumPy (``pip install can-isotp-cython[tables]``).
    """
    columns, exchanges, services = MessageColumns(), Exchanges(), UdsFigures()
    names: dict[int, str] = {}
    for messages in (tables,) if isinstance(tables, Messages) else tables:
        columns.add(messages)
        names |= {
            number: messages.channel_name(number) for number in set(messages.column("channel").tolist())
        }
        if uds:
            services.add(messages, exchanges.rows(messages))
    found = list(columns.sessions(names.__getitem__))
    if not uds:
        return found
    return [
        replace(each, services=tuple(services.of(each.channel, address_text(each.address)))) for each in found
    ]
