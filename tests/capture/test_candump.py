"""candump's logs: each kind of line, and what is told of lines that are none."""

from __future__ import annotations

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
