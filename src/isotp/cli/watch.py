"""The messages of sessions between others, as they end on a bus: nothing is sent."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from types import FrameType
from typing import TypeVar

from isotp.address import AbstractAddress
from isotp.bulk._messages import Messages
from isotp.bulk._reassembler import Reassembler
from isotp.bulk._records import Records
from isotp.cli.addresses import lanes_of
from isotp.cli.options.bus import Place
from isotp.cli.wires import Frame, frames_of, open_wire

__all__ = ["messages_between"]

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


def messages_between(
    place: Place, addresses: Sequence[AbstractAddress], n_cr: float, quiet: float | None, stack: ExitStack
) -> Iterator[Messages]:
    """Tables of messages as they end, until no frame came for `quiet` seconds, or Ctrl-C; those open then, at last.

    Frames are heard from now on; `stack` closes the bus. Empty tables come now and then, while nothing else comes.
    """
    wire = open_wire(place, {lane.can_id for address in addresses for lane in lanes_of(address)})
    stack.callback(wire.close)
    ctrl_c = stack.enter_context(CtrlC())
    return reassembled(
        ctrl_c.until(frames_of(wire, quiet)), Reassembler(addresses, rx_consecutive_frame_timeout=n_cr)
    )


def reassembled(pieces: Iterator[list[Frame]], reassembler: Reassembler) -> Iterator[Messages]:
    for frames in pieces:
        records = Records("fd", len(frames))
        for frame in frames:
            records.append(*frame)
        yield reassembler.feed(records)
    yield reassembler.flush()
