"""The blocks of an MF4 file: which groups of channels it has, and the bytes of their records.

A block is "##" and two letters that say its kind, four bytes, its length and the number of its links, the links, and
then what is its own. The letters are those of ASAM: HD the head of the file, DG data group, CG channel group,
CN channel, CC conversion, TX text, DT data, DZ data that are packed, DL a list of those, HL the head of lists, SD data
of signals whose size varies. Nothing of the file is believed: a link that leads nowhere, or in a circle, is a problem.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Final, NamedTuple

from isotp.capture._inflate import inflated

__all__ = ["Blocks", "Channel", "ChannelGroup", "DataGroup"]

HEAD: Final = struct.Struct("<4s4xQQ")
FILE_HEADER: Final = 64  # where the first block begins, of kind HD
MOST_LINKS: Final = 1 << 20
FEWEST_LINKS: Final = {b"##HD": 6, b"##DG": 4, b"##CG": 6, b"##CN": 8, b"##CC": 4}
MOST_OWN: Final = 1 << 16  # bytes that a block but for data is read of
PIECE: Final = 1 << 18  # bytes of data at once
MOST_UNPACKED: Final = 1 << 25  # bytes of one block
UNFINISHED: Final = b"UnFinMF "
PLAIN_DATA: Final = frozenset((b"##DT", b"##DV", b"##RD", b"##RV", b"##SD"))
LISTS: Final = frozenset((b"##DL", b"##HL", b"##LD"))

# What is a block's own, behind its links.
HD_OWN: Final = struct.Struct("<QhhB")  # ns since 1970, minutes of the zone and of summer, flags
DG_OWN: Final = struct.Struct("<B")  # bytes of the numbers of records
CG_OWN: Final = struct.Struct("<QQH6xLL")  # number, records, flags, bytes of a record, and behind them
CN_OWN: Final = struct.Struct("<BBBBLL")  # type, synchronisation, data type, bit, byte, bits
CC_OWN: Final = struct.Struct("<B5xH16x")  # type, values
DZ_OWN: Final = struct.Struct("<2sBxLQQ")  # kind, transposed, columns, bytes unpacked and packed
LINEAR, TABLES = 1, (4, 5)  # types of CC
VARIABLE: Final = 1  # flag of a CG: its records have a size of their own
LOCAL_TIME: Final = 1  # flag of HD


class Block(NamedTuple):
    offset: int
    kind: bytes
    length: int
    links: tuple[int, ...]
    own: bytes

    def link(self, number: int) -> int:
        return self.links[number] if number < len(self.links) else 0


@dataclass
class Channel:
    """Where a record has a value."""

    name: str
    kind: int
    data_type: int
    bit: int
    byte: int
    bits: int
    data: int
    conversion: tuple[float, ...]  # empty, an addend and a factor, or keys each with its value behind it
    is_table: bool


@dataclass
class ChannelGroup:
    number: int
    records: int
    size: int | None
    channels: dict[str, Channel]
    master: Channel | None
    offset: int


@dataclass
class DataGroup:
    offset: int
    id_size: int
    data: int
    groups: list[ChannelGroup] = field(default_factory=list)


class Blocks:
    """The blocks of a file.

    :param report: called with an offset and a reason where something is missing.
    """

    def __init__(self, file: BinaryIO, report: Callable[[int, str], None]) -> None:
        self._file = file
        self._report = report
        self._size = file.seek(0, 2)
        self._seen: set[int] = set()
        self.unfinished = self._read(0, 8) == UNFINISHED

    def _read(self, offset: int, size: int) -> bytes:
        if offset >= self._size:
            return b""
        self._file.seek(offset)
        return self._file.read(size)

    def at(self, offset: int, *kinds: bytes) -> Block | None:
        """The block, if it is one of those; None, and reported, if not."""
        head = self._read(offset, HEAD.size)
        if len(head) < HEAD.size:
            self._report(self._size, f"the log ends before a block of MF4, which is at byte {offset}")
            return None
        kind, length, links = HEAD.unpack(head)
        fits = FEWEST_LINKS.get(kind, 0) <= links <= MOST_LINKS and length >= HEAD.size + 8 * links
        if kind not in kinds or not fits:
            wanted = " or ".join(sorted(each[2:].decode() for each in kinds))
            self._report(offset, f"no block of MF4 that can be read: {wanted} should be here")
            return None
        if offset + length > self._size and not (self.unfinished and kind in PLAIN_DATA):
            self._report(self._size, f"the log ends in the middle of a block of MF4, from byte {offset} on")
        linked = self._read(offset + HEAD.size, 8 * links)
        own = self._read(offset + HEAD.size + 8 * links, min(length - HEAD.size - 8 * links, MOST_OWN))
        if len(linked) < 8 * links:
            return None
        return Block(offset, kind, length, struct.unpack(f"<{links}Q", linked), own)

    def once(self, offset: int, *kinds: bytes) -> Block | None:
        """The same for blocks that are linked from one place."""
        if offset in self._seen:
            self._report(offset, "a block of MF4 that is linked twice")
            return None
        self._seen.add(offset)
        return self.at(offset, *kinds)

    def _own(self, block: Block, form: struct.Struct) -> tuple[int, ...] | None:
        if len(block.own) >= form.size:
            return form.unpack_from(block.own)
        self._report(block.offset, "a block of MF4 that is too short")
        return None

    def start(self) -> tuple[int, bool, int]:
        """When the measurement began: ns since 1970, whether these are local time, and where the first group is."""
        header = self.at(FILE_HEADER, b"##HD")
        own = header and self._own(header, HD_OWN)
        if not header or not own:
            return 0, False, 0
        return own[0], bool(own[3] & LOCAL_TIME), header.link(0)

    def data_groups(self, offset: int) -> Iterator[DataGroup]:
        while offset and (block := self.once(offset, b"##DG")) is not None:
            if (own := self._own(block, DG_OWN)) is not None:
                group = DataGroup(block.offset, own[0], block.link(2))
                group.groups += self._channel_groups(block.link(1))
                yield group
            offset = block.link(0)

    def _channel_groups(self, offset: int) -> Iterator[ChannelGroup]:
        while offset and (block := self.once(offset, b"##CG")) is not None:
            if (own := self._own(block, CG_OWN)) is not None:
                number, records, flags, size, invalid = own
                found = list(self._channels(block.link(1)))
                yield ChannelGroup(
                    number,
                    records,
                    None if flags & VARIABLE else size + invalid,
                    {channel.name: channel for channel in found},
                    next((channel for channel in found if channel.kind in (2, 3)), None),
                    block.offset,
                )
            offset = block.link(0)

    def _channels(self, first: int) -> Iterator[Channel]:
        """The channels, and those that they are made of."""
        waiting = [first]
        while waiting:
            offset = waiting.pop()
            if not offset or (block := self.once(offset, b"##CN", b"##CA")) is None:
                continue
            if block.kind == b"##CA":
                continue
            waiting += [block.link(0), block.link(1)]
            if (own := self._own(block, CN_OWN)) is None:
                continue
            kind, _, data_type, bit, byte, bits = own
            name = self._text(block.link(2))
            yield Channel(
                name, kind, data_type, bit, byte, bits, block.link(5), *self._conversion(block.link(4))
            )

    def _text(self, offset: int) -> str:
        block = self.at(offset, b"##TX", b"##MD") if offset else None
        return block.own.partition(b"\0")[0].decode("utf-8", "replace") if block else ""

    def _conversion(self, offset: int) -> tuple[tuple[float, ...], bool]:
        """Of values to values, and whether it is a table; text is for those who show it."""
        block = self.at(offset, b"##CC") if offset else None
        own = block and self._own(block, CC_OWN)
        if not block or not own or own[0] not in (LINEAR, *TABLES):
            return (), False
        count = min(own[1], (len(block.own) - CC_OWN.size) // 8, 2 if own[0] == LINEAR else own[1] & ~1)
        values = struct.unpack_from(f"<{count}d", block.own, CC_OWN.size)
        return values, own[0] in TABLES

    # --- data ---

    def data(self, offset: int) -> Iterator[bytes]:
        """What a data group or a channel has, unpacked, in pieces."""
        waiting = [offset] if offset else []
        while waiting:
            block = self.once(waiting.pop(), *PLAIN_DATA, b"##DZ", *LISTS)
            if block is None:
                continue
            if block.kind in LISTS:
                # The first link leads to the next list.
                waiting += [link for link in (block.link(0), *reversed(block.links[1:])) if link]
            elif block.kind == b"##DZ":
                data = self._unpacked(block)
                yield from (data[place : place + PIECE] for place in range(0, len(data), PIECE))
            else:
                yield from self._plain(block)

    def _plain(self, block: Block) -> Iterator[bytes]:
        place = block.offset + HEAD.size + 8 * len(block.links)
        end = block.offset + block.length
        if self.unfinished and (end == place or end > self._size):
            end = self._size
        while place < end and (piece := self._read(place, min(PIECE, end - place))):
            place += len(piece)
            yield piece

    def _unpacked(self, block: Block) -> bytes:
        own = self._own(block, DZ_OWN)
        if own is None:
            return b""
        _, transposed, columns, size, packed_size = own
        packed = self._read(
            block.offset + HEAD.size + 8 * len(block.links) + DZ_OWN.size,
            min(packed_size, block.length, self._size),
        )
        if size > MOST_UNPACKED:
            self._report(block.offset, f"a block of MF4 is not unpacked to more than {MOST_UNPACKED} bytes")
            return b""
        try:
            data = inflated(packed, size)
        except zlib.error as error:
            self._report(block.offset, f"a block of MF4 cannot be unpacked: {error}")
            return b""
        if len(data) < size:
            self._report(block.offset, f"a block of MF4 has {len(data)} bytes of {size}")
        if transposed and columns > 1 and len(data) == size:
            data = in_rows(data, columns)
        return data


def in_rows(data: bytes, columns: int) -> bytes:
    """Bytes that were put down column by column, as packing likes them; what is left over comes at the end."""
    import numpy as np

    rows = len(data) // columns
    turned = np.frombuffer(data, "u1", rows * columns).reshape(columns, rows).T
    return turned.tobytes() + data[rows * columns :]
