"""How deflated data are unpacked: by isal where it is installed, which is more than twice as fast, or else by zlib.

What isal unpacked of a piece before it came to damage is lost with the error, and its state cannot be copied. So zlib
has to unpack the same data once more then: `fast_unpacker()` is for those who still have them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, Final, Protocol

isal: Any
try:
    from isal import igzip_lib as isal
except ImportError:
    isal = None

__all__ = [
    "GZIP",
    "RAW",
    "ZLIB",
    "ZLIB_PIECE",
    "FastError",
    "Unpacker",
    "ZlibUnpacker",
    "fast_unpacker",
    "inflated",
]

# Formats, as zlib.decompressobj() has them.
GZIP: Final = zlib.MAX_WBITS | 16
ZLIB: Final = zlib.MAX_WBITS
RAW: Final = -zlib.MAX_WBITS
# Bytes that are unpacked at once: see ZlibUnpacker.
ZLIB_PIECE: Final = 65_536


class Unpacker(Protocol):
    """What the decompressors of the standard library for bz2, xz and zstd have in common, and that of isal."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class ZlibUnpacker:
    """zlib's decompressor with the face of the others. What comes before damaged bytes is unpacked.

    :param wbits: the format, as zlib.decompressobj() has it.
    """

    def __init__(self, wbits: int = ZLIB) -> None:
        self._unpacker = zlib.decompressobj(wbits)
        self._error: zlib.error | None = None

    @property
    def eof(self) -> bool:
        return self._unpacker.eof

    @property
    def needs_input(self) -> bool:
        return not self._unpacker.unconsumed_tail and not self.eof and self._error is None

    @property
    def unused_data(self) -> bytes:
        return self._unpacker.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        if self._error is not None:
            raise self._error
        before = self._unpacker.copy()
        try:
            return self._unpacker.decompress(before.unconsumed_tail + data, max_length)
        except zlib.error as error:
            # Told with the next call.
            self._error = error
            return unpacked_before_damage(before, before.unconsumed_tail + data, max_length)


def unpacked_before_damage(unpacker: Any, packed: bytes, most: int) -> bytes:
    """What zlib throws away: the bytes that it unpacked before it saw that the next cannot be.

    Of a checksum that is wrong it learns with the last byte: that one is lost.
    """
    pieces = []
    while most > 1:
        most = (most + 1) // 2
        trial = unpacker.copy()
        try:
            pieces.append(trial.decompress(packed, most))
        except zlib.error:
            continue
        unpacker, packed = trial, trial.unconsumed_tail
    return b"".join(pieces)


# What fast_unpacker() raises for damaged data: zlib then decides.
FastError: type[Exception] = zlib.error if isal is None else isal.IsalError


def fast_unpacker(wbits: int) -> Unpacker | None:
    """One that is faster than zlib; None: there is none."""
    if isal is None:
        return None
    kinds: dict[int, Callable[[], Unpacker]] = {
        GZIP: lambda: isal.IgzipDecompressor(isal.DECOMP_GZIP),
        ZLIB: lambda: isal.IgzipDecompressor(isal.DECOMP_ZLIB),
        RAW: lambda: isal.IgzipDecompressor(isal.DECOMP_DEFLATE),
    }
    return kinds[wbits]()


def inflated(packed: bytes, most: int) -> bytes:
    """What zlib's format has here, up to so many bytes.

    :raises zlib.error: if the data are damaged.
    """
    fast = fast_unpacker(ZLIB)
    if fast is not None:
        try:
            return fast.decompress(packed, most)
        except FastError:
            pass
    return zlib.decompressobj().decompress(packed, most)
