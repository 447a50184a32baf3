"""What brings the frames of a bus to sessions in an event loop of asyncio, on the thread of that loop."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from logging import getLogger
from typing import TYPE_CHECKING

from isotp._core import is_interrupt
from isotp.bus.feed import Audience
from isotp.bus.feeds import BusFeed, NotifierFeed, SocketFeed
from isotp.bus.python_can import descriptor_of
from isotp.bus.table import layers_of
from isotp.threads.readers import longer_pause

if TYPE_CHECKING:
    import can

__all__ = ["LoopBusFeed", "LoopFeed", "LoopNotifierFeed", "LoopSocketFeed"]

# Reads in a row before the loop does something else; one of a raw socket brings up to 64 frames.
_READS_AT_ONCE = 64
# The most frames that wait for a loop that does not run.
_MOST_WAITING_FRAMES = 65536


class _LoopIsClosedError(Exception):
    """The loop was closed before the layers that it ran: they hear no more."""


def _call_from_thread(
    loop: asyncio.AbstractEventLoop, function: Callable[..., object], *arguments: object
) -> None:
    """Call a function on the loop's thread, from another one."""
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError as error:
        if not loop.is_closed():
            raise
        raise _LoopIsClosedError from error


class _FramesFromThread:
    """Frames on their way from another thread to the loop: one wake-up of the loop for all that come meanwhile."""

    def __init__(self, loop: asyncio.AbstractEventLoop, audience: Audience) -> None:
        self.loop = loop
        self.audience = audience
        self._lost = 0
        self._frames: deque[can.Message] = deque()
        self._scheduled = False

    def put(self, received: can.Message) -> None:
        """From the other thread."""
        if len(self._frames) >= _MOST_WAITING_FRAMES:
            self._lost += 1
            return
        self._frames.append(received)
        if not self._scheduled:
            self._scheduled = True
            _call_from_thread(self.loop, self._deliver)

    def _deliver(self) -> None:
        # Before looking: a frame that comes after this line schedules anew.
        self._scheduled = False
        self.deliver()
        if self._frames and not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._deliver)

    def deliver(self) -> None:
        """Give the frames that are there, up to a limit."""
        lost = self._lost
        if lost:
            self._lost -= lost
            self.audience.report_lost(
                lost, f"{lost} received frames were lost: {_MOST_WAITING_FRAMES} waited for the event loop"
            )
        for _ in range(min(len(self._frames), _READS_AT_ONCE)):
            self.audience.table.dispatch(self._frames.popleft())


class _DescriptorReader:
    """Reads on the loop whenever a descriptor is readable.

    :param read: reads without waiting; True if there may be more.
    """

    def __init__(
        self, descriptor: int, read: Callable[[], bool], report: Callable[[BaseException], object]
    ) -> None:
        self._descriptor = descriptor
        self._read = read
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._again: asyncio.Handle | None = None
        self._pause = 0.0
        self._loop.add_reader(descriptor, self.deliver)

    def close(self) -> None:
        if self._loop.is_closed():
            return  # with it went all that it had to do
        self._loop.remove_reader(self._descriptor)
        if self._again is not None:
            self._again.cancel()

    def deliver(self) -> None:
        """Read what is there, up to a limit."""
        try:
            for _ in range(_READS_AT_ONCE):
                if not self._read():
                    break
            else:
                # Frames that a driver has read ahead do not make its descriptor readable.
                self._read_again_after(0)
            self._pause = 0.0
        except BaseException as error:
            if is_interrupt(error):
                raise
            # A bus that is gone stays readable.
            self._loop.remove_reader(self._descriptor)
            self._pause = longer_pause(self._pause)
            self._read_again_after(self._pause)
            self._report(error)

    def _read_again_after(self, seconds: float) -> None:
        if self._again is not None:
            self._again.cancel()
        self._again = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._again = None
        self._loop.add_reader(self._descriptor, self.deliver)
        self.deliver()


class LoopFeed:
    """A feed of a loop, besides what a feed is."""

    def stop(self) -> Callable[[], object]:
        raise NotImplementedError

    def deliver(self) -> None:
        """Give the sessions the frames that are there."""
        raise NotImplementedError

    async def wait_closed(self) -> None:
        """Wait until nothing reads the bus any more, unless the bus does not return."""


class LoopSocketFeed(LoopFeed, SocketFeed):
    """A CAN interface of Linux, by a raw socket."""

    _reader: _DescriptorReader | None = None

    def start(self, audience: Audience) -> None:
        def read() -> bool:
            found = self._can.wait(0)
            if found:
                self._can.dispatch(*layers_of(audience.table))
            return found

        self._reader = _DescriptorReader(self._can.fileno(), read, audience.report)

    def stop(self) -> Callable[[], object]:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
        return _nothing_to_wait_for

    def deliver(self) -> None:
        if self._reader is not None:
            self._reader.deliver()


class _FromAnyThread(LoopFeed):
    """A bus whose frames come on some thread: that of the loop, or another one."""

    _frames: _FramesFromThread | None = None
    _loop_thread = 0

    def _begin(self, audience: Audience) -> None:
        self._loop_thread = threading.get_ident()
        self._frames = _FramesFromThread(asyncio.get_running_loop(), audience)

    def deliver(self) -> None:
        if self._frames is not None:
            self._frames.deliver()

    def _take(self, received: can.Message) -> None:
        frames = self._frames
        if frames is None:
            return
        try:
            if frames.loop.is_closed():
                raise _LoopIsClosedError
            if threading.get_ident() == self._loop_thread:
                frames.audience.table.dispatch(received)
            else:
                frames.put(received)
        except _LoopIsClosedError:
            # The reader continues for others.
            self._leave_closed_loop(frames.audience)

    def _leave_closed_loop(self, audience: Audience) -> None:
        self.stop()
        getLogger("isotp").warning("%r hears no more: its event loop was closed before it", audience)


class LoopBusFeed(BusFeed, _FromAnyThread):
    """A python-can bus, as all in this process share it: the loop reads by its descriptor if it has one."""

    _reader: _DescriptorReader | None = None
    _end: Callable[[], object] | None = None

    def start(self, audience: Audience) -> None:
        self._begin(audience)
        descriptor = descriptor_of(self.bus)
        if descriptor >= 0:
            with suppress(NotImplementedError):  # the loop of Windows watches no descriptors
                self._reader = _DescriptorReader(
                    descriptor, lambda: self.shared.read_for_hearer(self), audience.report
                )
        self._needs_thread = self._reader is None
        super().start(audience)

    def stop(self) -> Callable[[], object]:
        reader, self._reader, self._frames = self._reader, None, None
        if reader is not None:
            reader.close()
        self._end = super().stop()
        return _nothing_to_wait_for

    def deliver(self) -> None:
        super().deliver()
        if self._reader is not None:
            self._reader.deliver()

    async def wait_closed(self) -> None:
        if self._end is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._end)

    def hear(self, received: can.Message) -> None:
        self._take(received)

    def report(self, error: BaseException) -> None:
        frames = self._frames
        if frames is None:
            return
        try:
            _call_from_thread(frames.loop, frames.audience.report, error)
        except _LoopIsClosedError:
            self._leave_closed_loop(frames.audience)


class LoopNotifierFeed(NotifierFeed, _FromAnyThread):
    """A python-can bus that a notifier reads, on a thread of its own or on the loop."""

    def start(self, audience: Audience) -> None:
        self._begin(audience)
        super().start(audience)

    def stop(self) -> Callable[[], object]:
        self._frames = None
        return super().stop()

    def _on_message(self, received: can.Message) -> None:
        self._take(received)


def _nothing_to_wait_for() -> None:
    """What these feeds have a hub wait for when they stop."""
