"""TRC: the lines of each version, and what is told of lines that cannot be read."""

from __future__ import annotations

import pytest

from isotp.bulk._records import Record
from tests.capture.logs import BRS, EFF, ESI, FDF, RTR, SENT, problems, read

MS = 1_000_000
# 2009-12-31 12:00, so that there are no roundings.
START = ";$STARTTIME=40178.5\n"
NOON = 1_262_260_800 * 10**9
OLD = ";   Start time: 11.09.2002 16:00:20.682\n;----+- ---+--- ----+--- + -+ -- -- ...\n"


def version(number: str, columns: str = "") -> str:
    return f";$FILEVERSION={number}\n{START}" + (f";$COLUMNS={columns}\n" if columns else "")


FRAMES = [
    (
        OLD,
        "     1)     1841 0001  8  00 11 22 33 44 55 66 77 ",
        Record(1841 * MS, 1, 0, 1, b"\0\x11\x22\x33\x44\x55\x66\x77"),
    ),
    (OLD, "     2)     1842 18EFC034  2  AA bb", Record(1842 * MS, EFF | 0x18EFC034, 0, 1, b"\xaa\xbb")),
    (OLD, "     3)     1844 0100  3  RTR", Record(1844 * MS, RTR | 0x100, 0, 1, bytes(3))),
    (OLD, "     4)     1845 0100  0", Record(1845 * MS, 0x100, 0, 1, b"")),
    (
        version("1.1"),
        "     1)      1059.9  Rx         0300  2  00 04 ",
        Record(NOON + 1_059_900_000, 0x300, 0, 1, b"\0\4"),
    ),
    (
        version("1.1"),
        "     2)      1,5  Tx     00000300  1  01",
        Record(NOON + 1_500_000, EFF | 0x300, SENT, 1, b"\1"),
    ),
    (
        version("1.2"),
        "     1)      1059.900 2  Rx        0300  2  00 04",
        Record(NOON + 1_059_900_000, 0x300, 0, 2, b"\0\4"),
    ),
    (
        version("1.3"),
        "     1)      6357.213 1  Rx        0401 -  2    01 02",
        Record(NOON + 6_357_213_000, 0x401, 0, 1, b"\1\2"),
    ),
    # The reserved column may be a J1939 address.
    (
        version("1.3"),
        "     1)      1.0 1  Rx    18EFC034 FE  1    01",
        Record(NOON + MS, EFF | 0x18EFC034, 0, 1, b"\1"),
    ),
    (
        version("2.0", "N,O,T,I,d,l,D"),
        "  1  1.0 DT  0300 Rx 2  00 04 ",
        Record(NOON + MS, 0x300, 0, 1, b"\0\4"),
    ),
    (
        version("2.0", "N,O,T,I,d,l,D"),
        "  1  1.0 FB  0500 Tx 12  01 02 03 04 05 06 07 08 09 0A 0B 0C",
        Record(NOON + MS, 0x500, FDF | BRS | SENT, 1, bytes(range(1, 13))),
    ),
    (
        version("2.1", "N,O,T,B,I,d,R,L,D"),
        "  1  1.0 DT 3 0300 Rx - 2  00 04",
        Record(NOON + MS, 0x300, 0, 3, b"\0\4"),
    ),
    (
        version("2.1", "N,O,T,B,I,d,R,L,D"),
        "  1  1.0 FD 1 0500 Rx - 9  01 02 03 04 05 06 07 08 09 0A 0B 0C",
        Record(NOON + MS, 0x500, FDF, 1, bytes(range(1, 13))),
    ),
    (
        version("2.1", "N,O,T,B,I,d,R,L,D"),
        "  1  1.0 FE 1 0500 Rx - 12  01 02 03 04 05 06 07 08 09 0A 0B 0C",
        Record(NOON + MS, 0x500, FDF | BRS | ESI, 1, bytes(range(1, 13))),
    ),
    (
        version("2.1", "N,O,T,B,I,d,R,L,D"),
        "  1  1.0 BI 1 0500 Rx - 1  01",
        Record(NOON + MS, 0x500, FDF | ESI, 1, b"\1"),
    ),
    (
        version("2.1", "N,O,T,B,I,d,R,L,D"),
        "  1  1.0 RR 1 0100 Rx - 3",
        Record(NOON + MS, RTR | 0x100, 0, 1, bytes(3)),
    ),
    (
        version("2.1", "N,O,T,B,I,d,R,L,D"),
        "  1  1.0 DT 1 0100 Rx - 15 00 11 22 33 44 55 66 77",
        Record(NOON + MS, 0x100, 0, 1, b"\0\x11\x22\x33\x44\x55\x66\x77"),
    ),
]


@pytest.mark.parametrize(("head", "line", "expected"), FRAMES)
def test_line_of_trc(head: str, line: str, expected: Record) -> None:
    found, log = read(f"{head}{line}\r\n".encode())
    assert log.format == "trc"
    assert problems(log) == []
    assert found == [expected]


@pytest.mark.parametrize(
    ("head", "line", "kind"),
    [
        (OLD, "3) 1843 FFFFFFFF 4 00 00 00 04 -- -- -- -- BUSLIGHT", "status"),
        (OLD, "2) 1842 0008 4 ERROR 00 19 08 08", "error"),
        (version("1.1"), "5) 1346.8 Warng FFFFFFFF 4 00 00 00 04 BUSLIGHT", "status"),
        (version("1.1"), "6) 1349.2 Error 0008 4 00 19 08 08", "error"),
        (version("1.3"), "3) 1346.834 1  Warng FFFFFFFF -  4    00 00 00 04 BUSLIGHT", "status"),
        (version("2.0", "N,O,T,I,d,l,D"), "6 1334.522 ER Rx 04 00 02 00 00", "error"),
        (version("2.0", "N,O,T,I,d,l,D"), "7 1334.531 ST Rx 00 00 00 08", "status"),
        (version("2.1", "N,O,T,B,I,d,R,L,D"), "11 1334.643 EC 1 - Rx - 2 02 02", "status"),
        (version("2.1", "N,O,T,B,I,d,R,L,D"), "7 1334.224 EV 1 User-defined event for bus 1", "event"),
    ],
)
def test_line_of_trc_that_is_no_frame(head: str, line: str, kind: str) -> None:
    """It is counted by its kind."""
    found, log = read(f"{head}{line}\r\n".encode())
    assert (found, problems(log)) == ([], [])
    assert log.others == {kind: 1}


@pytest.mark.parametrize(
    ("head", "line", "reason"),
    [
        (version("1.1"), "1) 1.0 Rx 0800 1 00", "the identifier"),
        (version("1.1"), "1) 1.0 Rx 20000000 1 00", "the identifier"),
        (version("1.1"), "1) 1.0 Rx 0100 16 00", "the length"),
        (version("1.1"), "1) 1.0 Rx 0100 1 00 11", "the length"),
        (version("1.1"), "1) 1.0 Rx 0100 2 00", "the data"),
        (version("1.1"), "1) 1.0 Rx 0100 2 00 1", "the data"),
        (version("1.1"), "1) 1.0.0 Rx 0100 0", "the time"),
        (version("1.1"), "1) 99999999999999.0 Rx 0100 0", "the time"),
        (version("1.1"), "one) 1.0 Rx 0100 0", "no CAN frame"),
        (version("1.1"), "1) 1.0 Rx", "no CAN frame"),
        (version("2.1"), "1 1.0 DT 1 0100 Rx - 1 00", "columns"),
        (version("2.0", "N,O,T,I,d,l,D"), "1 1.0 XX 0100 Rx 1 00", "no CAN frame"),
        (version("2.0", "N,O,T,I,d,l,D"), "1 1.0 DT 0100 Ry 1 00", "no CAN frame"),
        (version("2.0", "N,O,T,I,d,l,D"), "1 1.0 DT 0100 Rx 2 00", "the length"),
        (
            version("2.0", "N,O,T,I,d,l,D"),
            "1 1.0 FD 0100 Rx 9 01 02 03 04 05 06 07 08 09 0A 0B 0C",
            "the length",
        ),
        (version("2.0", "N,O,T,I,d,l,D"), "1 1.0 DT 0100 Rx 1 0G", "the data"),
    ],
)
def test_bad_line_of_trc(head: str, line: str, reason: str) -> None:
    found, log = read(f"{head}{line}\n".encode())
    assert found == []
    assert [text.startswith(reason) for *_, text in problems(log)] == [True]


@pytest.mark.parametrize("start", ["x", "-1", "78001", "40178.5x"])
def test_bad_start_of_trc(start: str) -> None:
    found, log = read(f";$FILEVERSION=1.1\n;$STARTTIME={start}\n1) 1.0 Rx 0100 0\n".encode())
    assert [each.timestamp for each in found] == [MS]
    assert [(line, text) for _, line, text in problems(log)] == [(2, "a header line that cannot be read")]


def test_start_of_trc_to_the_microsecond() -> None:
    """A day has 12 digits behind the point there."""
    found, _ = read(b";$FILEVERSION=1.1\n;$STARTTIME=45950.818385331\n1) 0.1 Rx 0100 0\n")
    assert [each.timestamp for each in found] == [
        (45950 - 25569) * 86400 * 10**9 + 70708492598 * 1000 + 100_000
    ]


def test_version_1_is_told_by_its_lines() -> None:
    """A log may have lost its header."""
    lines = "1) 1.0 Rx 0100 1 00\n2) 2.0 2 Rx 0100 1 00\n3) 3.0 1 Rx 0100 - 1 00\n4) 4.0 0100 1 00\n"
    found, log = read(lines.encode())
    assert problems(log) == []
    assert [(each.timestamp, each.channel) for each in found] == [
        (MS, 1),
        (2 * MS, 2),
        (3 * MS, 1),
        (4 * MS, 1),
    ]
    assert {(each.can_id, each.data) for each in found} == {(0x100, b"\0")}
