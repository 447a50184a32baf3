"""Reader of BLF: walks through the log containers, unpacks them and feeds their objects to the compiled parser."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Final

from isotp._logs import BlfParser
from isotp._records import Records
from isotp.capture._reading import Reading
from isotp.capture._source import Source

HEADER_SIZE: Final = 144  # of the file, by default
START: Final = 40  # where the header has the time of the start
OBJECT: Final = struct.Struct("<4sHHLL")
CONTAINER: Final = struct.Struct("<H6xL4x")
LOG_CONTAINER: Final = 10
PLAIN, DEFLATED = 0, 2
# Where deflated bytes are damaged, at most the objects in so many of them are lost.
STEP: Final = 4096


class Window:
    """A source of which one can see what comes next."""

    def __init__(self, source: Source, block_size: int) -> None:
        self._source = source
        self._block_size = block_size
        self._data = b""
        self._place = 0
        self.offset = 0

    def see(self, size: int) -> bytes:
        """The next bytes, fewer than `size` only at the end."""
        while len(self._data) - self._place < size and (block := self._source.read(self._block_size)):
            self._data = self._data[self._place :] + block
            self._place = 0
        return self._data[self._place : self._place + size]

    def take(self, size: int) -> bytes:
        data = self.see(size)
        self._place += len(data)
        self.offset += len(data)
        return data

    def skip(self, size: int) -> int:
        """Pass over so many bytes; how many there were."""
        passed = 0
        while passed < size and (data := self.take(min(size - passed, self._block_size))):
            passed += len(data)
        return passed


def read_blf(source: Source, reading: Reading) -> Iterator[Records]:
    window = Window(source, reading.block_size)
    header = window.see(HEADER_SIZE)
    if len(header) < START + 16:
        reading.report(0, "the header of the file is cut off")
        return
    parser = BlfParser(
        reading.channels.number_of, start_time(header), reading.start, reading.end, reading.wanted
    )
    window.skip(min(max(struct.unpack_from("<L", header, 4)[0], START + 16), 65_536))
    while find_object(window, reading):
        offset = window.offset
        _, _, _, size, kind = OBJECT.unpack(window.take(OBJECT.size))
        if size < OBJECT.size:
            reading.report(offset, "the size of an object can not be right")
            parser.gap()
        elif kind != LOG_CONTAINER or size < OBJECT.size + CONTAINER.size:
            window.skip(size - OBJECT.size)
        else:
            yield from read_container(window, reading, parser, offset, size - OBJECT.size)
    yield from parse(reading, parser, b"", window.offset, final=True)


def start_time(header: bytes) -> int:
    """ns since 1970, in UTC as python-can reads it; 0 if the file does not say it."""
    year, month, _, day, hour, minute, second, ms = struct.unpack_from("<8H", header, START)
    try:
        began = datetime(year, month, day, hour, minute, second, ms * 1000, tzinfo=timezone.utc)
    except ValueError:
        return 0
    ns = (began - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1) * 1000
    return ns if 0 <= ns < 1 << 62 else 0


def find_object(window: Window, reading: Reading) -> bool:
    """Go to the next object of the file. False: there is none."""
    place = window.see(8).find(b"LOBJ")
    if 0 <= place <= 4:
        window.take(place)
    elif window.see(8).strip(b"\0"):
        reading.report(window.offset, "no object where one should begin")
        search_object(window)
    else:
        # Padding, more than usual: a file that was not closed may end with zeros.
        search_object(window)
    rest = window.see(OBJECT.size)
    if 4 <= len(rest) < OBJECT.size:
        reading.report(window.offset, "the log ends here in the middle")
    return len(rest) == OBJECT.size


def search_object(window: Window) -> None:
    while len(seen := window.see(65_536)) >= 4:
        place = seen.find(b"LOBJ")
        if place >= 0:
            window.take(place)
            return
        window.take(len(seen) - 3)
    window.take(len(seen))


def read_container(
    window: Window, reading: Reading, parser: BlfParser, offset: int, size: int
) -> Iterator[Records]:
    head = window.take(CONTAINER.size)
    if len(head) < CONTAINER.size:
        reading.report(offset, "the log ends here in the middle")
        return
    method, _ = CONTAINER.unpack(head)
    left = size - CONTAINER.size
    if method not in (PLAIN, DEFLATED):
        reading.report(offset, f"a log container packed by the unknown method {method}")
        parser.gap()
        window.skip(left)
        return
    pieces = plain(window, reading, left) if method == PLAIN else deflated(window, reading, left)
    try:
        for objects in pieces:
            yield from parse(reading, parser, objects, offset)
    except (EOFError, zlib.error) as error:
        reading.report(offset, f"a log container can not be unpacked: {error}")
        parser.gap()


def plain(window: Window, reading: Reading, left: int) -> Iterator[bytes]:
    while left > 0:
        objects = window.take(min(left, reading.block_size))
        if not objects:
            raise EOFError("the log ends here in the middle")
        left -= len(objects)
        yield objects


def deflated(window: Window, reading: Reading, left: int) -> Iterator[bytes]:
    """Pieces of at least the block size but for the last; they come before the error that ends them."""
    unpacker = zlib.decompressobj()
    objects = bytearray()
    try:
        while left > 0:
            packed = window.take(min(left, STEP))
            if not packed:
                raise EOFError("the log ends here in the middle")
            left -= len(packed)
            while packed:
                objects += unpacker.decompress(packed, reading.block_size)
                packed = unpacker.unconsumed_tail
                if len(objects) >= reading.block_size:
                    yield bytes(objects)
                    objects.clear()
    except (EOFError, zlib.error):
        window.skip(left)
        yield bytes(objects)
        raise
    yield bytes(objects)


def parse(
    reading: Reading, parser: BlfParser, objects: bytes, offset: int, final: bool = False
) -> Iterator[Records]:
    records = parser.feed(objects, final)
    found, count = parser.defects_found()
    for place, _, reason in found:
        reading.report(offset, f"{reason} (byte {place} of the unpacked objects)")
    reading.problem_count += count - len(found)
    if len(records) > 0:
        yield records
