"""Which frames of a log are those of chosen sessions, or of chosen messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy

from isotp.address import AbstractAddress
from isotp.bulk._address_text import lanes_of
from isotp.bulk._messages import Messages
from isotp.bulk._records import Records
from isotp.message import MessageStatus

__all__ = ["FrameFilter", "Spans"]

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[numpy.int64]

# Records as a structured array: see isotp.record_dtype.
FrameArray = Any

NO_PREFIX = 0x100  # in the place of the byte before the N_PCI
ANY_CHANNEL = 0x10000


class Spans:
    """When chosen messages were on the bus, by session and channel.

    One that broke off reaches up to the next message of its session, N_Cr at most, so that the frame it broke off at
    is within it.
    """

    def __init__(self, n_cr_ns: int) -> None:
        self._n_cr_ns = n_cr_ns
        self._chosen: dict[tuple[int, int], list[tuple[Numbers, Numbers, Numbers]]] = {}
        self._starts: dict[tuple[int, int], list[Numbers]] = {}
        self._sorted: dict[tuple[int, int], tuple[Numbers, Numbers]] = {}

    def add(self, messages: Messages) -> None:
        """Choose these messages."""
        for key, rows in by_lane(messages):
            start, end, status = (
                numpy.asarray(messages.column(name))[rows] for name in ("start", "end", "status")
            )
            self._chosen.setdefault(key, []).append((start, end, status))

    def add_starts(self, messages: Messages) -> None:
        """Know when these began, chosen or not."""
        for key, rows in by_lane(messages):
            self._starts.setdefault(key, []).append(numpy.asarray(messages.column("start"))[rows])

    def cover(self, session: int, channel: int, times: Numbers) -> NDArray[numpy.bool_]:
        """Which of the times lie within a chosen message of the session."""
        if (session, channel) not in self._chosen:
            return numpy.zeros(len(times), numpy.bool_)
        starts, latest = self._in_order(session, channel)
        place = numpy.searchsorted(starts, times, side="right") - 1
        covered: NDArray[numpy.bool_] = (place >= 0) & (latest[place] >= times)
        return covered

    def _in_order(self, session: int, channel: int) -> tuple[Numbers, Numbers]:
        """When the messages began, and the latest end of those so far: those of the two directions may overlap."""
        key = session, channel
        if key not in self._sorted:
            start, end, status = (numpy.concatenate(parts) for parts in zip(*self._chosen[key], strict=True))
            reach = numpy.minimum(self._next_start(key, end), end + self._n_cr_ns)
            end = numpy.where(status == MessageStatus.OK, end, numpy.maximum(end, reach))
            order = numpy.argsort(start, kind="stable")
            self._sorted[key] = start[order], numpy.maximum.accumulate(end[order])
        return self._sorted[key]

    def _next_start(self, key: tuple[int, int], times: Numbers) -> Numbers:
        """The last ns before the session's next message begins."""
        starts = numpy.append(numpy.sort(numpy.concatenate(self._starts[key])), numpy.iinfo(numpy.int64).max)
        following: Numbers = starts[numpy.searchsorted(starts[:-1], times, side="right")] - 1
        return following


def by_lane(messages: Messages) -> Iterator[tuple[tuple[int, int], NDArray[numpy.bool_]]]:
    """Each session and channel of the table, with its rows."""
    session, channel = (numpy.asarray(messages.column(name)) for name in ("session", "channel"))
    for key in sorted(set(zip(session.tolist(), channel.tolist(), strict=True))):
        yield key, (session == key[0]) & (channel == key[1])


def key_of(channel: Any, prefix: Any, can_id: Any) -> Any:
    """What says which session a frame belongs to, of one frame or of many."""
    return (channel << 41) | (prefix << 32) | can_id


class FrameFilter:
    """Tells which frames belong to sessions; with `spans`, only those of chosen messages, flow control among them."""

    def __init__(
        self, sessions: Sequence[tuple[AbstractAddress, int | None]], spans: Spans | None = None
    ) -> None:
        indices: dict[AbstractAddress, int] = {}
        owners: dict[int, int] = {}
        for address, channel in sessions:
            index = indices.setdefault(address, len(indices))
            where = ANY_CHANNEL if channel is None else channel
            for lane in lanes_of(address):
                before = NO_PREFIX if lane.extension is None else lane.extension
                # As the Reassembler has it, the first session keeps what several have in common.
                owners.setdefault(key_of(where, before, lane.can_id), index)
        self._keys = numpy.array(sorted(owners), numpy.int64)
        self._owners = numpy.array([owners[key] for key in sorted(owners)], numpy.int64)
        self._spans = spans

    def select(self, records: Records) -> FrameArray:
        """The frames of `records` that belong to the sessions, in their order, as an array of records."""
        frames: FrameArray = numpy.asarray(records)
        owners = self._owners_of(frames)
        chosen = owners >= 0
        if self._spans is not None:
            chosen &= self._covered(frames, owners)
        return frames[chosen]

    def _owners_of(self, frames: FrameArray) -> Numbers:
        """The session of each frame, -1 for none."""
        found = numpy.full(len(frames), -1, numpy.int64)
        if len(self._keys) == 0:
            return found
        can_id = frames["can_id"].astype(numpy.int64)
        channel = frames["channel"].astype(numpy.int64)
        prefix = numpy.where(frames["len"] > 0, frames["data"][:, 0].astype(numpy.int64), NO_PREFIX)
        for where in (channel, numpy.int64(ANY_CHANNEL)):
            for before in (numpy.int64(NO_PREFIX), prefix):
                keys = key_of(where, before, can_id)
                place = numpy.minimum(numpy.searchsorted(self._keys, keys), len(self._keys) - 1)
                hit = (self._keys[place] == keys) & (found < 0)
                found[hit] = self._owners[place[hit]]
        return found

    def _covered(self, frames: FrameArray, owners: Numbers) -> NDArray[numpy.bool_]:
        assert self._spans is not None
        covered = numpy.zeros(len(frames), numpy.bool_)
        channels = frames["channel"].astype(numpy.int64)
        times = frames["timestamp"].astype(numpy.int64)
        for session, channel in set(zip(owners.tolist(), channels.tolist(), strict=True)):
            if session >= 0:
                chosen = (owners == session) & (channels == channel)
                covered[chosen] = self._spans.cover(session, channel, times[chosen])
        return covered
