"""A stream that can be read twice, even if it is a pipe."""

from __future__ import annotations

import os
from tempfile import SpooledTemporaryFile
from typing import BinaryIO

__all__ = ["KeptStream"]

IN_MEMORY = 1 << 24  # bytes, from which on they are kept in a file


class KeptStream:
    """Bytes of a stream from where it is now, as often as asked for: `rewind()` goes back there.

    A stream that can seek is read again; what others give is kept, in a temporary file if it is much.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.name = getattr(stream, "name", repr(stream))
        self._start: int | None = stream.tell() if can_seek(stream) else None
        # Closed with the object: nobody else has it.
        self._kept = SpooledTemporaryFile(IN_MEMORY) if self._start is None else None  # noqa: SIM115
        self._size = self._place = 0

    def rewind(self) -> None:
        """The next bytes are the first ones again."""
        self._place = 0
        if self._start is not None:
            self._stream.seek(self._start)

    def read(self, size: int) -> bytes:
        """Bytes as the stream gives them, from 1 to `size`; none at the end."""
        if self._kept is None:
            return self._stream.read(size)
        self._kept.seek(self._place)
        if self._place < self._size:
            data = self._kept.read(size)
        else:
            data = self._stream.read(size)
            self._kept.write(data)
            self._size += len(data)
        self._place += len(data)
        return data

    def close(self) -> None:
        """Give back what was kept; the stream stays open."""
        if self._kept is not None:
            self._kept.close()


def can_seek(stream: BinaryIO) -> bool:
    """True for files; a pipe may say it can, and then cannot."""
    try:
        stream.seek(0, os.SEEK_CUR)
    except (AttributeError, OSError, ValueError):
        return False
    return True
