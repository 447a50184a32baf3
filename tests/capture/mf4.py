"""MF4, block by block: bus logging as loggers write it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

BEGAN = 1_700_000_000 * 10**9


class Field(NamedTuple):
    """A channel: its name, where it is in a record, and more for some."""

    name: str
    byte: int
    bits: int
    bit: int = 0
    kind: int = 0
    data_type: int = 0
    conversion: Sequence[float] = ()
    is_table: bool = False
    data: str = ""  # the name of the block that has the values


class File:
    """Blocks by name; links are names, or "" for none."""

    def __init__(self, *, finished: bool = True) -> None:
        self._head = (b"MDF     " if finished else b"UnFinMF ") + b"4.10    tests   "
        self._blocks: dict[str, tuple[bytes, list[str], bytes]] = {}

    def add(self, name: str, kind: bytes, links: Sequence[str], own: bytes) -> str:
        self._blocks[name] = kind, list(links), own
        return name

    def text(self, text: str) -> str:
        return self.add(f"text {text}", b"TX", [], text.encode() + b"\0")

    def channels(self, prefix: str, fields: Sequence[Field]) -> str:
        """The chain of them; the name of the first."""
        following = ""
        for each in reversed(fields):
            conversion = ""
            if each.conversion:
                own = struct.pack("<BBHHH16x", 4 if each.is_table else 1, 0, 0, 0, len(each.conversion))
                own += struct.pack(f"<{len(each.conversion)}d", *each.conversion)
                conversion = self.add(f"{prefix} {each.name} cc", b"CC", [""] * 4, own)
            own = struct.pack(
                "<BBBBLL", each.kind, each.kind == 2, each.data_type, each.bit, each.byte, each.bits
            )
            links = [following, "", self.text(each.name), "", conversion, each.data, "", ""]
            following = self.add(f"{prefix} {each.name}", b"CN", links, own.ljust(72, b"\0"))
        return following

    def group(
        self, name: str, number: int, records: int, size: int, first: str, following: str = "", flags: int = 0
    ) -> str:
        own = struct.pack("<QQHHLLL", number, records, flags, 0, 0, size, 0)
        return self.add(name, b"CG", [following, first, "", "", "", ""], own)

    def data_group(self, groups: str, data: str, id_size: int = 0, following: str = "") -> str:
        return self.add(
            f"group of {groups}", b"DG", [following, groups, data, ""], bytes([id_size]).ljust(8, b"\0")
        )

    def packed(self, name: str, data: bytes, columns: int = 0) -> str:
        """Data in a DZ, column by column if there are some."""
        kept = data
        if columns:
            rows = len(data) // columns
            kept = (
                b"".join(data[k : rows * columns : columns] for k in range(columns)) + data[rows * columns :]
            )
        squeezed = zlib.compress(kept)
        own = struct.pack("<2sBBLQQ", b"DT", bool(columns), 0, columns, len(data), len(squeezed)) + squeezed
        return self.add(name, b"DZ", [], own)

    def finish(self, first: str, began: int = BEGAN, flags: int = 0) -> bytes:
        own = struct.pack("<QhhB", began, 0, 0, flags).ljust(24, b"\0")
        blocks = {"header": (b"HD", [first, "", "", "", "", ""], own), **self._blocks}
        places, place = {"": 0}, 64
        for name, (_, links, own) in blocks.items():
            places[name] = place
            place += (24 + 8 * len(links) + len(own) + 7) & ~7
        file = bytearray(self._head.ljust(64, b"\0"))
        for kind, links, own in blocks.values():
            size = 24 + 8 * len(links) + len(own)
            file += struct.pack("<4s4xQQ", b"##" + kind, size, len(links))
            file += b"".join(struct.pack("<Q", places[link]) for link in links) + own
            file += bytes(-len(file) % 8)
        return bytes(file)


# Seconds in 8 bytes, the identifier in two, its kind, channel and length in one each, and the data.
FIELDS = (
    Field("Timestamp", 0, 64, kind=2, data_type=4),
    Field("CAN_DataFrame.ID", 8, 16),
    Field("CAN_DataFrame.IDE", 10, 1),
    Field("CAN_DataFrame.Dir", 10, 1, 1),
    Field("CAN_DataFrame.BusChannel", 11, 8),
    Field("CAN_DataFrame.DataLength", 12, 8),
    Field("CAN_DataFrame.DataBytes", 13, 64, data_type=10),
)
SIZE = 21


def record(number: int, channel: int = 1) -> bytes:
    """The identifiers count from 0x100, the times are eighths of a second."""
    data = bytes([number, 0xA5]).ljust(8, b"\xff")
    return struct.pack("<dHBBB8s", number / 8, 0x100 + number, 0, channel, 2, data)


def mf4(count: int, record: Callable[[int], bytes] = record) -> bytes:
    """One group, and its records as they are."""
    file = File()
    group = file.group("frames", 0, count, SIZE, file.channels("frames", FIELDS))
    data = file.add("data", b"DT", [], b"".join(map(record, range(count))))
    return file.finish(file.data_group(group, data))
