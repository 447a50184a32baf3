"""A file in a zip archive, unpacked as its bytes come: a log in a zip may be a pipe, too.

What is read is the header before the file (by PKWARE's APPNOTE), not the directory at the end of the archive.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

from isotp.capture._inflate import RAW, Unpacker, ZlibUnpacker, fast_unpacker

__all__ = ["DIRECTORY", "MAGIC", "ZipUnpacker", "fast_zip_unpacker"]

MAGIC: Final = b"PK\x03\x04"
# What follows the last file.
DIRECTORY: Final = (b"PK\x01\x02", b"PK\x05\x06")
DESCRIPTOR: Final = b"PK\x07\x08"
HEAD: Final = struct.Struct("<4xHHH4xLLLHH")
ENCRYPTED, SIZES_BEHIND = 1, 8  # flags
STORED, DEFLATED = 0, 8
ZIP64: Final = 1  # number of an extra field
UNKNOWN: Final = 0xFFFF_FFFF


class ZipUnpacker:
    """One file of an archive, with the face of the other decompressors.

    :param inflate: what unpacks it if it is deflated.
    """

    def __init__(self, inflate: Unpacker | None = None) -> None:
        self._inflate = inflate or ZlibUnpacker(RAW)
        self._waiting = b""
        self._has_head = self._has_body = False
        self._flags = self._method = self._crc = self._size = self._checked = 0
        self._is_64 = self._is_wrong = False
        self.eof = False

    @property
    def needs_input(self) -> bool:
        if self.eof or self._is_wrong:
            return False
        if self._has_head and not self._has_body and self._method == DEFLATED:
            return self._inflate.needs_input and not self._waiting
        return not self._has_head or self._has_body or not self._waiting

    @property
    def unused_data(self) -> bytes:
        return self._waiting

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """The next bytes of the file, up to so many.

        :raises OSError: if the file is packed in a way that is not known, or its checksum is wrong.
        :raises zlib.error: if it is damaged.
        """
        if self._is_wrong:
            raise OSError("its checksum is wrong")
        self._waiting += data
        if not self._has_head and not self._read_head():
            return b""
        piece = b"" if self._has_body else self._read_body(max_length)
        self._checked = zlib.crc32(piece, self._checked)
        if self._has_body and not self.eof:
            self._read_end()
        return piece

    def _read_head(self) -> bool:
        if len(self._waiting) < HEAD.size:
            return False
        _, self._flags, self._method, self._crc, packed, size, name, extra = HEAD.unpack_from(self._waiting)
        if len(self._waiting) < HEAD.size + name + extra:
            return False
        fields = self._waiting[HEAD.size + name : HEAD.size + name + extra]
        self._waiting = self._waiting[HEAD.size + name + extra :]
        self._has_head = True
        self._size = self._size_of(packed, size, fields)
        if self._flags & ENCRYPTED:
            raise OSError("it is encrypted")
        if self._method not in (STORED, DEFLATED) or (self._method == STORED and self._flags & SIZES_BEHIND):
            raise OSError(f"it is packed by method {self._method}, which is not known")
        return True

    def _size_of(self, packed: int, size: int, fields: bytes) -> int:
        """Bytes in the archive; large ones stand in a field of their own, behind the size of the file."""
        place = 0
        while place + 4 <= len(fields):
            number, length = struct.unpack_from("<HH", fields, place)
            if number == ZIP64:
                self._is_64 = True
                at = place + 4 + (8 if size == UNKNOWN else 0)
                if packed == UNKNOWN and at + 8 <= place + 4 + length <= len(fields):
                    return int.from_bytes(fields[at : at + 8], "little")
            place += 4 + length
        return packed

    def _read_body(self, max_length: int) -> bytes:
        if self._method == STORED:
            end = self._size if max_length < 0 else min(self._size, max_length)
            piece, self._waiting = self._waiting[:end], self._waiting[end:]
            self._size -= len(piece)
            self._has_body = self._size == 0
            return piece
        packed, self._waiting = self._waiting, b""
        piece = self._inflate.decompress(packed, max_length)
        if self._inflate.eof:
            self._has_body = True
            self._waiting = self._inflate.unused_data
        return piece

    def _read_end(self) -> None:
        """The checksum, which may stand behind the file."""
        if self._flags & SIZES_BEHIND:
            signature = 4 if self._waiting.startswith(DESCRIPTOR) else 0
            end = signature + 4 + (16 if self._is_64 else 8)
            if len(self._waiting) < end:
                return
            self._crc = int.from_bytes(self._waiting[signature : signature + 4], "little")
            self._waiting = self._waiting[end:]
        # What is wrong is told with the next call: what was unpacked is still to be given.
        self._is_wrong = self._crc != self._checked
        self.eof = not self._is_wrong


def fast_zip_unpacker() -> ZipUnpacker | None:
    """One that is faster; None: there is none."""
    fast = fast_unpacker(RAW)
    return None if fast is None else ZipUnpacker(fast)
