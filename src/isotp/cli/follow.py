"""The messages of sessions that nobody named, as they are discovered on a bus."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from isotp.address import AbstractAddress
from isotp.bulk._address_text import lanes_of
from isotp.bulk._reassembler import Reassembler
from isotp.bulk._records import Records
from isotp.cli.watch import Heard
from isotp.discovery import Discovery, FoundSession
from isotp.message import Message

__all__ = ["Follower"]

# Frames from before a session is found that are kept for it: some minutes of a busy bus.
MOST_KEPT = 200_000

# What the frames of one direction have in common: CAN ID, and the byte before the N_PCI.
Line = tuple[int, "int | None"]


class Followed:
    """One session on its way."""

    def __init__(self, number: int, address: AbstractAddress, n_cr: float) -> None:
        self.number = number
        self.address = address
        self.lines: set[Line] = {(lane.can_id, lane.extension) for lane in lanes_of(address)}
        self.reassembler = Reassembler([address], rx_consecutive_frame_timeout=n_cr)

    def feed(self, records: Records) -> Iterator[Heard]:
        return (Heard(self.number, message) for message in self.reassembler.feed(records))

    def flush(self) -> Iterator[Heard]:
        return (Heard(self.number, message) for message in self.reassembler.flush())


class Follower:
    """All messages of a bus, of named sessions and of those that are found, with those that led to their discovery.

    :param named: sessions that need no discovery.
    :param n_cr: N_Cr in ms.
    :param min_score: how sure a session has to be.
    :param tell: called with each session that is found.
    """

    def __init__(
        self,
        named: Sequence[AbstractAddress],
        n_cr: float,
        min_score: float,
        tell: Callable[[FoundSession], None],
    ) -> None:
        self.discovery = Discovery()
        self._n_cr = n_cr
        self._min_score = min_score
        self._tell = tell
        self._named = [Followed(number, address, n_cr) for number, address in enumerate(named)]
        self._found: dict[AbstractAddress, Followed] = {}
        self._count = len(named)
        self._kept: deque[Records] = deque()
        self._kept_frames = 0
        self._news = 0

    def messages(self, pieces: Iterable[Records]) -> Iterator[Heard]:
        """Those of all sessions, each as it ends, or as its session is found."""
        for records in pieces:
            self._keep(records)
            for each in (*self._named, *self._found.values()):
                yield from each.feed(records)
            self.discovery.feed(records)
            if self.discovery.news != self._news or self._min_score < 0.5:
                self._news = self.discovery.news
                yield from self._look()
        for each in (*self._named, *self._found.values()):
            yield from each.flush()

    def candidates(self, most: int) -> list[FoundSession]:
        """What was nearly found, if there was little else."""
        if len(self._found) >= most:
            return []
        return self.discovery.candidates(most, self._min_score)

    def _keep(self, records: Records) -> None:
        if not len(records):
            return
        self._kept.append(records)
        self._kept_frames += len(records)
        while self._kept_frames > MOST_KEPT and len(self._kept) > 1:
            self._kept_frames -= len(self._kept.popleft())

    def _look(self) -> Iterator[Heard]:
        """What is found now that was not before."""
        for found in self.discovery.sessions(self._min_score):
            if found.address in self._found:
                continue
            new = Followed(self._count, found.address, self._n_cr)
            if any(new.lines & named.lines for named in self._named):
                continue
            self._tell(found)
            yield from self._start(new)

    def _start(self, new: Followed) -> Iterator[Heard]:
        """Follow a session, from what is kept on; it may take the place of one that has less of it."""
        replaced = [each for each in self._found.values() if each.lines & new.lines]
        shown: set[Line] = set()
        for each in replaced:
            shown |= each.lines
            del self._found[each.address]
        self._count += 1
        self._found[new.address] = new
        for records in self._kept:
            for heard in new.feed(records):
                if line_of(heard.message) not in shown:
                    yield heard


def line_of(message: Message) -> Line | None:
    for lane in lanes_of(message.address):
        if lane.direction == message.direction:
            return lane.can_id, lane.extension
    return None
