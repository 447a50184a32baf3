"""Log containers of a BLF file, several at once: unpacked and parsed ahead of those before them, on several cores.

Only sound containers are: deflated, as long as they say, and without a defect in the objects. A thread begins with the
first object that is whole; what comes before it belongs to the container before. All else is left to the reading of one
container after the other, so what comes out is the same.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

from isotp.bulk._records import Records
from isotp.capture._formats.blf_window import CONTAINER, DEFLATED, LOG_CONTAINER, OBJECT, Window
from isotp.capture._inflate import ZLIB, FastError, ZlibUnpacker, fast_unpacker
from isotp.capture._parsers import MOST_CONTAINERS_AHEAD, BlfParser
from isotp.capture._reading import Reading
from isotp.capture._side_by_side import SideBySide, UntilError

__all__ = ["ContainersAhead"]

MOST: Final = 1 << 22  # bytes of a container, packed and unpacked
PADDING: Final = 4  # bytes before an object


class Packed(NamedTuple):
    """A container as the file has it, with the padding before it."""

    raw: bytes
    padding: int
    unpacked: int
    offset: int

    def unpack(self) -> bytes | None:
        """What it holds; None: it is not sound."""
        packed = self.raw[self.padding + OBJECT.size + CONTAINER.size :]
        unpacker = fast_unpacker(ZLIB) or ZlibUnpacker()
        try:
            objects = unpacker.decompress(packed, self.unpacked + 1)
        except (FastError, zlib.error):
            return None
        is_sound = unpacker.eof and not unpacker.unused_data and len(objects) == self.unpacked
        return objects if is_sound else None


class Ahead(NamedTuple):
    """Containers that were read ahead.

    What they hold is not kept: memory that waits for its turn costs more than unpacking the few that are read again.
    """

    batch: list[Packed]
    head: bytes | None  # what comes before the first object that is whole; None: a container is not sound
    twin: BlfParser
    layout: bool
    records: Records | None


class ContainersAhead:
    """The sound containers that come next in a file.

    :param parser: the one whose state counts; `make` makes its twins.
    """

    def __init__(
        self, window: Window, reading: Reading, parser: BlfParser, make: Callable[[], BlfParser]
    ) -> None:
        self._window = window
        self._reading = reading
        self._parser = parser
        self._make = make
        self._twins: deque[Any] = deque()
        self._tasks: SideBySide[Ahead] = SideBySide(reading.threads)
        self._added: deque[list[Packed]] = deque()
        self._sound = UntilError(self._all_sound())
        self._left = 0

    @property
    def is_due(self) -> bool:
        """Call `read()`; False: read the next object by itself, and ask again behind it."""
        self._left -= 1
        return self._left < 0

    def close(self) -> None:
        self._tasks.close()

    def read(self) -> Iterator[Records]:
        """All of them, up to something else."""
        while True:
            while not self._tasks.is_full and (batch := self._next_batch()):
                self._added.append(batch)
                self._tasks.add(partial(self._by_twin, batch, self._parser.layout))
            if not self._tasks:
                self._sound.check()
                return
            ahead = self._tasks.take()
            if ahead.head is None:
                self._give_back()
                # One of them is damaged: do not unpack it again for each of those before it.
                self._left = len(ahead.batch)
                return
            self._added.popleft()
            yield from self._take(ahead, ahead.head)
            self._twins.append(ahead.twin)

    def _give_back(self) -> None:
        self._tasks.drop()
        while self._added:
            for packed in reversed(self._added.pop()):
                self._window.give_back(packed.raw)

    def _next_batch(self) -> list[Packed]:
        """Containers that hold about one block."""
        batch: list[Packed] = []
        size = 0
        while size < self._reading.block_size and len(batch) < MOST_CONTAINERS_AHEAD:
            packed = next(self._sound, None)
            if packed is None:
                break
            batch.append(packed)
            size += packed.unpacked
        return batch

    def _all_sound(self) -> Iterator[Packed | None]:
        """Those of the file as it is read on; None: something else comes next."""
        while True:
            yield self._next()

    def _next(self) -> Packed | None:
        head = self._window.see(PADDING + OBJECT.size + CONTAINER.size)
        padding = head.find(b"LOBJ", 0, PADDING + 4)
        if padding < 0 or len(head) < padding + OBJECT.size + CONTAINER.size:
            return None
        _, _, _, size, kind = OBJECT.unpack_from(head, padding)
        method, unpacked = CONTAINER.unpack_from(head, padding + OBJECT.size)
        is_sound = kind == LOG_CONTAINER and method == DEFLATED and size > OBJECT.size + CONTAINER.size
        if not is_sound or size > MOST or not 0 < unpacked <= MOST:
            return None
        offset = self._window.offset + padding
        raw = self._window.take(padding + size)
        if len(raw) < padding + size:
            self._window.give_back(raw)
            return None
        return Packed(raw, padding, unpacked, offset)

    def _by_twin(self, batch: list[Packed], layout: bool) -> Ahead:
        twin = self._twins.popleft() if self._twins else self._make()
        contents = []
        for packed in batch:
            objects = packed.unpack()
            if objects is None:
                return Ahead(batch, None, twin, layout, None)
            contents.append(objects)
        begin = twin.first_frame(contents[0])
        if begin < 0:
            return Ahead(batch, contents[0], twin, layout, None)
        return Ahead(batch, contents[0][:begin], twin, layout, twin.read_ahead(contents, begin, layout))

    def _take(self, ahead: Ahead, head: bytes) -> Iterator[Records]:
        yield from self._parse(head, ahead.batch[0])
        same = self._parser.at_object and self._parser.layout == ahead.layout
        if same and ahead.records is not None:
            self._parser.follow(ahead.twin)
            yield from self._reading.take(ahead.twin, ahead.records)
            return
        done = len(head)
        for packed in ahead.batch:
            # It is sound: that was seen.
            yield from self._parse((packed.unpack() or b"")[done:], packed)
            done = 0

    def _parse(self, objects: bytes, packed: Packed) -> Iterator[Records]:
        return self._reading.parse(self._parser, objects, container=packed.offset)
