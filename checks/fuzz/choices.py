"""The bytes of a fuzzer's input as the choices that a target makes, one after the other; zero behind the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

_T = TypeVar("_T")


class Choices:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._place

    def block(self, size: int) -> bytes:
        """The next bytes, fewer than `size` at the end."""
        taken = self._data[self._place : self._place + size]
        self._place += len(taken)
        return taken

    def rest(self) -> bytes:
        return self.block(self.left)

    def byte(self) -> int:
        return self.number(1)

    def number(self, size: int) -> int:
        """Of `size` bytes, little-endian."""
        return int.from_bytes(self.block(size), "little")

    def flag(self) -> bool:
        return self.byte() & 1 == 1

    def pick(self, values: Sequence[_T]) -> _T:
        return values[self.number(2) % len(values)]

    def text(self) -> str:
        return self.block(self.byte()).decode("utf-8", "replace")
