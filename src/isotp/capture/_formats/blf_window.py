"""The bytes of a BLF file as one looks at them, and the heads of its objects and log containers."""

from __future__ import annotations

import struct
from typing import Final

from isotp.capture._source import Source

__all__ = ["CONTAINER", "DEFLATED", "LOG_CONTAINER", "OBJECT", "PLAIN", "Window"]

OBJECT: Final = struct.Struct("<4sHHLL")
CONTAINER: Final = struct.Struct("<H6xL4x")
LOG_CONTAINER: Final = 10
PLAIN, DEFLATED = 0, 2


class Window:
    """A source of which one can see what comes next."""

    def __init__(self, source: Source, block_size: int) -> None:
        self._source = source
        self._block_size = block_size
        self._data = bytearray()
        self._place = 0
        self.offset = 0

    def _load(self, size: int) -> None:
        """Have so many bytes here, fewer only at the end."""
        while len(self._data) - self._place < size and (block := self._source.read(self._block_size)):
            if self._place > len(self._data) // 2:
                del self._data[: self._place]
                self._place = 0
            self._data += block

    def see(self, size: int) -> bytes:
        """The next bytes, fewer than `size` only at the end."""
        self._load(size)
        with memoryview(self._data) as seen:
            return bytes(seen[self._place : self._place + size])

    def find(self, signature: bytes, size: int) -> int:
        """Where it begins within the next `size` bytes, -1: nowhere."""
        self._load(size)
        place = self._data.find(signature, self._place, self._place + size)
        return place if place < 0 else place - self._place

    def take(self, size: int) -> bytes:
        data = self.see(size)
        self._place += len(data)
        self.offset += len(data)
        return data

    def give_back(self, data: bytes) -> None:
        """Have bytes that were taken come again, whatever was taken of them at once."""
        self._data[self._place : self._place] = data
        self.offset -= len(data)

    def back(self, size: int) -> None:
        """Have the last bytes come again, of those that were taken at once."""
        self._place -= size
        self.offset -= size
