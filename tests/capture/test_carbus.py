"""CARBUS Analyzer's trace: each kind of line, and what is told of lines that are none."""

from __future__ import annotations

import pytest

from isotp.bulk._records import Record
from tests.capture.logs import EFF, FDF, problems, read

HEAD = "@ TEXT @ 3 @ 64 @ 0 @ 1149 @ 7459 @ 00:00:07.459 @\r# $LocalTime=11:19:54.503\r"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "34,091695\t1\t00000004\t2BD\t3\t36 0B F0               \t00000000\t6       \t",
            Record(34_091_695_000, 0x2BD, 0, 1, b"\x36\x0b\xf0"),
        ),
        ("14,687\t2\t0004\t4E0\t1\t24\t00000000\t$", Record(14_687_000_000, 0x4E0, 0, 2, b"\x24")),
        ("14,687\t2\t0004\t18DAF110\t0\t\t00000000\t", Record(14_687_000_000, EFF | 0x18DAF110, 0, 2, b"")),
        ("14,687\t2\t0004\t4E0\t12\t" + "24 " * 12, Record(14_687_000_000, 0x4E0, FDF, 2, b"\x24" * 12)),
    ],
)
@pytest.mark.parametrize("end", ["\r", "\r\n"])
def test_line_of_carbus(line: str, expected: Record, end: str) -> None:
    found, log = read(f"{HEAD}{line}{end}".encode())
    assert log.format == "carbus"
    assert problems(log) == []
    assert found == [expected]


def test_other_lines_are_counted() -> None:
    found, log = read(f"{HEAD}14,687\t2\t0008\t4E0\t1\t24\t00000000\t$\r".encode())
    assert (found, problems(log), log.others) == ([], [], {"other line": 1})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("x\t1\t0004\t2BD\t1\t36", "the time"),
        ("1,0\tx\t0004\t2BD\t1\t36", "no CAN frame"),
        ("1,0\t1\tx\t2BD\t1\t36", "no CAN frame"),
        ("1,0\t1\t0004", "no CAN frame"),
        ("1,0\t1\t0004\t20000000\t1\t36", "the identifier"),
        ("1,0\t1\t0004\t2BD\t65\t36", "the length"),
        ("1,0\t1\t0004\t2BD\t2\t36\t00000000\t6", "the data"),
        ("1,0\t1\t0004\t2BD\t1\t36 37\t00000000\t6", "the data"),
        ("# comment 1,0\t1\t0004\t2BD\t1\t36", "a frame within"),
    ],
)
def test_bad_line_of_carbus(line: str, reason: str) -> None:
    good = "1,0\t1\t0004\t1\t0\r"
    found, log = read(f"{HEAD}{good}{line}\r{good}".encode())
    assert len(found) == 2
    assert [(number, text.startswith(reason)) for _, number, text in problems(log)] == [(4, True)]
