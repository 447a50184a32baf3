"""BLF: each kind of object, containers of each kind, and what is told where a file is damaged."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from isotp.bulk._records import Record
from isotp.capture._parsers import BlfParser
from tests.capture.blf import BEGAN, blf, blf_object, can_message, container
from tests.capture.logs import BRS, EFF, ERR, ESI, FDF, RTR, SENT, numbers, problems, read


def fd_message(
    channel: int, dlc: int, length: int, flags: int, direction: int, offset: int, data: bytes = b""
) -> bytes:
    head = (channel, dlc, length, 0, 0x123, 0, flags, *[0] * 5, direction, offset, 0)
    return blf_object(101, struct.pack("<BBBBLLLLLLLHBBL", *head) + data)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            blf_object(86, struct.pack("<HBBL8s8x", 2, 1, 8, 0x123, bytes(8))),
            Record(BEGAN, 0x123, SENT, 1, bytes(8)),
        ),
        (
            blf_object(1, struct.pack("<HBBL8s", 2, 0x80, 3, 0x123, b"")),
            Record(BEGAN, RTR | 0x123, 0, 1, bytes(3)),
        ),
        (
            blf_object(1, struct.pack("<HBBL8s", 0, 0, 15, EFF | 0x123, bytes(8)), 7, flags=1),
            Record(BEGAN + 70_000, EFF | 0x123, 0, 65535, bytes(8)),
        ),
        (
            blf_object(1, struct.pack("<HBBL8s", 1, 0, 0, 0x123, b""), 7, version=2),
            Record(BEGAN + 7, 0x123, 0, 0, b""),
        ),
        (
            fd_message(2, 9, 12, 0x7000, 1, 0, b"\1" * 12),
            Record(BEGAN, 0x123, FDF | BRS | ESI | SENT, 1, b"\1" * 12),
        ),
        # Fewer bytes than the length says: the rest is zero.
        (
            fd_message(1, 9, 12, 0x1000, 0, 0, b"\1" * 4),
            Record(BEGAN, 0x123, FDF, 0, b"\1" * 4 + bytes(8)),
        ),
        # Data of something else follow at the offset 76.
        (
            fd_message(1, 8, 8, 0x1000, 0, 76, b"\1" * 12),
            Record(BEGAN, 0x123, FDF, 0, b"\1" * 4 + bytes(4)),
        ),
        (fd_message(1, 4, 0, 0x10, 0, 0), Record(BEGAN, RTR | 0x123, 0, 0, bytes(4))),
        (
            blf_object(73, struct.pack("<HHLBBBxLLH2x8s", 1, 0, 0, 0, 0, 2, 0, EFF | 5, 0, b"ab")),
            Record(BEGAN, ERR | EFF | 5, 0, 0, b"ab"),
        ),
    ],
)
def test_blf_object(tmp_path: Path, body: bytes, expected: Record) -> None:
    found, log = read(blf(container(body)))
    assert log.format == "blf"
    assert problems(log) == []
    assert found == [expected]


@pytest.mark.parametrize("method", [0, 2])
@pytest.mark.parametrize("size", [1, 7, 50, 1000])
def test_objects_across_containers(method: int, size: int) -> None:
    """Containers split the objects anywhere."""
    objects = b"".join(can_message(number) + blf_object(96, bytes(100)) for number in range(20))
    pieces = [objects[place : place + size] for place in range(0, len(objects), size)]
    found, log = read(blf(*(container(piece, method) for piece in pieces)))
    assert problems(log) == []
    assert numbers(found) == list(range(20))


def test_large_objects_are_passed_over() -> None:
    objects = can_message(0) + blf_object(65, bytes(3_000_001)) + can_message(1)
    found, log = read(blf(container(objects)))
    assert problems(log) == []
    assert numbers(found) == [0, 1]


def test_objects_that_can_not_be() -> None:
    bad = can_message(1)
    bad_size = bad[:8] + struct.pack("<L", 3) + bad[12:]
    short = blf_object(100, bytes(20))
    objects = can_message(0) + bad_size + can_message(2) + short + b"?" * 40 + can_message(3)
    found, log = read(blf(container(objects)))
    assert numbers(found) == [0, 2, 3]
    assert [(each.offset, each.reason) for each in log.problems] == [
        (144, "the size of an object cannot be right (byte 48 of the unpacked objects)"),
        (144, "the size of an object cannot be right (byte 144 of the unpacked objects)"),
        (144, "no object where one should begin (byte 196 of the unpacked objects)"),
    ]


def test_data_that_look_like_an_object() -> None:
    """Who sends on the bus chooses them: they are data, in containers of both kinds."""
    forged = [can_message(7)[:48], container(can_message(8), 0)[:32]]
    for data in forged:
        body = struct.pack("<HBBLLBBBxL64s", 1, 0, 15, 0x123, 0, 0, 1, 64, 0, data)
        for method in (0, 2):
            found, log = read(
                blf(container(blf_object(100, body), method), container(can_message(1), method))
            )
            assert problems(log) == []
            assert [each.data for each in found] == [data.ljust(64, b"\0"), b"\1"]


def test_objects_that_are_not_read() -> None:
    """What has frames in it, and is not read, is told."""
    unknown = bytearray(can_message(1))
    unknown[6] = 3
    objects = can_message(0) + bytes(unknown) + container(can_message(2), 0) + can_message(3)
    found, log = read(blf(container(objects), can_message(4), container(can_message(5))))
    assert numbers(found) == [0, 2, 3, 5]
    assert [each.reason.partition(" (")[0] for each in log.problems] == [
        "the header of an object has an unknown version",
        "a log container among the objects of another one",
        "the size of an object cannot be right",
        "a frame outside of the log containers",
    ]


@pytest.mark.parametrize(
    ("start", "began"),
    [
        ((1970, 1, 4, 1, 0, 0, 0, 0), 0),
        ((1969, 12, 3, 31, 23, 59, 59, 999), -1_000_000),
        ((0,) * 8, 0),
        ((2017, 13, 6, 30, 15, 6, 13, 191), None),
        ((9999, 1, 5, 1, 0, 0, 0, 0), None),
    ],
)
def test_the_start_of_a_blf_file(start: tuple[int, ...], began: int | None) -> None:
    file = bytearray(blf(container(can_message(1))))
    struct.pack_into("<8H", file, 40, *start)
    found, log = read(bytes(file))
    assert [each.timestamp for each in found] == [1 + (began or 0)]
    assert [each.offset for each in log.problems] == ([40] if began is None else [])


@pytest.mark.parametrize("began", [-(1 << 61), 0, 1 << 61])
def test_times_at_the_end_of_64_bits(began: int) -> None:
    """Each fits, or is told."""
    last = (1 << 63) - 2
    limit = last - max(began, 0)
    objects = b"".join(
        blf_object(1, struct.pack("<HBBL8s", 1, 0, 0, 0x123, b""), time, flags=flags)
        for time, flags in ((limit, 2), (limit + 1, 2), ((1 << 64) - 1, 2), (limit // 10_000 + 1, 1))
    )
    parser = BlfParser(lambda name: 0, began)
    assert [each.timestamp for each in parser.feed(objects, True)] == [limit + began]
    found, count = parser.defects_found()
    assert (count, {reason[:8] for _, _, reason in found}) == (3, {"the time"})


def test_damaged_container() -> None:
    """What comes before the damage is read, and the containers behind it; an object across the gap is lost."""
    first, second, third = (
        b"".join(can_message(n) for n in range(start, start + 10)) for start in (0, 10, 20)
    )
    broken = bytearray(container(second))
    broken[-4] ^= 0xFF  # the checksum of zlib
    unknown = container(b"", 7)
    file = blf(container(first), bytes(broken), unknown, container(third))
    found, log = read(file)
    assert numbers(found)[:10] == list(range(10))
    assert numbers(found)[-10:] == list(range(20, 30))
    offset = 144 + len(container(first))
    assert [each.offset for each in log.problems] == [offset, offset + len(broken)]


def test_blf_cut_off_anywhere() -> None:
    objects = [b"".join(can_message(n) for n in range(start, start + 5)) for start in (0, 5)]
    whole = blf(*(container(each) for each in objects))
    second = 144 + len(container(objects[0]))
    for end in range(144 + 40, len(whole)):
        found, log = read(whole[:end])
        assert numbers(found) == list(range(len(found)))
        assert len(found) >= (5 if end >= second else 0)
        # Padding may be missing: nobody sees that.
        at_padding = second - 3 <= end <= second or end >= len(whole) - 3
        assert len(log.problems) >= 1 or at_padding, end


def test_less_than_the_header_says() -> None:
    """A file that was cut between two containers; one that was not closed says nothing, or the size of its header."""
    whole = blf(*(container(can_message(k)) for k in range(3)))
    for says, told in ((len(whole), True), (0, False), (144, False)):
        file = bytearray(whole)
        struct.pack_into("<Q", file, 16, says)
        found, log = read(bytes(file))
        assert (numbers(found), problems(log)) == ([0, 1, 2], [])
        cut = whole.rindex(b"LOBJ")
        found, log = read(bytes(file[:cut]))
        assert numbers(found) == [0, 1]
        reason = f"the log ends here, its header says that it has {len(whole)} bytes"
        assert problems(log) == ([(cut, None, reason)] if told else [])
        found, log = read(bytes(file) + bytes(100))
        assert problems(log) == []
