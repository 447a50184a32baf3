"""BLF of Vector's tools: its log containers are unpacked here, and the compiled parser reads the objects in them."""

from __future__ import annotations

import struct
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone
from functools import partial
from typing import Final

from isotp.bulk._records import Records
from isotp.capture._formats.blf_ahead import ContainersAhead
from isotp.capture._formats.blf_window import CONTAINER, DEFLATED, LOG_CONTAINER, OBJECT, PLAIN, Window
from isotp.capture._inflate import ZLIB, ZLIB_PIECE, FastError, Unpacker, ZlibUnpacker, fast_unpacker
from isotp.capture._local_time import ns_of
from isotp.capture._parsers import BlfParser
from isotp.capture._reading import Format, Reading
from isotp.capture._source import STEP, Source

HEADER_SIZE: Final = 144  # of the file, by default
WRITTEN: Final = 16  # where the header has the bytes of the file; 0 or so: it was not closed
START: Final = 40  # where the header has the time of the start
FRAMES: Final = frozenset((1, 73, 86, 100, 101))
MOST_KEPT: Final = 1 << 24  # bytes of a container; larger ones are not unpacked fast
SEEN: Final = 65_536  # bytes in which one looks for an object at once
CUT_OFF: Final = "the log ends here in the middle"
BAD_SIZE: Final = "the size of an object cannot be right"


class Damaged(Exception):
    """A log container ends before its end; says why."""


def read(source: Source, reading: Reading) -> Iterator[Records]:
    window = Window(source, reading.block_size)
    header = window.see(HEADER_SIZE)
    if len(header) < START + 16:
        reading.report(0, "the header of the file is cut off")
        return
    make = partial(reading.parser, BlfParser, start_time(header, reading))
    parser = make()
    size = min(max(struct.unpack_from("<L", header, 4)[0], START + 16), 65_536)
    pass_over(window, reading, 0, size, "the size of the header cannot be right")
    if source.is_steady:
        with closing(ContainersAhead(window, reading, parser, make)) as ahead:
            yield from read_objects(window, reading, parser, ahead)
    else:
        yield from read_objects(window, reading, parser, None)
    yield from reading.parse(parser, b"", final=True, container=window.offset)
    reading.left_out.update(parser.left_out())
    written = struct.unpack_from("<Q", header, WRITTEN)[0]
    if window.offset < written:
        reading.report(window.offset, f"the log ends here, its header says that it has {written} bytes")


def read_objects(
    window: Window, reading: Reading, parser: BlfParser, ahead: ContainersAhead | None
) -> Iterator[Records]:
    while True:
        if ahead is not None and ahead.is_due:
            yield from ahead.read()
        if not find_object(window, reading):
            return
        offset = window.offset
        _, _, _, size, kind = OBJECT.unpack(window.take(OBJECT.size))
        if kind == LOG_CONTAINER:
            yield from read_container(window, reading, parser, offset, size - OBJECT.size)
        elif size < OBJECT.size:
            reading.report(offset, BAD_SIZE)
            parser.gap()
        else:
            if kind in FRAMES:
                reading.report(offset, "a frame outside of the log containers")
            else:
                reading.pass_by(f"object of type {kind}")
            pass_over(window, reading, offset, size - OBJECT.size, BAD_SIZE)


def pass_over(window: Window, reading: Reading, offset: int, size: int, reason: str) -> None:
    """Go on behind so many bytes, or at a log container in them: then their number is wrong, which is the reason."""
    end = window.offset + size
    deque(pieces_of(window, size, searching=True), 0)
    if window.offset < end:
        reading.report(offset, reason if begins_container(window) else CUT_OFF)


def pieces_of(window: Window, left: int, *, searching: bool) -> Iterator[bytes]:
    """The next bytes, so many of them, or up to a log container in them if that is searched."""
    while left > 0:
        seen = min(left, SEEN)
        # An object that begins at the end of these bytes also counts.
        place = window.find(b"LOBJ", seen + 3) if searching else -1
        if place == 0 and begins_container(window):
            return
        # Up to the signature, or over it if it is that of something else.
        piece = window.take(seen if place < 0 else min(place or 4, left))
        if not piece:
            return
        left -= len(piece)
        yield piece


def begins_container(window: Window) -> bool:
    """So much of it fits that nothing else can be meant."""
    seen = window.see(OBJECT.size + CONTAINER.size)
    if len(seen) < OBJECT.size + CONTAINER.size:
        return False
    signature, header_size, version, size, kind = OBJECT.unpack_from(seen)
    method, _ = CONTAINER.unpack_from(seen, OBJECT.size)
    return (
        (signature, header_size, version, kind) == (b"LOBJ", OBJECT.size, 1, LOG_CONTAINER)
        and size >= len(seen)
        and method in (PLAIN, DEFLATED)
    )


def start_time(header: bytes, reading: Reading) -> int:
    """ns since 1970, in UTC as python-can reads it; 0 if the file does not say it."""
    year, month, _, day, hour, minute, second, ms = struct.unpack_from("<8H", header, START)
    try:
        began = datetime(year, month, day, hour, minute, second, ms * 1000, tzinfo=timezone.utc)
        ns = ns_of(began)
        if not -1 << 62 < ns < 1 << 62:
            raise ValueError(f"{began} is out of range")
    except ValueError:
        if any(header[START : START + 16]):
            reading.report(START, "the time of the start cannot be right: times count from it")
        return 0
    return ns


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
        reading.report(window.offset, CUT_OFF)
    return len(rest) == OBJECT.size


def search_object(window: Window) -> None:
    while (place := window.find(b"LOBJ", SEEN)) < 0:
        # The last bytes may be the beginning of a signature.
        if len(window.take(SEEN - 3)) < SEEN - 3:
            return
    window.take(place)


def read_container(
    window: Window, reading: Reading, parser: BlfParser, offset: int, size: int
) -> Iterator[Records]:
    head = window.take(CONTAINER.size)
    if len(head) < CONTAINER.size:
        reading.report(offset, CUT_OFF)
        return
    method, unpacked = CONTAINER.unpack(head)
    # What is deflated has an end of its own, so the size need not be right.
    left = max(size - CONTAINER.size, 0) if method == DEFLATED else size - CONTAINER.size
    if left < 0:
        reading.report(offset, BAD_SIZE)
        parser.gap()
        return
    if method not in (PLAIN, DEFLATED):
        reading.report(offset, f"a log container packed by the unknown method {method}")
        parser.gap()
        pass_over(window, reading, offset, left, BAD_SIZE)
        return
    pieces = plain(window, left, unpacked) if method == PLAIN else deflated(window, reading, offset, left)
    try:
        for objects in pieces:
            yield from reading.parse(parser, objects, container=offset)
    except Damaged as damage:
        reading.report(offset, f"a log container cannot be unpacked: {damage}")
        parser.gap()


def plain(window: Window, left: int, unpacked: int) -> Iterator[bytes]:
    """It says twice how long it is. If these agree, its frames may hold anything, also what looks like a container."""
    end = window.offset + left
    yield from pieces_of(window, left, searching=unpacked != left)
    if unpacked > left:
        raise Damaged("its size cannot be right")
    if window.offset < end:
        raise Damaged("its size cannot be right" if begins_container(window) else CUT_OFF)


class Container:
    """Unpacks a log container: fast, and by zlib once more, from the beginning, where that finds damaged data."""

    def __init__(self) -> None:
        fast = fast_unpacker(ZLIB)
        self._unpacker: Unpacker = fast or ZlibUnpacker()
        self._packed = bytearray() if fast else None  # what zlib would have to see
        self._given = self._skipped = 0

    @property
    def eof(self) -> bool:
        return self._unpacker.eof

    @property
    def needs_input(self) -> bool:
        return self._unpacker.needs_input

    @property
    def unused_data(self) -> bytes:
        return self._unpacker.unused_data

    def unpack(self, packed: bytes) -> bytes:
        """Some of it, or nothing where it may be more the next time.

        :raises zlib.error: if the data are damaged.
        """
        if self._packed is not None:
            self._packed += packed
            if len(self._packed) > MOST_KEPT:
                packed = self._begin_anew()
        try:
            piece = self._unpacker.decompress(packed, ZLIB_PIECE)
        except FastError:
            if self._packed is None:
                raise
            packed = self._begin_anew()
            piece = self._unpacker.decompress(packed, ZLIB_PIECE)
        new = piece[self._skipped :]
        self._skipped = max(self._skipped - len(piece), 0)
        self._given += len(new)
        return new

    def _begin_anew(self) -> bytes:
        """With zlib; what it has to see."""
        packed = bytes(self._packed or b"")
        self._unpacker, self._packed, self._skipped = ZlibUnpacker(), None, self._given
        return packed


def deflated(window: Window, reading: Reading, offset: int, left: int) -> Iterator[bytes]:
    """Pieces of at least the block size but for the last; they come before the damage that ends them.

    :param left: the bytes in which the container says that it has all of it: the deflated data know better.
    """
    container = Container()
    objects = bytearray()
    packed = b""
    damage = None
    beyond = False
    while not container.eof and damage is None:
        more = b""
        if container.needs_input:
            beyond = beyond or (left == 0 and not container_is_near(window))
            packed = more = window.take(STEP if beyond else min(left, STEP))
            if not packed:
                damage = CUT_OFF if beyond or left > 0 else "what is packed ends in the middle"
            left -= len(packed)
        try:
            piece = container.unpack(more)
            if container.eof and not objects:
                # All of it at once: it is not copied.
                yield piece
            else:
                objects += piece
        except zlib.error as error:
            damage = str(error)
            # The size may be wrong, and the next container may begin here.
            window.back(len(packed))
            deque(pieces_of(window, max(left + len(packed), 0), searching=True), 0)
        if len(objects) >= reading.block_size:
            yield bytes(objects)
            objects.clear()
    if objects:
        yield bytes(objects)
    if damage is not None:
        raise Damaged(damage)
    window.back(len(container.unused_data))
    if beyond or window.see(min(left + len(container.unused_data), 8)).strip(b"\0"):
        reading.report(offset, BAD_SIZE)


def container_is_near(window: Window) -> bool:
    """The next container begins here, behind padding, or the log ends."""
    seen = window.see(8)
    place = seen.find(b"LOBJ")
    return not seen.strip(b"\0") or 0 <= place <= 4


FORMAT: Final = Format(read, magic=(b"LOGG",))
