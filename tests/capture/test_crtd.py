"""CRTD: each kind of line, and what is told of lines that are none."""

from __future__ import annotations

import pytest

from isotp.bulk._records import Record
from tests.capture.logs import EFF, SENT, problems, read


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1542473901.020305 1R11 213 00 c0 01", Record(1_542_473_901_020_305_000, 0x213, 0, 1, b"\0\xc0\1")),
        (
            "1542473901.021 2T29 18DAF110 00",
            Record(1_542_473_901_021_000_000, EFF | 0x18DAF110, SENT, 2, b"\0"),
        ),
        ("1542473901.040289 R11 428", Record(1_542_473_901_040_289_000, 0x428, 0, 1, b"")),
        ("0.5 12R29 00000428 01 ", Record(500_000_000, EFF | 0x428, 0, 12, b"\1")),
    ],
)
def test_line_of_crtd(line: str, expected: Record) -> None:
    found, log = read(f"{line}\r\n".encode())
    assert log.format == "crtd"
    assert problems(log) == []
    assert found == [expected]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("169.971289 CXX Info Type:crtd; Path:'/sd/can3.crtd'", "comment"),
        ("19292.299819 CEV vehicle.alert this is a textual vehicle alert", "event"),
        ("198923.283738 CST intr=0 rxpkt=0 txpkt=0 errflags=0", "statistics"),
        ("2783.384726 2CER intr=0 rxpkt=0", "error"),
    ],
)
def test_line_of_crtd_that_is_no_frame(line: str, kind: str) -> None:
    found, log = read(f"{line}\n".encode())
    assert (found, problems(log), log.others) == ([], [], {kind: 1})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("x 1R11 213 00", "the time"),
        ("1.0", "no CAN frame"),
        ("1.0 X11 213 00", "no CAN frame"),
        ("1.0 R12 213 00", "no CAN frame"),
        ("1.0 xR11 213 00", "no CAN frame"),
        ("1.0 R11", "no CAN frame"),
        ("1.0 R11 800 00", "the identifier"),
        ("1.0 R29 20000000 00", "the identifier"),
        ("1.0 R11 213 0", "the data"),
        ("1.0 R11 213 00 11 22 33 44 55 66 77 88", "the data"),
        ("1.0 CXX text 1.1 1R11 213 00", "a frame within"),
    ],
)
def test_bad_line_of_crtd(line: str, reason: str) -> None:
    found, log = read(f"1.0 R11 001\n{line}\n1.0 R11 002\n".encode())
    assert [each.can_id for each in found] == [1, 2]
    assert [(number, text.startswith(reason)) for _, number, text in problems(log)] == [(2, True)]
