"""The messages of sessions between others, as they end on a bus: nothing is sent."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from types import FrameType
from typing import NamedTuple, TypeVar

from isotp.address import AbstractAddress
from isotp.bulk._address_text import lanes_of
from isotp.bulk._messages import Messages
from isotp.bulk._reassembler import Reassembler
from isotp.bulk._records import Records
from isotp.cli.options.bus import Place
from isotp.cli.wires import Frame, frames_of, open_wire
from isotp.message import Message

__all__ = ["Heard", "messages_between", "pieces_of"]

_Item = TypeVar("_Item")


class CtrlC:
    """Ctrl-C ends the wait for frames, and waits while something is shown; a second one ends that too."""

    def __init__(self) -> None:
        self._asked = self._waiting = False
        # Only there may a program have handlers, and only there it is interrupted.
        self._is_main = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> CtrlC:
        if self._is_main:
            self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._is_main:
            signal.signal(signal.SIGINT, self._before)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._asked or self._waiting:
            raise KeyboardInterrupt
        self._asked = True

    def until(self, items: Iterator[_Item]) -> Iterator[_Item]:
        """The items up to Ctrl-C."""
        while True:
            try:
                self._waiting = True
                if self._asked:
                    return
                item = next(items)
            except (KeyboardInterrupt, StopIteration):
                return
            finally:
                self._waiting = False
            yield item


class Heard(NamedTuple):
    """A message, and the number of its session on the bus."""

    session: int
    message: Message


def messages_between(
    place: Place, addresses: Sequence[AbstractAddress], n_cr: float, quiet: float | None, stack: ExitStack
) -> Iterator[Heard]:
    """Messages as they end, until no frame came for `quiet` seconds, or Ctrl-C; those open then, at last.

    Frames are heard from now on; `stack` closes the bus.
    """
    identifiers = {lane.can_id for address in addresses for lane in lanes_of(address)}
    reassembler = Reassembler(addresses, rx_consecutive_frame_timeout=n_cr)
    pieces = pieces_of(place, identifiers, quiet, stack)
    return (Heard(each.session, each) for messages in reassembled(pieces, reassembler) for each in messages)


def pieces_of(
    place: Place, identifiers: set[int] | None, quiet: float | None, stack: ExitStack
) -> Iterator[Records]:
    """Frame records of these CAN IDs, or of all; empty ones come now and then, while nothing else comes."""
    wire = open_wire(place, identifiers)
    stack.callback(wire.close)
    ctrl_c = stack.enter_context(CtrlC())
    return map(records_of, ctrl_c.until(frames_of(wire, quiet)))


def records_of(frames: list[Frame]) -> Records:
    records = Records("fd", len(frames))
    for frame in frames:
        records.append(*frame[:4])
    return records


def reassembled(pieces: Iterable[Records], reassembler: Reassembler) -> Iterator[Messages]:
    for records in pieces:
        yield reassembler.feed(records)
    yield reassembler.flush()
