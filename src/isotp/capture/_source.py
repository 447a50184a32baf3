"""The bytes of a log file in blocks, unpacked if they are compressed."""

from __future__ import annotations

import bz2
import lzma
import os
import sys
import zlib
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, BinaryIO, Final, TypeAlias

from isotp.capture import _zip
from isotp.capture._blocked_gz import BlockedGz, member_size
from isotp.capture._inflate import GZIP, ZLIB_PIECE, FastError, Unpacker, ZlibUnpacker, fast_unpacker
from isotp.capture._remote import RemoteFile, is_url, open_url

StrPath: TypeAlias = "str | os.PathLike[str]"

# Bytes of the file that are unpacked together, and bytes that they are unpacked to at once. Where packed bytes are
# damaged, what they were unpacked to since the last piece is lost: so neither size may depend on the blocks.
STEP: Final = 16_384
PIECE: Final = 4096
# Memory that xz may use for one file; `xz -9` asks for a quarter of it, but a header may ask for 4 GiB.
MOST_FOR_XZ: Final = 1 << 28


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


# By the bytes that a file begins with: a name, what unpacks it, and the bytes of one piece.
UNPACKERS: Final[dict[bytes, tuple[str, Callable[[], Any], int]]] = {
    _zip.MAGIC: ("zip", _zip.ZipUnpacker, ZLIB_PIECE),
    b"\x1f\x8b": ("gz", partial(ZlibUnpacker, GZIP), ZLIB_PIECE),
    b"BZh": ("bz2", bz2.BZ2Decompressor, PIECE),
    b"\xfd7zXZ\x00": ("xz", partial(lzma.LZMADecompressor, memlimit=MOST_FOR_XZ), PIECE),
    b"\x28\xb5\x2f\xfd": ("zstd", zstd_unpacker, PIECE),
}
# What unpacks the same faster, except damaged data; None: it is not installed.
FAST: Final[dict[str, Callable[[], Unpacker | None]]] = {
    "gz": partial(fast_unpacker, GZIP),
    "zip": _zip.fast_zip_unpacker,
}


class Source:
    """A file, from its beginning, as blocks of what it holds.

    :param file: a path, a URL, or a file that is open for reading bytes; only the former is closed again by `close()`.
    :param report: called with an offset in what is unpacked and a reason where packed bytes cannot be unpacked; `cut`
        is set then, and the blocks end.
    :param threads: how many unpack it, if it is packed so that several can.
    """

    def __init__(
        self, file: StrPath | BinaryIO, report: Callable[[int, str], None], threads: int = 1
    ) -> None:
        self._report = report
        self._threads = threads
        self._is_ours = isinstance(file, (str, os.PathLike))
        if isinstance(file, str) and is_url(file):
            self.name = file
            self.path: str | None = None
            self.file: BinaryIO = open_url(file)
        elif isinstance(file, (str, os.PathLike)):
            self.name = os.fspath(file)
            self.path = self.name
            self.file = open(file, "rb")  # noqa: SIM115
        elif hasattr(file, "read"):
            self.name = str(getattr(file, "name", repr(file)))
            self.path = None
            self.file = file
        else:
            raise TypeError(f"a log is a path or a file open for bytes, not {file!r}")
        self.compression: str | None = None
        self.cut = False
        self.bytes_read = 0
        self._kept = b""
        self._pieces: Generator[bytes, None, None] | None = None
        self._unpacked = 0
        self._began = self._tell()
        #: All of it is here: to read ahead waits for nobody.
        self.is_steady = self._began is not None
        try:
            self.size = self._size()
            self._ahead = self._read_file(STEP)
            self._recognise()
        except BaseException:
            self.close()
            raise

    def _size(self) -> int | None:
        if isinstance(self.file, RemoteFile):
            return self.file.size
        try:
            return os.fstat(self.file.fileno()).st_size
        except (AttributeError, OSError):
            return None

    def _tell(self) -> int | None:
        """Where the file is; None: it cannot be read again."""
        try:
            return self.file.tell() if self.file.seekable() else None
        except (AttributeError, OSError, ValueError):
            return None

    def _recognise(self) -> None:
        # A file object may give its bytes one by one.
        while any(len(self._ahead) < len(magic) and magic.startswith(self._ahead) for magic in UNPACKERS):
            more = self._read_file(STEP)
            if not more:
                return
            self._ahead += more
        for magic, (name, start, size) in UNPACKERS.items():
            if self._ahead.startswith(magic):
                self.compression = name
                packed = self._filled(self._ahead)
                unpack = self._unpack_blocked if self._is_blocked(packed) else self._unpack
                self._pieces = unpack(magic, start, size, packed)

    def _read_file(self, size: int) -> bytes:
        data = self.file.read(size)
        if not isinstance(data, bytes):
            raise TypeError(f"{self.name} must be open for reading bytes, but gives {type(data).__name__}")
        self.bytes_read += len(data)
        return data

    def _filled(self, data: bytes = b"") -> bytes:
        """With the bytes of the file behind it that make it STEP of them; fewer only at the end."""
        filled = bytearray(data)
        while len(filled) < STEP and (more := self._read_file(STEP - len(filled))):
            filled += more
        return bytes(filled)

    def close(self) -> None:
        if self._pieces is not None:
            self._pieces.close()
        if self._is_ours:
            self.file.close()

    def peek(self, most: int) -> bytes:
        """What comes next, which read() will give again: more of it with each call, up to `most` bytes or the end."""
        if len(self._kept) < most:
            self._kept += self._next(most - len(self._kept))
        return self._kept[:most]

    def read(self, size: int) -> bytes:
        """The next bytes, from 1 to `size`; none at the end."""
        if not self._kept:
            self._kept = self._next(size)
        block, self._kept = self._kept[:size], self._kept[size:]
        return block

    def _next(self, size: int) -> bytes:
        """Some `size` bytes: as many of them as are here, or come next."""
        if self._pieces is None:
            if self._ahead:
                block, self._ahead = self._ahead, b""
                return block
            return self._read_file(size)
        pieces: list[bytes] = []
        before = self._unpacked
        for piece in self._pieces:
            if piece:
                pieces.append(piece)
            self._unpacked += len(piece)
            # No more than that, if it can be, or it would be copied once more.
            enough = self._unpacked - before + len(piece) > size
            if enough or (not piece and self._unpacked > before):
                break
        return b"".join(pieces)

    def _unpack(
        self, magic: bytes, start: Callable[[], Any], size: int, packed: bytes
    ) -> Generator[bytes, None, None]:
        """What the file holds, in pieces; an empty one before the file is read on, and before an end is told."""
        unpacker, is_fast = self._unpacker(start)
        member = self.bytes_read - len(packed)
        given = skipped = 0  # bytes of this member
        while True:
            try:
                piece = unpacker.decompress(packed, size)
            except (
                zlib.error,
                FastError,
                OSError,
                EOFError,
                lzma.LZMAError,
                ValueError,
                zstd_errors(),
            ) as error:
                yield b""
                if not is_fast:
                    self._end(f"the {self.compression} data is damaged: {error}")
                    return
                packed = self._again(member)
                unpacker, is_fast, skipped = start(), False, given
                continue
            packed = b""
            new = piece[skipped:]
            skipped = max(skipped - len(piece), 0)
            given += len(new)
            yield new
            if unpacker.eof:
                packed = yield from self._next_member(magic, unpacker.unused_data, given)
                if not packed:
                    return
                unpacker, is_fast = self._unpacker(start)
                member, given, skipped = self.bytes_read - len(packed), 0, 0
            elif unpacker.needs_input:
                yield b""
                packed = self._filled()
                if not packed:
                    self._end(f"the {self.compression} data ends in the middle")
                    return

    def _is_blocked(self, packed: bytes) -> bool:
        return self._threads > 1 and self.is_steady and member_size(packed) > 0

    def _unpack_blocked(
        self, magic: bytes, start: Callable[[], Any], size: int, packed: bytes
    ) -> Generator[bytes, None, None]:
        blocked = BlockedGz(self._read_file, packed, self._threads)
        yield from blocked.pieces()
        yield b""
        yield from self._unpack(magic, start, size, self._again(blocked.place))

    def _unpacker(self, start: Callable[[], Any]) -> tuple[Unpacker, bool]:
        """One, and whether it is a faster one: for that, the file must be one that can be read again."""
        faster = FAST.get(self.compression or "") if self._began is not None else None
        fast = faster() if faster is not None else None
        return fast or start(), fast is not None

    def _again(self, place: int) -> bytes:
        """Go back in the file, so many bytes behind where it was at first, and read on from there."""
        self.file.seek((self._began or 0) + place)
        self.bytes_read = place
        return self._filled()

    def _next_member(self, magic: bytes, rest: bytes, given: int) -> Generator[bytes, None, bytes]:
        """Another member may follow, as with `cat a.gz b.gz`, or zeros that fill a block of a tape.

        In a zip these are files of their own: one of them is the log, folders may come before it.
        """
        rest = rest.lstrip(b"\0")
        while len(rest) < len(magic):
            yield b""
            more = self._filled()
            if not more:
                break
            rest = (rest + more).lstrip(b"\0")
        is_zip = magic == _zip.MAGIC
        if rest.startswith(magic) and not (is_zip and given > 0):
            return rest
        if is_zip and rest.startswith(_zip.DIRECTORY):
            return b""
        if is_zip and rest.startswith(magic):
            yield b""
            self._end("the zip has another file: only the first one is read")
            return b""
        if is_zip and not rest:
            yield b""
            self._end("the zip data ends in the middle")
        if rest:
            yield b""
            self._end(f"other bytes follow the {self.compression} data")
        return b""

    def _end(self, reason: str) -> None:
        self.cut = True
        self._report(self._unpacked, reason)


def zstd_errors() -> type[Exception]:
    """ZstdError, if there is one: it comes with the unpacker."""
    module = sys.modules.get("compression.zstd") or sys.modules.get("backports.zstd")
    error: type[Exception] = module.ZstdError if module is not None else ValueError
    return error
