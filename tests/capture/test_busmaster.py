"""BUSMASTER's log: each kind of line, its times, and what is told of lines that are none."""

from __future__ import annotations

from datetime import datetime

import pytest

from isotp.bulk._records import Record
from tests.capture.logs import EFF, FDF, RTR, SENT, problems, read

HEAD = """\
***BUSMASTER Ver 2.4.0***
***PROTOCOL CAN***
***NOTE: PLEASE DO NOT EDIT THIS DOCUMENT***
***[START LOGGING SESSION]***
***START DATE AND TIME 8:8:2014 11:49:7:965***
***HEX***
***SYSTEM MODE***
***START CHANNEL BAUD RATE***
***CHANNEL 1 - Kvaser - 500000 bps***
***END CHANNEL BAUD RATE***
***<Time><Tx/Rx><Channel><CAN ID><Type><DLC><DataBytes>***
"""
SECOND = 10**9
TIME = (11 * 3600 + 49 * 60 + 12) * SECOND + 942_000_000


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("11:49:12:9420 Rx 1 0x023 s 1 40", Record(TIME, 0x23, 0, 1, b"\x40")),
        ("11:49:12:9420 Tx 2 0x18DAF110 x 2 40 FF ", Record(TIME, EFF | 0x18DAF110, SENT, 2, b"\x40\xff")),
        ("11:49:12:9420 Rx 1 0x023 sr 4", Record(TIME, RTR | 0x23, 0, 1, bytes(4))),
        ("11:49:12:9420 Rx 1 0x023 xr 0", Record(TIME, EFF | RTR | 0x23, 0, 1, b"")),
        ("11:49:12:9420 Rx 1 0x023 s 12 " + "11 " * 12, Record(TIME, 0x23, FDF, 1, b"\x11" * 12)),
    ],
)
def test_line_of_busmaster(line: str, expected: Record) -> None:
    found, log = read(f"{HEAD}{line}\r\n".encode())
    assert log.format == "busmaster"
    assert problems(log) == []
    assert found == [expected]


def test_decimal_numbers() -> None:
    found, log = read((HEAD.replace("HEX", "DEC") + "11:49:12:9420 Rx 1 35 s 2 64 255\n").encode())
    assert problems(log) == []
    assert found == [Record(TIME, 0x23, 0, 1, b"\x40\xff")]


def times(head: str, *lines: str, absolute: bool = False) -> list[int]:
    file = head + "".join(f"{line} Rx 1 0x1 s 0\n" for line in lines)
    found, log = read(file.encode(), absolute=absolute)
    assert problems(log) == []
    return [each.timestamp for each in found]


def test_times_of_the_day() -> None:
    """They go on behind midnight; `absolute` adds the date of the header, in local time."""
    lines = ("23:59:59:9999", "00:00:00:0000", "00:00:01:0000")
    day = 86_400 * SECOND
    assert times(HEAD, *lines) == [day - 100_000, day, day + SECOND]
    began = int(datetime(2014, 8, 8).timestamp()) * SECOND
    assert times(HEAD, *lines, absolute=True) == [began + day - 100_000, began + day, began + day + SECOND]


def test_times_that_count() -> None:
    lines = ("00:00:01:0000", "00:00:00:5000", "00:00:01:0000")
    assert times(HEAD.replace("SYSTEM", "ABSOLUTE"), *lines) == [SECOND, SECOND // 2, SECOND]
    assert times(HEAD.replace("SYSTEM", "RELATIVE"), *lines) == [SECOND, 3 * SECOND // 2, 5 * SECOND // 2]


def test_a_date_that_is_none() -> None:
    found, log = read(
        (HEAD.replace("8:8:", "8:13:") + "00:00:01:0000 Rx 1 0x1 s 0\n").encode(), absolute=True
    )
    assert [each.timestamp for each in found] == [SECOND]
    assert [(line, reason) for _, line, reason in problems(log)] == [(5, "a header line that cannot be read")]


def test_error_frames_are_counted() -> None:
    found, log = read(f"{HEAD}11:49:12:9420 Err 1 Bit Error\n".encode())
    assert (found, problems(log), log.others) == ([], [], {"error": 1})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("11:49:12 Rx 1 0x1 s 0", "the time"),
        ("11:49:60:0000 Rx 1 0x1 s 0", "the time"),
        ("11:49:12:99999 Rx 1 0x1 s 0", "the time"),
        ("11:49:12:9420 Ry 1 0x1 s 0", "no CAN frame"),
        ("11:49:12:9420 Rx z 0x1 s 0", "no CAN frame"),
        ("11:49:12:9420 Rx 1 0x1 q 0", "no CAN frame"),
        ("11:49:12:9420 Rx 1 0x1 sq 0", "no CAN frame"),
        ("11:49:12:9420 Rx 1 0x1", "no CAN frame"),
        ("11:49:12:9420 Rx 1 0x800 s 0", "the identifier"),
        ("11:49:12:9420 Rx 1 0x1 s 65", "the length"),
        ("11:49:12:9420 Rx 1 0x1 s 2 00", "the data"),
        ("11:49:12:9420 Rx 1 0x1 s 1 00 11", "the data"),
        ("***HEX*** 11:49:12:9420 Rx 1 0x1 s 0", "a frame within"),
    ],
)
def test_bad_line_of_busmaster(line: str, reason: str) -> None:
    good = "11:49:12:9420 Rx 1 0x1 s 0\n"
    found, log = read(f"{HEAD}{good}{line}\n{good}".encode())
    assert len(found) == 2
    assert [(number, text.startswith(reason)) for _, number, text in problems(log)] == [(13, True)]
