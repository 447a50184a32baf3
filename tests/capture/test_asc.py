"""ASC: each kind of line, dates in the header, and what is told of lines that cannot be read."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from isotp.bulk._records import Record
from tests.capture.logs import ASC, BRS, EFF, ERR, ESI, FDF, RTR, SENT, asc, problems, read


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
    ("line", "kind"),
    [
        ("// version 8.1.0", None),
        ("Begin Triggerblock Sam Sep 30 15:06:13.191 2017", None),
        ("   0.000000 Start of measurement", "status"),
        ("   0.015991 CAN 1 Status:chip status error active", "status"),
        ("   1.015991 1  Statistic: D 0 R 0 XD 0 XR 0 E 0 O 0 B 0.00%", "statistics"),
        ("   3.098426 1  J1939TP FEE3p 6 0 0 - Rx d 23 A0 0F A6 60", "J1939 transport"),
        ("   0.100000 1  123  TxRq d 1 00", "request to send"),
        ("   0.100000 CANFD 1  TxRq 123 1 0 1 1 00", "request to send"),
        ("   0.100000 1  OverloadFrame", "overload frame"),
        ("   0.100000 CANXL 1 Rx 123 0 1 2 3", "CAN XL"),
        ("   0.100000 Li 33 Rx 2 01 02", "LIN"),
        ("   0.100000 L1 33 Rx 2 01 02", "LIN"),
        ("   0.100000 Fr RMSG 0 0 1", "FlexRay"),
        ("   0.100000 ETH 1 Rx 64:0011", "Ethernet"),
        ("   0.100000 SV: 3 0 1 ::Speed = 3", "variable"),
        ("   0.100000 some text", "other line"),
        ("   0.100000", "other line"),
        ("1 2 3", "other line"),
        ("some text", "other line"),
        ("End TriggerBlock", None),
        ("", None),
    ],
)
def test_line_of_asc_that_is_no_frame(line: str, kind: str | None) -> None:
    """It is counted by its kind, but for what says nothing of the bus."""
    found, log = read(asc(line))
    assert found == []
    assert problems(log) == []
    assert log.others == ({kind: 1} if kind else {})


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
        ("0.1 1 123 Rx d 1 00 Length = 0\v0.2 1 124 Rx d 0", "a frame within"),
        ("0.1 CANFD 1 Rx 7ff 0 0 1 1 00\v0.2 1 124 Rx d 0", "a frame within"),
        ("0.1 CANFD 0 Rx 7ff 0 0 1 1 00", "no CAN frame"),
        ("0.1 1 123 Rx r 1\v0.2 1 124 Rx d 0", "a frame within"),
        ("0.1 1 ErrorFrame\v0.2 1 124 Rx d 0", "a frame within"),
        ("// version 8.1.0\v0.2 1 124 Rx d 0", "a frame within"),
    ],
)
def test_bad_line_of_asc(line: str, reason: str) -> None:
    found, log = read(asc("0.1 1 123 Rx d 0", line, "0.2 1 123 Rx d 0"))
    assert len(found) == 2
    assert [(number, text.startswith(reason)) for _, number, text in problems(log)] == [(5, True)]


def test_asc_in_decimal() -> None:
    found, _ = read(asc("0.1 1 291x Rx d 2 10 255", head=ASC.replace("hex", "dec")))
    assert found == [Record(100_000_000, EFF | 291, 0, 0, b"\x0a\xff")]


def test_lines_of_can_fd_are_hexadecimal() -> None:
    """Whatever the header says of the others."""
    line = "0.1 CANFD 1 Rx 7ff 1 0 a 16 " + "1A " * 16
    found, log = read(asc(line, "0.2 1 2047 Rx d 1 26", head=ASC.replace("hex", "dec")))
    assert problems(log) == []
    assert [(each.can_id, each.data) for each in found] == [(0x7FF, b"\x1a" * 16), (0x7FF, b"\x1a")]


def test_asc_with_decimal_commas() -> None:
    found, log = read(asc("  0,015991 1  39A  Rx d 1 01", head=""))
    assert (log.format, problems(log)) == ("asc", [])
    assert [(each.timestamp, each.can_id) for each in found] == [(15_991_000, 0x39A)]


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
    assert problems(log) == [(0, 1, "a header line that cannot be read")]
