"""Blocked gzip (BGZF, as bgzip writes it): members that say how long they are, unpacked side by side.

Each member has the extra field "BC" with its size (SAM format specification, 4.1). What is not as it should be, and the
last member, are left to who unpacks one byte after the other.
"""

from __future__ import annotations

import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from isotp.capture._inflate import GZIP, FastError, ZlibUnpacker, fast_unpacker
from isotp.capture._side_by_side import SideBySide, UntilError

__all__ = ["BlockedGz", "member_size"]

HEAD: Final = struct.Struct("<4s6xH2sHH")
MAGIC: Final = b"\x1f\x8b\x08\x04"  # gzip, deflated, with an extra field
LEAST: Final = 28  # bytes of a member
PIECE: Final = 1 << 19  # bytes that one task unpacks
READ: Final = 1 << 18  # bytes of the file that are read at once
LONGEST: Final = 1 << 16  # bytes that a member holds


def member_size(beginning: bytes) -> int:
    """Bytes of the member that begins so; 0: it does not say it."""
    if len(beginning) < HEAD.size:
        return 0
    magic, extra, name, length, size = HEAD.unpack_from(beginning)
    is_blocked = (magic, extra, name, length) == (MAGIC, 6, b"BC", 2)
    return size + 1 if is_blocked and size >= LEAST - 1 else 0


class Members(NamedTuple):
    """Some of them, one behind the other, and the place of the first one in the file."""

    place: int
    packed: list[bytes]

    def unpack(self) -> list[bytes] | None:
        """What they hold; None: one is not sound."""
        found = []
        for packed in self.packed:
            size = int.from_bytes(packed[-4:], "little")
            unpacker = fast_unpacker(GZIP) or ZlibUnpacker(GZIP)
            try:
                piece = unpacker.decompress(packed, size + 1) if size <= LONGEST else b""
            except (FastError, zlib.error):
                return None
            if not unpacker.eof or unpacker.unused_data or len(piece) != size:
                return None
            found.append(piece)
        return found


class BlockedGz:
    """The members at the beginning of a file, but for the last one.

    :param read: gives the next bytes of the file, up to so many.
    :param packed: those that were read already.
    """

    def __init__(self, read: Callable[[int], bytes], packed: bytes, threads: int) -> None:
        self._read = read
        self._packed = packed
        self._threads = threads
        #: Where in the file the first member begins that is not unpacked.
        self.place = 0

    def pieces(self) -> Iterator[bytes]:
        tasks: SideBySide[list[bytes] | None] = SideBySide(self._threads)
        added: deque[Members] = deque()
        batches = UntilError(self._batches())
        try:
            while True:
                while not tasks.is_full and (batch := next(batches, None)) is not None:
                    added.append(batch)
                    tasks.add(batch.unpack)
                if not tasks:
                    break
                found = tasks.take()
                if found is None:
                    return
                batch = added.popleft()
                self.place = batch.place + sum(map(len, batch.packed))
                yield from found
            batches.check()
        finally:
            tasks.close()

    def _batches(self) -> Iterator[Members]:
        place = 0
        batch = Members(0, [])
        size = 0
        for packed in self._members():
            batch.packed.append(packed)
            place += len(packed)
            size += min(int.from_bytes(packed[-4:], "little"), LONGEST)
            if size >= PIECE:
                yield batch
                batch, size = Members(place, []), 0
        if batch.packed:
            yield batch

    def _members(self) -> Iterator[bytes]:
        """Those behind which another one begins."""
        at = 0
        while True:
            size = member_size(self._packed[at : at + HEAD.size])
            if at + size + HEAD.size > len(self._packed):
                more = self._read(READ)
                self._packed = self._packed[at:] + more
                at = 0
                if not more:
                    return
            elif size > 0 and member_size(self._packed[at + size : at + size + HEAD.size]) > 0:
                yield self._packed[at : at + size]
                at += size
            else:
                return
