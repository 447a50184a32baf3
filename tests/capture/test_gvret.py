"""GVRET CSV: each kind of line, the columns that its header tells, and what is told of lines that are none."""

from __future__ import annotations

import pytest

from isotp.bulk._records import Record
from tests.capture.logs import EFF, FDF, SENT, problems, read

HEAD = "Time Stamp,ID,Extended,Dir,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8\n"
OLD = "Time Stamp,ID,Extended,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8\n"
OLDEST = "Time Stamp,ID,Extended,LEN,D1,D2,D3,D4,D5,D6,D7,D8\n"
US = 1_000


@pytest.mark.parametrize(
    ("head", "line", "expected"),
    [
        (
            HEAD,
            "39747828,000005EB,false,Rx,0,3,E8,45,85,",
            Record(39_747_828 * US, 0x5EB, 0, 0, b"\xe8\x45\x85"),
        ),
        (
            HEAD,
            "1000500,18FEF100,true,Tx,1,3,AA,BB,CC,,,,,",
            Record(1_000_500 * US, EFF | 0x18FEF100, SENT, 1, b"\xaa\xbb\xcc"),
        ),
        (HEAD, "1,00000010,false,Rx,0,2,01,02,00,00,00,00,00,00", Record(US, 0x10, 0, 0, b"\1\2")),
        (
            HEAD,
            "-1688467643234759,00000100,false,Rx,0,1,06,",
            Record(-1_688_467_643_234_759 * US, 0x100, 0, 0, b"\6"),
        ),
        (HEAD, "1.5,0x100,0,Rx,0,0,", Record(1_500, 0x100, 0, 0, b"")),
        (HEAD, "1,00000010,false,Rx,0,12," + "11," * 12, Record(US, 0x10, FDF, 0, b"\x11" * 12)),
        (OLD, "166064000,0000021A,false,2,1,FE,", Record(166_064_000 * US, 0x21A, 0, 2, b"\xfe")),
        (
            "\ufeffTime Stamp,ID,Extended,Bus,DLC,D1,D2\n",
            "2124377,3a0,0,1,1,ff,ff",
            Record(2_124_377 * US, 0x3A0, 0, 1, b"\xff"),
        ),
        (OLDEST, "5,0x21A,false,1,FE", Record(5 * US, 0x21A, 0, 0, b"\xfe")),
        ("", "39747828,000005EB,false,Rx,0,1,E8,", Record(39_747_828 * US, 0x5EB, 0, 0, b"\xe8")),
    ],
)
def test_line_of_gvret(head: str, line: str, expected: Record) -> None:
    found, log = read(f"{head}{line}\r\n".encode())
    assert log.format == "gvret"
    assert problems(log) == []
    assert found == [expected]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("x,00000100,false,Rx,0,0,", "the time"),
        (",00000100,false,Rx,0,0,", "the time"),
        ("1,20000000,true,Rx,0,0,", "the identifier"),
        ("1,00000800,false,Rx,0,0,", "the identifier"),
        ("1,0000010G,false,Rx,0,0,", "the identifier"),
        ("1,00000100,maybe,Rx,0,0,", "no CAN frame"),
        ("1,00000100,false,Ry,0,0,", "no CAN frame"),
        ("1,00000100,false,Rx,x,0,", "no CAN frame"),
        ("1,00000100", "no CAN frame"),
        ("1,00000100,false,Rx,0,65,", "the length"),
        ("1,00000100,false,Rx,0", "the length"),
        ("1,00000100,false,Rx,0,2,00", "the data"),
        ("1,00000100,false,Rx,0,1,100,", "the data"),
        ("1,00000100,false,Rx,0,1,00,2,00000101,false,Rx,0,0,", "the data"),
        ("Time Stamp,ID,Extended,Dir,Bus,LEN,D1,1,00000100,false,Rx,0,0,", "a header line"),
        ("Time Stamp,ID,Extended", "a header line"),
    ],
)
def test_bad_line_of_gvret(line: str, reason: str) -> None:
    found, log = read(f"{HEAD}1,00000001,false,Rx,0,0,\n{line}\n{HEAD}1,00000002,false,Rx,0,0,\n".encode())
    assert [each.can_id for each in found] == [1, 2]
    assert [(number, text.startswith(reason)) for _, number, text in problems(log)] == [(3, True)]
