"""Bad, cut and odd logs: what is readable is decoded, what is not is told with its position, and nothing breaks."""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import lzma
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isotp import capture
from isotp._logs import AscParser, BlfParser, CandumpParser, FrameCollector, PcapParser
from isotp.bulk._records import Record

EFF, RTR, ERR = 0x80000000, 0x40000000, 0x20000000
BRS, ESI, FDF, SENT = 0x01, 0x02, 0x04, 0x80


def read(file: bytes, **options: Any) -> tuple[list[Record], capture.Capture]:
    with capture.open(io.BytesIO(file), **options) as log:
        return [record for records in log for record in records], log


def problems(log: capture.Capture) -> list[tuple[int, int | None, str]]:
    return [(each.offset, each.line, each.reason) for each in log.problems]


# --- candump ---


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("(1.5) can0 123#", Record(1_500_000_000, 0x123, 0, 0, b"")),
        ("(1) can0 123#0102", Record(1_000_000_000, 0x123, 0, 0, b"\1\2")),
        ("  (1.000000001)\tcan0  00000123#0102  T\r", Record(1_000_000_001, EFF | 0x123, SENT, 0, b"\1\2")),
        ("(1.0) can0 123#R", Record(10**9, RTR | 0x123, 0, 0, b"")),
        ("(1.0) can0 123#R5", Record(10**9, RTR | 0x123, 0, 0, bytes(5))),
        ("(1.0) can0 123#R8_C R", Record(10**9, RTR | 0x123, 0, 0, bytes(8))),
        ("(1.0) can0 123#0011223344556677_F", Record(10**9, 0x123, 0, 0, bytes.fromhex("0011223344556677"))),
        ("(1.0) can0 123##0", Record(10**9, 0x123, FDF, 0, b"")),
        ("(1.0) can0 123##7aB", Record(10**9, 0x123, FDF | BRS | ESI, 0, b"\xab")),
        ("(1.0) can0 20000088#0000000000000000", Record(10**9, ERR | 0x88, 0, 0, bytes(8))),
        ("(9223372035.999999999) can0 123#", Record(9223372035_999999999, 0x123, 0, 0, b"")),
    ],
)
def test_candump_line(line: str, expected: Record) -> None:
    found, log = read(line.encode() + b"\n", format="candump")
    assert problems(log) == []
    assert found == [expected]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("123#", "no CAN frame"),
        ("(1.0) can0", "no CAN frame"),
        ("(1.0) can0 123", "no CAN frame"),
        ("(1.0) can0 123#00 X", "no CAN frame"),
        ("(1.0) can0 123#00 R R", "no CAN frame"),
        ("(1.x) can0 123#", "the time"),
        ("(.5) can0 123#", "the time"),
        ("(-1.0) can0 123#", "the time"),
        ("(9223372036.0) can0 123#", "the time"),
        ("(99999999999999999999999.0) can0 123#", "the time"),
        ("(1.0) can0 #00", "the identifier"),
        ("(1.0) can0 12G#00", "the identifier"),
        ("(1.0) can0 123456789#00", "the identifier"),
        ("(1.0) can0 123#0", "the data"),
        ("(1.0) can0 123#0G", "the data"),
        ("(1.0) can0 123#" + "00" * 9, "the data"),
        ("(1.0) can0 123##", "the data"),
        ("(1.0) can0 123##1" + "00" * 65, "the data"),
        ("(1.0) can0 123##181:00:12345678#11", "the data"),
        ("(1.0) can0 123#R9", "the length"),
        ("(1.0) can0 123#Rx", "the length"),
        ("(1.0) " + "x" * 65 + " 123#00", "more than 256 names"),
    ],
)
def test_bad_line_of_candump(line: str, reason: str) -> None:
    """It is told, and the lines around it are read."""
    good = "(1.0) can0 123#01\n"
    found, log = read(f"{good}{line}\n{good}".encode())
    assert [each.data for each in found] == [b"\1", b"\1"]
    assert [(offset, number) for offset, number, _ in problems(log)] == [(len(good), 2)]
    assert log.problems[0].reason.startswith(reason)
    assert "line 2" in str(log.problems[0])


def test_last_line_without_its_end() -> None:
    """It may have been longer: the frame is given, and the doubt is told."""
    found, log = read(b"(1.0) can0 123#0102\n(2.0) can0 123#0102")
    assert len(found) == 2
    assert problems(log) == [(20, 2, "the log ends here in the middle")]


def test_line_without_end() -> None:
    """A line of megabytes is told once, is not kept in memory, and reading goes on behind it."""
    good = b"(1.0) can0 123#01\n"
    found, log = read(good + b"x" * 3_000_000 + b"\n" + good)
    assert len(found) == 2
    assert problems(log) == [(len(good), 2, "a line is longer than 64 KiB")]


def test_problems_are_bounded() -> None:
    _, log = read(b"(1.0) can0 123#01\n" + b"nonsense\n" * 5000)
    assert log.problem_count == 5000
    assert 64 <= len(log.problems) <= 1000


# --- ASC ---

ASC = "date Sam Sep 30 15:06:13.191 2017\nbase hex  timestamps absolute\nno internal events logged\n"


def asc(*lines: str, head: str = ASC) -> bytes:
    return (head + "".join(f"{line}\n" for line in lines)).encode()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "   2.5010 1  1CF            Rx   d 2 1A ff  Length = 0 BitCount = 64 ID = 463",
            Record(2_501_000_000, 0x1CF, 0, 0, b"\x1a\xff"),
        ),
        ("0.1 12  18DAF110x  Tx d 0", Record(100_000_000, EFF | 0x18DAF110, SENT, 11, b"")),
        ("0.1 2 10 Rx r", Record(100_000_000, RTR | 0x10, 0, 1, b"")),
        ("0.1 2 10 Rx r 4 Length = 0", Record(100_000_000, RTR | 0x10, 0, 1, bytes(4))),
        ("0.1 2 ErrorFrame Flags = 0xe CodeExt = 0x20a2", Record(100_000_000, ERR, 0, 1, b"")),
        (
            "0.1 CANFD 3 Tx 7ff Some_Name 1 0 9 12 " + "11 " * 12 + "0 0 3000 0 0 0 0 0",
            Record(100_000_000, 0x7FF, FDF | BRS | SENT, 2, b"\x11" * 12),
        ),
        ("0.1 CANFD 3 Rx 7ff 0 1 1 1 0A", Record(100_000_000, 0x7FF, FDF | ESI, 2, b"\x0a")),
        ("0.1 CANFD 1 Rx ErrorFrame Not Acknowledge error", Record(100_000_000, ERR, FDF, 0, b"")),
    ],
)
def test_asc_line(line: str, expected: Record) -> None:
    found, log = read(asc(line))
    assert log.format == "asc"
    assert problems(log) == []
    assert found == [expected]


@pytest.mark.parametrize(
    "line",
    [
        "// version 8.1.0",
        "Begin Triggerblock Sam Sep 30 15:06:13.191 2017",
        "   0.000000 Start of measurement",
        "   0.015991 CAN 1 Status:chip status error active",
        "   1.015991 1  Statistic: D 0 R 0 XD 0 XR 0 E 0 O 0 B 0.00%",
        "   3.098426 1  J1939TP FEE3p 6 0 0 - Rx d 23 A0 0F A6 60",
        "   0.100000 1  123  TxRq d 1 00",
        "End TriggerBlock",
        "",
    ],
)
def test_line_of_asc_that_is_no_frame(line: str) -> None:
    found, log = read(asc(line))
    assert found == []
    assert problems(log) == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0.1 1 12G Rx d 1 00", "the identifier"),
        ("0.1 1 20000000x Rx d 1 00", "the identifier"),
        ("0.1 1 123 Rx d z 00", "the length"),
        ("0.1 1 123 Rx d 2 00", "the data"),
        ("0.1 1 123 Rx d 2 00 100", "the data"),
        ("0.1 CANFD 1 Rx 7ff 0 0 1 65 00", "the length"),
        ("0.1 CANFD 1 Rx 7ff 0 0 9 12 00", "the data"),
        ("0.1 CANFD 1 Rx 7ff 0", "no CAN frame"),
        ("99999999999.1 1 123 Rx d 0", "the time"),
        ("\0\1\2", "bytes that are not text"),
    ],
)
def test_bad_line_of_asc(line: str, reason: str) -> None:
    found, log = read(asc("0.1 1 123 Rx d 0", line, "0.2 1 123 Rx d 0"))
    assert len(found) == 2
    assert [(number, text.startswith(reason)) for _, number, text in problems(log)] == [(5, True)]


def test_asc_in_decimal() -> None:
    found, _ = read(asc("0.1 1 291x Rx d 2 10 255", head=ASC.replace("hex", "dec")))
    assert found == [Record(100_000_000, EFF | 291, 0, 0, b"\x0a\xff")]


def test_asc_with_relative_times() -> None:
    """Each time counts from the event before, whatever that was."""
    lines = ("0.1 1 123 Rx d 0", "0.5 1  Statistic: D 0", "0.25 1 123 Rx d 0")
    found, _ = read(asc(*lines, head=ASC.replace("absolute", "relative")))
    assert [each.timestamp for each in found] == [100_000_000, 850_000_000]


@pytest.mark.parametrize(
    "date",
    [
        "Sam Sep 30 15:06:13.191 2017",
        "Sat Sep 30 03:06:13.191 pm 2017",
        "Mit Mär 1 15:06:13 2017",
        "Fri Okt 6 1:02:03 2017",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_asc_with_its_date(tmp_path: Path, date: str, encoding: str) -> None:
    """`absolute` adds the local time of the header, as python-can does if asked for it."""
    can = pytest.importorskip("can")
    log_file = tmp_path / "log.asc"
    text = (
        f"date {date}\nbase hex  timestamps absolute\ninternal events logged\n   1.500000 1 123 Rx d 1 00\n"
    )
    log_file.write_bytes(text.encode(encoding))
    with can.ASCReader(io.StringIO(text), relative_timestamp=False) as reader:
        expected = next(iter(reader))
    found, log = read(log_file.read_bytes(), absolute=True)
    assert problems(log) == []
    assert found[0].timestamp / 1e9 == expected.timestamp
    found, _ = read(log_file.read_bytes())
    assert found[0].timestamp == 1_500_000_000


def test_asc_with_a_date_of_no_known_form() -> None:
    log_file = asc("0.1 1 123 Rx d 0", head="date Fri Foo 99 1:02:03 2017\nbase hex  timestamps absolute\n")
    found, log = read(log_file, absolute=True)
    assert [each.timestamp for each in found] == [100_000_000]
    assert problems(log) == [(0, 1, "a header line that can not be read")]


# --- BLF ---


def blf_object(kind: int, body: bytes, time: int = 0, *, flags: int = 2, version: int = 1) -> bytes:
    head = {1: struct.pack("<LHHQ", flags, 0, 0, time), 2: struct.pack("<LBxHQQ", flags, 0, 0, time, 0)}[
        version
    ]
    size = 16 + len(head) + len(body)
    return (
        struct.pack("<4sHHLL", b"LOBJ", 16 + len(head), version, size, kind)
        + head
        + body
        + bytes(len(body) % 4)
    )


def container(objects: bytes, method: int = 2) -> bytes:
    packed = zlib.compress(objects) if method == 2 else objects
    size = 32 + len(packed)
    head = struct.pack("<4sHHLLH6xL4x", b"LOBJ", 16, 1, size, 10, method, len(objects))
    return head + packed + bytes(size % 4)


def blf(*containers: bytes) -> bytes:
    start = struct.pack("<8H", 2017, 9, 6, 30, 15, 6, 13, 191)
    return (b"LOGG" + struct.pack("<L", 144)).ljust(40, b"\0") + start + bytes(88) + b"".join(containers)


BEGAN = 1506783973_191000000


def can_message(number: int) -> bytes:
    return blf_object(1, struct.pack("<HBBL8s", 1, 0, 1, 0x100 + number, bytes([number])), number)


def numbers(found: list[Record]) -> list[int]:
    return [each.can_id - 0x100 for each in found]


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
            blf_object(
                101,
                struct.pack("<BBBBLLLLLLLHBBL", 2, 9, 12, 0, 0x123, 0, 0x7000, *[0] * 5, 1, 0, 0)
                + b"\1" * 12,
            ),
            Record(BEGAN, 0x123, FDF | BRS | ESI | SENT, 1, b"\1" * 12),
        ),
        # Fewer bytes than the length says: the rest is zero.
        (
            blf_object(
                101,
                struct.pack("<BBBBLLLLLLLHBBL", 1, 9, 12, 0, 0x123, 0, 0x1000, *[0] * 5, 0, 0, 0) + b"\1" * 4,
            ),
            Record(BEGAN, 0x123, FDF, 0, b"\1" * 4 + bytes(8)),
        ),
        # Data of something else follow at the offset 76.
        (
            blf_object(
                101,
                struct.pack("<BBBBLLLLLLLHBBL", 1, 8, 8, 0, 0x123, 0, 0x1000, *[0] * 5, 0, 76, 0)
                + b"\1" * 12,
            ),
            Record(BEGAN, 0x123, FDF, 0, b"\1" * 4 + bytes(4)),
        ),
        (
            blf_object(101, struct.pack("<BBBBLLLLLLLHBBL", 1, 4, 0, 0, 0x123, 0, 0x10, *[0] * 5, 0, 0, 0)),
            Record(BEGAN, RTR | 0x123, 0, 0, bytes(4)),
        ),
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
        (144, "the size of an object can not be right (byte 48 of the unpacked objects)"),
        (144, "the size of an object can not be right (byte 144 of the unpacked objects)"),
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
        "the size of an object can not be right",
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
        at_padding = end in (
            second - 1,
            second - 2,
            second - 3,
            second,
            len(whole) - 1,
            len(whole) - 2,
            len(whole) - 3,
        )
        assert len(log.problems) >= 1 or at_padding, end


# --- any bytes ---

makers: dict[str, Callable[[], Any]] = {
    "candump": lambda: CandumpParser(lambda name: len(name)),
    "asc": lambda: AscParser(lambda name: 0, lambda line: len(line)),
    "blf": lambda: BlfParser(lambda name: 0, 0),
    "pcap": lambda: PcapParser(lambda name: 0),
}
seeds = {
    "candump": b"(1.0) can0 123#00\n(1.0) can0 12345678##1" + b"00" * 64 + b"\n(1.0) can0 123#R3 T\n",
    "asc": asc(
        "0.1 1 123 Rx d 2 00 11", "0.1 CANFD 1 Rx 7ff name 1 0 9 12 " + "11 " * 12, "0.2 1 ErrorFrame"
    ),
    "blf": can_message(1)
    + blf_object(100, bytes(84))
    + blf_object(101, bytes(60))
    + blf_object(73, bytes(32)),
    "pcap": struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 227)
    + (struct.pack("<IIII", 1, 2, 16, 16) + bytes(16)) * 3,
}


@pytest.mark.parametrize("name", makers)
@given(data=st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes(name: str, data: st.DataObject) -> None:
    """A log with bytes changed, put in and left out, in any blocks: frames or problems, and always an end."""
    log = bytearray(seeds[name] * data.draw(st.integers(1, 3)))
    for _ in range(data.draw(st.integers(0, 6))):
        place = data.draw(st.integers(0, len(log)))
        length = data.draw(st.integers(0, 8))
        log[place : place + length] = data.draw(st.binary(max_size=8))
    whole, cut = makers[name](), makers[name]()
    expected = list(whole.feed(bytes(log), True))
    found = []
    rest = bytes(log)
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        found += list(cut.feed(rest[:size]))
        rest = rest[size:]
    found += list(cut.feed(b"", True))
    assert found == expected
    assert whole.defects_found() == cut.defects_found()
    assert all(len(record.data) <= 64 for record in found)


@given(data=st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes_of_a_blf_file(data: st.DataObject) -> None:
    """The same for the containers around the objects."""
    objects = [b"".join(can_message(n) for n in range(start, start + 5)) for start in (0, 5, 10)]
    log = bytearray(blf(*(container(each, data.draw(st.sampled_from([0, 2]))) for each in objects)))
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(log)))
        log[place : place + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    found, _ = read(bytes(log), format="blf")
    assert len(found) <= 15


# --- compression ---

# bz2 loses a block as a whole: so they are made small.
PAYLOADS = random.Random(5).randbytes(8 * 20_000)
LOG = b"".join(
    b"(%d.0) can0 123#%s\n" % (second, PAYLOADS[8 * second : 8 * second + 8].hex().encode())
    for second in range(20_000)
)


def packers() -> dict[str, Any]:
    found: dict[str, Any] = {
        "gz": gzip.compress,
        "bz2": functools.partial(bz2.compress, compresslevel=1),
        "xz": lzma.compress,
    }
    try:
        from compression import zstd
    except ImportError:
        try:
            from backports import zstd
        except ImportError:
            return found
    return found | {"zstd": zstd.compress}


compressions = pytest.mark.parametrize("name", packers())


@compressions
def test_packed(name: str) -> None:
    """In one piece, in two with zeros behind them; positions are those of the unpacked log."""
    packed = packers()[name]
    expected, _ = read(LOG)
    for file in (packed(LOG), packed(LOG[:30_001]) + packed(LOG[30_001:]) + bytes(100)):
        found, log = read(file)
        assert log.compression == name
        assert log.format == "candump"
        assert problems(log) == []
        assert found == expected
        assert log.bytes_read == len(file)
    _, log = read(packed(b"(1.0) can0 123#00\nnonsense\n"))
    assert [(each.offset, each.line) for each in log.problems] == [(18, 2)]


@compressions
def test_packed_and_cut(name: str) -> None:
    file = packers()[name](LOG)
    found, log = read(file[: len(file) * 3 // 4])
    assert len(found) > 5_000
    assert found == read(LOG)[0][: len(found)]
    assert any("ends in the middle" in each.reason for each in log.problems)
    found, log = read(file + b"something else")
    assert len(found) == 20_000
    assert any("other bytes follow" in each.reason for each in log.problems)


@compressions
def test_packed_and_damaged(name: str) -> None:
    file = bytearray(packers()[name](LOG))
    for place in range(len(file) * 3 // 4, len(file) * 3 // 4 + 40):
        file[place] ^= 0x5A
    found, log = read(bytes(file))
    assert log.problem_count > 0
    assert 5_000 < len(found) < 20_000


# --- what the functions refuse ---


def test_no_log() -> None:
    with pytest.raises(ValueError, match="no log in a known format"):
        capture.open(io.BytesIO(b"Dear diary"))
    with pytest.raises(ValueError, match="no log in a known format"):
        capture.open(io.BytesIO(b""))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"format": "doc"}, ValueError),
        ({"block_size": 10}, ValueError),
        ({"channels": "can0"}, TypeError),
        ({"channels": [65536]}, ValueError),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=r"10|doc|can0|65536"):
        read(LOG, **options)


def test_no_file() -> None:
    with pytest.raises(TypeError, match="not 7"):
        capture.open(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="gives str"):
        capture.open(io.StringIO("x"))  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        capture.open("there/is/no/such.log")


def test_a_collector_takes_frames_that_can_be() -> None:
    collector = FrameCollector()
    with pytest.raises(ValueError, match="65"):
        collector.put(0, 1, bytes(65))
    with pytest.raises(ValueError, match="length 9"):
        collector.put(0, 1, b"", 9)


# --- what is wanted ---


def test_part_of_a_log() -> None:
    lines = [f"({n}.0) {name} 123#{n:02X}\n" for n in range(10) for name in ("can0", "can1", "vcan0", "lin")]
    file = "".join(lines).encode()
    found, log = read(file, start=3_000_000_000, end=5_000_000_000, channels=["can1", "lin"])
    assert [(each.timestamp // 10**9, each.channel) for each in found] == [(3, 1), (3, 256), (4, 1), (4, 256)]
    assert [log.channels[each.channel] for each in found] == ["can1", "lin", "can1", "lin"]


def test_one_table_for_several_logs() -> None:
    """A name has the same number in each of them; a fixed number stays."""
    table = capture.Channels({"chassis": 0})
    first, _ = read(b"(1.0) can0 123#\n(1.0) can1 123#\n", table=table)
    second, _ = read(b"(1.0) can1 123#\n(1.0) vcan1 123#\n(1.0) chassis 123#\n(1.0) can0 123#\n", table=table)
    assert [each.channel for each in first] == [256, 1]
    assert [each.channel for each in second] == [1, 257, 0, 256]
    with pytest.raises(ValueError, match="same number"):
        capture.Channels({"a": 1, "b": 1})
    with pytest.raises(ValueError, match="65536"):
        capture.Channels({"a": 65536})


# --- found by fuzzing ---


@pytest.mark.parametrize("rest", ["", ";$STARTTIME=43008.1\n", "1 DT 0100 Rx - 1 00\n" * 3])
def test_trc_whose_columns_are_missing(rest: str) -> None:
    """It is told, and there is an end of it."""
    pytest.importorskip("can", reason="TRC is read with python-can")
    found, log = read(f";$FILEVERSION=2.1\n{rest}".encode())
    assert found == []
    assert 1 <= len(log.problems) <= 5


def test_pcapng_that_begins_again_in_the_middle_of_a_block() -> None:
    """Behind a bad block, the next one is found even if only its beginning is there for now."""
    bad = struct.pack("<II", 0x0A0D0D0A, 4)
    section = struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
    interface = struct.pack("<IIHHII", 1, 20, 227, 0, 0, 20)
    packet = struct.pack("<IIIIIII", 6, 48, 0, 0, 5, 16, 16) + bytes(16) + struct.pack("<I", 48)
    log = section + bad + section + interface + packet
    whole = PcapParser(lambda name: 0)
    expected = list(whole.feed(log, True))
    assert len(expected) == 1
    for cut in range(len(log)):
        parser = PcapParser(lambda name: 0)
        found = [*parser.feed(log[:cut]), *parser.feed(log[cut:]), *parser.feed(b"", True)]
        assert found == expected, cut
        assert parser.defects_found()[1] == 1
