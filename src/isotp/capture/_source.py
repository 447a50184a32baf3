"""The bytes of a log file in blocks, unpacked if they are compressed."""

from __future__ import annotations

import bz2
import lzma
import os
import sys
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, Final, Protocol, TypeAlias

StrPath: TypeAlias = "str | os.PathLike[str]"

# Packed bytes that are unpacked at once: where packed bytes are damaged, at most the frames of these are lost.
STEP: Final = 16_384


class Unpacker(Protocol):
    """What the decompressors of the standard library for bz2, xz and zstd have in common."""

    eof: bool
    needs_input: bool
    unused_data: bytes

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class GzipUnpacker:
    """zlib's decompressor with the face of the others."""

    def __init__(self) -> None:
        self._unpacker = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._unpacker.eof

    @property
    def needs_input(self) -> bool:
        return not self._unpacker.unconsumed_tail and not self.eof

    @property
    def unused_data(self) -> bytes:
        return self._unpacker.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._unpacker.decompress(self._unpacker.unconsumed_tail + data, max(max_length, 0))


def zstd_unpacker() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        try:
            from backports import zstd
        except ImportError as error:
            raise ImportError(
                "logs packed by zstd need backports.zstd: pip install can-isotp-cython[capture]"
            ) from error
    return zstd.ZstdDecompressor()


UNPACKERS: Final[dict[bytes, tuple[str, Callable[[], Any]]]] = {
    b"\x1f\x8b": ("gz", GzipUnpacker),
    b"BZh": ("bz2", bz2.BZ2Decompressor),
    b"\xfd7zXZ\x00": ("xz", lzma.LZMADecompressor),
    b"\x28\xb5\x2f\xfd": ("zstd", zstd_unpacker),
}


class Source:
    """A file, from its beginning, as blocks of what it holds.

    :param file: a path, or a file that is open for reading bytes; only the former is closed again by `close()`.
    :param report: called with an offset in the file and a reason where packed bytes can not be unpacked; `cut` is set
        then, and the blocks end.
    """

    def __init__(self, file: StrPath | BinaryIO, report: Callable[[int, str], None]) -> None:
        self._report = report
        if isinstance(file, (str, os.PathLike)):
            self.name = os.fspath(file)
            self.path: str | None = self.name
            self.file: BinaryIO = open(file, "rb")  # noqa: SIM115
        elif hasattr(file, "read"):
            self.name = str(getattr(file, "name", repr(file)))
            self.path = None
            self.file = file
        else:
            raise TypeError(f"a log is a path or a file open for bytes, not {file!r}")
        self.compression: str | None = None
        self.cut = False
        self.bytes_read = 0
        self._unpacker: Unpacker | None = None
        self._start: Callable[[], Any] | None = None
        self._ended = False
        try:
            self.size = self._size()
            self._ahead = self._read_file(STEP)
            self._recognise()
            self._kept = b""
        except BaseException:
            self.close()
            raise

    def _size(self) -> int | None:
        try:
            return os.fstat(self.file.fileno()).st_size
        except (AttributeError, OSError):
            return None

    def _recognise(self) -> None:
        for magic, (name, start) in UNPACKERS.items():
            if self._ahead.startswith(magic):
                self.compression = name
                self._magic = magic
                self._start = start
                self._unpacker = start()

    def _read_file(self, size: int) -> bytes:
        data = self.file.read(size)
        if not isinstance(data, bytes):
            raise TypeError(f"{self.name} must be open for reading bytes, but gives {type(data).__name__}")
        self.bytes_read += len(data)
        return data

    def close(self) -> None:
        if self.path is not None:
            self.file.close()

    def peek(self, most: int) -> bytes:
        """What comes next, which read() will give again: more of it with each call, up to `most` bytes or the end."""
        if len(self._kept) < most:
            self._kept += self._next(most)
        return self._kept[:most]

    def read(self, size: int) -> bytes:
        """The next bytes, from 1 to `size`; none at the end."""
        if self._kept:
            block, self._kept = self._kept[:size], self._kept[size:]
            return block
        return self._next(size)

    def _next(self, size: int) -> bytes:
        if self._unpacker is None:
            if self._ahead:
                block, self._ahead = self._ahead[:size], self._ahead[size:]
                return block
            return self._read_file(size)
        while not self._ended:
            packed = self._packed()
            if self._ended:
                break
            try:
                block = self._unpacker.decompress(packed, size)
            except (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError, zstd_errors()) as error:
                self._end(f"the {self.compression} data is damaged: {error}")
                break
            if block:
                return block
        return b""

    def _packed(self) -> bytes:
        """What the unpacker needs next, maybe nothing; at the end of the file, `_ended` is set."""
        assert self._unpacker is not None
        assert self._start is not None
        if self._ahead:
            packed, self._ahead = self._ahead, b""
            return packed
        if self._unpacker.eof:
            # Another member may follow, as with `cat a.gz b.gz`, or zeros that fill a block of a tape.
            rest = (self._unpacker.unused_data or self._read_file(STEP)).lstrip(b"\0")
            if len(rest) < len(self._magic):
                rest += self._read_file(STEP)
            if rest.startswith(self._magic):
                self._unpacker = self._start()
                return rest
            if rest:
                self._end(f"other bytes follow the {self.compression} data")
            self._ended = True
            return b""
        if not self._unpacker.needs_input:
            return b""
        packed = self._read_file(STEP)
        if not packed:
            self._end(f"the {self.compression} data ends in the middle")
        return packed

    def _end(self, reason: str) -> None:
        self._ended = True
        self.cut = True
        self._report(self.bytes_read, reason)


def zstd_errors() -> type[Exception]:
    """ZstdError, if there is one: it comes with the unpacker."""
    module = sys.modules.get("compression.zstd") or sys.modules.get("backports.zstd")
    error: type[Exception] = module.ZstdError if module is not None else ValueError
    return error
