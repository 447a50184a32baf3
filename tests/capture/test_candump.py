"""candump's logs: each kind of line, and what is told of lines that are none."""

from __future__ import annotations

from datetime import datetime

import pytest

from isotp.bulk._records import Record
from tests.capture.logs import BRS, EFF, ERR, ESI, FDF, RTR, SENT, problems, read


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


# --- on a screen ---

SCREEN = [
    ("  can0  713   [8]  02 10 03 00 00 00 00 00", Record(0, 0x713, 0, 0, b"\2\x10\3\0\0\0\0\0")),
    ("  can0  TX - -  713   [3]  02 10 03   '...'", Record(0, 0x713, SENT, 0, b"\2\x10\3")),
    ("  can0  RX - -  713   [3]  27 20 60   '' `'", Record(0, 0x713, 0, 0, b"\x27\x20\x60")),
    ("  can0  RX B E  713  [03]  02 10 03", Record(0, 0x713, FDF | BRS | ESI, 0, b"\2\x10\3")),
    ("  can0  RX B -  713  [12]  " + "11 " * 12, Record(0, 0x713, FDF | BRS, 0, b"\x11" * 12)),
    ("  can0  713   [0] ", Record(0, 0x713, 0, 0, b"")),
    (" vcan0  18DAF110   [2]  AA BB", Record(0, EFF | 0x18DAF110, 0, 0, b"\xaa\xbb")),
    (" vcan0       123   [4]  remote request", Record(0, RTR | 0x123, 0, 0, bytes(4))),
    ("  can1  123   {F}  01 02 03 04 05 06 07 08", Record(0, 0x123, 0, 1, bytes(range(1, 9)))),
    ("  can1  123   [2]  00000010 11110000", Record(0, 0x123, 0, 1, b"\2\xf0")),
    ("  can1  123   [3]  03`02`01   `...`", Record(0, 0x123, 0, 1, b"\1\2\3")),
    ("  can1  123   [2]  11110000`00000010", Record(0, 0x123, 0, 1, b"\2\xf0")),
    (
        "  can1  20000004   [8]  00 08 00 00 00 00 00 00   ERRORFRAME",
        Record(0, ERR | 4, 0, 1, b"\0\x08" + bytes(6)),
    ),
    (" (1436509052.249713)  can0  123   [1]  01", Record(1_436_509_052_249_713_000, 0x123, 0, 0, b"\1")),
    ("(360.26) RX0 39 [1] 7F", Record(360_260_000_000, 0x39, 0, 0, b"\x7f")),
    ("(360.26) TX1 1BFFDA00 [1] 7F", Record(360_260_000_000, EFF | 0x1BFFDA00, SENT, 1, b"\x7f")),
    (" (000.000000)  can0  123   [1]  01", Record(0, 0x123, 0, 0, b"\1")),
    (" (1.123456789)  can0  123   [1]  01", Record(1_123_456_789, 0x123, 0, 0, b"\1")),
]


@pytest.mark.parametrize(("line", "expected"), SCREEN)
def test_line_of_a_screen(line: str, expected: Record) -> None:
    found, log = read(f"{line}\r\n".encode())
    assert log.format == "candump"
    assert problems(log) == []
    assert found == [expected]


def test_a_screen_with_dates() -> None:
    """candump -t A has local time; what an hour begins with is asked once."""
    lines = (
        "2016-01-01 12:34:56.123456",
        "2016-01-01 12:59:59.5",
        "2016-01-01 13:00:00.000000",
        "2016-13-01 13:00:00",
    )
    found, log = read("".join(f" ({line})  can0  123   [1]  01\n" for line in lines).encode())
    noon = int(datetime(2016, 1, 1, 12).timestamp())
    assert [each.timestamp for each in found] == [
        (noon + 34 * 60 + 56) * 10**9 + 123_456_000,
        (noon + 3599) * 10**9 + 500_000_000,
        (noon + 3600) * 10**9,
    ]
    assert [(line, reason.startswith("the time")) for _, line, reason in problems(log)] == [(4, True)]


def times_on_a_screen(*times: str) -> list[int]:
    found, log = read("".join(f" ({each})  can0  123   [1]  01\n" for each in times).encode())
    assert problems(log) == []
    return [each.timestamp // 1_000_000 for each in found]


def test_a_channel_whose_name_looks_like_a_date() -> None:
    found, log = read(b"(1.0) (bus 123#00\n" + b"(1.0)  (2016-01-01  123  [1]  00\n")
    assert problems(log) == []
    assert [log.channels[each.channel] for each in found] == ["(bus", "(2016-01-01"]


def test_times_since_the_first_frame() -> None:
    """They may be out of order a little, say of two interfaces."""
    assert times_on_a_screen("000.000000", "000.010", "000.500", "000.499", "001.000") == [
        0,
        10,
        500,
        499,
        1000,
    ]


def test_times_since_the_frame_before() -> None:
    """candump -t d: known from the first one on that is much less than the one before."""
    assert times_on_a_screen("000.000000", "000.010", "000.015", "000.005", "000.100") == [0, 10, 15, 30, 130]


def test_what_candump_says_of_errors() -> None:
    lines = "  can0  20000004   [8]  00 08 00 00 00 00 00 00   ERRORFRAME\n\tcontroller-problem{rx-error-warning}\n"
    found, log = read(lines.encode() * 2)
    assert len(found) == 2
    assert (problems(log), log.others) == ([], {"description of an error": 2})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("  can0  713   [8]  02 10", "the data"),
        ("  can0  713   [2]  02 10 03", "the data"),
        ("  can0  713   [2]  02 10   '.'", "the data"),
        ("  can0  713   [2]  02 10   '..' x", "the data"),
        ("  can0  713   [2]  02`10`11", "the data"),
        ("  can0  713   [2]  02`1", "the data"),
        ("  can0  713   [2]  remote", "the data"),
        ("  can0  713   [9]  02", "the length"),
        ("  can0  713   [65]  02", "the length"),
        ("  can0  713   {8}  02", "the length"),
        ("  can0  813   [1]  02", "the identifier"),
        ("  can0  2000000F3   [1]  02", "the identifier"),
        ("  can0  RX - 713   [1]  02", "no CAN frame"),
        ("  can0  RX X -  713   [1]  02", "no CAN frame"),
        (" (1.2.3)  can0  713   [1]  02", "the time"),
        (" (2016-01-01 12:34)  can0  713   [1]  02", "the time"),
        (" (2016-01-01 12:34:99)  can0  713   [1]  02", "the time"),
        (" (2016-01-01)  can0  713   [1]  02", "the time"),
        (" (2016-01-01", "no CAN frame"),
        (" (1.0)", "no CAN frame"),
        ("nonsense", "no CAN frame"),
        ("(1.0) (bus 123  [1]  02  03", "the data"),
    ],
)
def test_bad_line_of_a_screen(line: str, reason: str) -> None:
    good = "  can0  123   [1]  01\n"
    found, log = read(f"{good}{line}\n{good}".encode())
    assert len(found) == 2
    assert [(number, text.startswith(reason)) for _, number, text in problems(log)] == [(2, True)]
