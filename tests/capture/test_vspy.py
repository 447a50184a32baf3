"""Vehicle Spy's CSV: each kind of row, what the header says, and what is told of rows that cannot be read."""

from __future__ import annotations

from datetime import datetime

import pytest

from isotp.bulk._records import Record
from tests.capture.logs import EFF, RTR, SENT, problems, read

COLUMNS = (
    "Line,Abs Time(Sec),Rel Time (Sec),Status,Er,Tx,Description,Network,Node,{},B1,B2,B3,B4,B5,B6,B7,B8,Value,"
    "Trigger,Signals\r\n"
)
HEAD = (
    "Vehicle Spy 3 Bus Traffic File\r\nSave Date,6/29/2018\r\nISO8601 Timestamp,2018/06/29T13:00:47.000019,,,\r\n"
    "Notes,1 car\r\n\r\nNetwork Description,Hardware,Network,Protocol,Baud Rate\r\nHS CAN,neoVI,HS CAN,CAN,500000,\r\n"
    "J1708,neoVI,J1708,J1708,9600,\r\nLIN1,neoVI,LIN1,LIN,19200,\r\n\r\n"
    + COLUMNS.format("Arb ID,Remote,Xtd")
    + COLUMNS.format("PT,Trgt,Src")
)


def row(rest: str, time: str = "2.5", error: str = "F", sent: str = "F", network: str = "HS CAN") -> str:
    return f"2,{time},0.003818174999651092,67371008,{error},{sent},a message,{network},,{rest}"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "2,2550.368293675,0.003818174999651092,67371008,F,F,HS CAN $119,HS CAN,,119,F,F,"
            "00,00,00,00,00,00,0D,8B,,,",
            Record(2_550_368_293_675, 0x119, 0, 256, b"\0\0\0\0\0\0\x0d\x8b"),
        ),
        (
            "2,28.2609260000172,0.013,67371012,F,F,HS CAN $CCBFFF7,HS CAN,,CCBFFF7,F,T,FE,FF,,,,,,,,,",
            Record(28_260_926_000, EFF | 0xCCBFFF7, 0, 256, b"\xfe\xff"),
        ),
        # As a spreadsheet writes it again: one digit, numbers of another form, and no end of commas
        (
            "1,1.90E-05,0,4.92581E+14,F,F,HS CAN $1F8,HS CAN,,1F8,F,F,11,F7,0,3E,E2,B1,5,C9" + "," * 30,
            Record(19_000, 0x1F8, 0, 256, b"\x11\xf7\x00\x3e\xe2\xb1\x05\xc9"),
        ),
        (
            row("7E0,F,F,02,3E,00,,,,,,1.5 km/h,,", sent="T"),
            Record(2_500_000_000, 0x7E0, SENT, 256, b"\2\x3e\0"),
        ),
        (row("7E0,T,F,,,,,,,,,,,"), Record(2_500_000_000, RTR | 0x7E0, 0, 256, b"")),
        (row("7E0,F,F,,,,,,,,"), Record(2_500_000_000, 0x7E0, 0, 256, b"")),
    ],
)
@pytest.mark.parametrize("head", [HEAD, COLUMNS.format("Arb ID,Remote,Xtd"), ""])
def test_row_of_vehicle_spy(head: str, line: str, expected: Record) -> None:
    found, log = read(f"{head}{line}\r\n".encode())
    assert log.format == "vspy"
    assert problems(log) == []
    assert found == [expected]
    assert log.channels[256] == "HS CAN"


def test_rows_that_are_no_frames_are_counted() -> None:
    rows = [
        row("B2,00,1,2A,,,,,,,,", network="J1708"),
        row("3C,,,01,02,,,,,,,", network="LIN1"),
        row("7E0,F,F,,,,,,,,,", error="T"),
        row("7E0,F,F,01,,,,,,,,", network="MS CAN"),
    ]
    found, log = read("\n".join([HEAD, *rows, "", ",,,,", ""]).encode())
    assert [each.can_id for each in found] == [0x7E0]
    assert log.others == {"message of another bus than CAN": 2, "error": 1}
    assert log.channels[found[0].channel] == "MS CAN"
    assert problems(log) == []


def test_time_of_the_start_is_added_if_asked_for() -> None:
    log = f"{HEAD}{row('7E0,F,F,01,,,,,,,,')}\n".encode()
    began = datetime(2018, 6, 29, 13, 0, 47, 19)
    found, _ = read(log, absolute=True)
    assert (
        found[0].timestamp == round(began.replace(microsecond=0).timestamp()) * 10**9 + 19_000 + 2_500_000_000
    )


@pytest.mark.parametrize("text", [b"2018-06-29T25:00:00", b"9999/01/01T00:00:00", b"\xff"])
def test_time_of_the_start_that_can_not_be_right(text: bytes) -> None:
    log = HEAD.encode().replace(b"2018/06/29T13:00:47.000019", text) + row("7E0,F,F,01,,,,,,,,").encode()
    found, _ = read(log + b"\n", absolute=True)
    assert [each.timestamp for each in found] == [2_500_000_000]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (row("7E0,F,F,01,,,,,,,,", time="x"), "the time"),
        (row("7E0,F,F,01,,,,,,,,", time="1e10"), "the time"),
        (row("7E0,F,F,01,,,,,,,,", error="x"), "no CAN frame"),
        (row("7E0,F,F,01,,,,,,,,", sent=""), "no CAN frame"),
        (row("7E0,F,F,01,,,,,,,,", network=""), "no CAN frame"),
        (row("7E0,F,F,01,,,,,,,,", network="n" * 65), "more than 256 names"),
        # CAN FD, as far as anybody can tell
        (row("7E0,T-T-F,F,01,,,,,,,,"), "no CAN frame"),
        (row("7E0,F,x,01,,,,,,,,"), "no CAN frame"),
        (row("800,F,F,01,,,,,,,,"), "the identifier"),
        (row("20000000,F,T,01,,,,,,,,"), "the identifier"),
        (row("7E0,T,F,01,,,,,,,,"), "the data"),
        (row("7E0,F,F,01,,02,,,,,,"), "the data"),
        (row("7E0,F,F,100,,,,,,,,"), "the data"),
        (row("7E0,F,F,001,,,,,,,,"), "the data"),
        (row("7E0,F,F,01,02"), "the data"),
        ("2,2.5", "no CAN frame"),
        (row("7E0,F,F,01,,,,,,,,") + row("7E0,F,F,01,,,,,,,,"), "a frame within another line"),
        (COLUMNS.strip() + row("7E0,F,F,01,,,,,,,,"), "a frame within another line"),
        ("x,2.5,0,0,F,F,a,HS CAN,,7E0,F,F,01,,,,,,,,", "a frame within another line"),
        ("x,2.5", "no CAN frame"),
    ],
)
def test_bad_row_of_vehicle_spy(line: str, reason: str) -> None:
    good = row("001,F,F,01,,,,,,,,")
    found, log = read(f"{HEAD}{good}\n{line}\n{good}\n".encode())
    assert [each.can_id for each in found] == [1, 1]
    number = HEAD.count("\n") + 2
    assert [(at, text.startswith(reason)) for _, at, text in problems(log)] == [(number, True)]
