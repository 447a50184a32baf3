"""assert_frames, and the picture of what went over a wire."""

from __future__ import annotations

import pytest

from isotp.testing import HeldClock, Wire, assert_frames
from tests.frames import counted
from tests.testing.ends import ECU, TESTER


@pytest.fixture
def wire(isotp_wire: Wire, isotp_clock: HeldClock) -> Wire:
    """One that a message of three frames and its Flow Control went over."""
    isotp_wire.layer(ECU, name="ecu", params={"stmin": 1})
    isotp_wire.layer(TESTER, name="tester").send(counted(20))
    isotp_clock.advance(10)
    return isotp_wire


def complaint(wire: Wire, expected: str) -> list[str]:
    with pytest.raises(AssertionError) as failure:
        assert_frames(wire, expected)
    return str(failure.value).split("\n\n")[0].splitlines()


def test_frames_as_they_are(wire: Wire) -> None:
    assert_frames(
        wire,
        """
        7E0# 10 14 00 01 02 03 04 05
        7E8# 30 08 01
        7E0# 21 06 07 08 09 0A 0B 0C
        7E0# 22 0D 0E 0F 10 11 12 13   // the last one
        """,
    )


def test_frames_as_patterns(wire: Wire) -> None:
    assert_frames(wire, ["FF", "7E8# CTS", "@1.000 tester: 7E0# 21 ..*2 08 *", "CF"])


def test_a_part_of_the_frames(wire: Wire) -> None:
    assert_frames(wire.frames.only("7E8# FC"), "ecu: 30 08 01")
    assert_frames(wire.frames.only(lambda frame: frame.ms > 1), "7E0# 22 *")
    assert_frames(wire.frames_since(3), "7E0# 22 *")
    assert_frames(wire.frames[:1], "FF")


def test_a_byte_that_differs_is_marked(wire: Wire) -> None:
    assert complaint(wire, "FF\nFC\n7E0# 21 06 07 99 *\nCF") == [
        "the frames are not those expected (- expected, + came):",
        "  7E0#10 14 00 01 02 03 04 05",
        "  7E8#30 08 01",
        "- 7E0# 21 06 07 99 *",
        "+ 7E0#21 06 07 08 09 0A 0B 0C   (1.000 ms, tester)",
        "               ^^",
        "  7E0#22 0D 0E 0F 10 11 12 13",
    ]


def test_a_frame_too_few_and_one_too_many(wire: Wire) -> None:
    assert complaint(wire, "FF\nFC\nCF")[1:] == [
        "  7E0#10 14 00 01 02 03 04 05",
        "  7E8#30 08 01",
        "  7E0#21 06 07 08 09 0A 0B 0C",
        "+ 7E0#22 0D 0E 0F 10 11 12 13   (2.000 ms, tester)",
    ]
    assert complaint(wire, "FF\nFC\nCF\nCF\n7E8# 01 00")[-1] == "- 7E8# 01 00"


@pytest.mark.parametrize("line", ["@2 CF", "ecu: CF", "7E1# CF", "CF (delayed)", "7E0# 21", "7E0# 21 06*9"])
def test_what_differs(wire: Wire, line: str) -> None:
    complaint(wire, f"FF\nFC\n{line}\nCF")


def test_a_lost_frame_is_expected_to_be_lost(isotp_wire: Wire) -> None:
    isotp_wire.drop("FF")
    isotp_wire.layer(TESTER).send(counted(20))
    assert_frames(isotp_wire, "7E0# FF (lost)")
    complaint(isotp_wire, "7E0# FF")


def test_many_frames_are_compared_where_they_differ(isotp_wire: Wire) -> None:
    end = isotp_wire.end("one")
    for k in range(600):
        end.send_raw(0x1, bytes([k % 256, 0]))
    expected = [f"001# {k % 256:02X} 00" for k in range(600)]
    assert_frames(isotp_wire, expected)
    expected[500] = "001# AB 00"
    lines = complaint(isotp_wire, "\n".join(expected))
    assert lines[501:504] == ["- 001# AB 00", "+ 001#F4 00   (0.000 ms, one)", "      ^^"]


@pytest.mark.parametrize("line", ["", "what is that", "7E0# 1", "7E0# 10 * 11", "123456789# 00"])
def test_a_line_that_is_no_frame(wire: Wire, line: str) -> None:
    if not line:
        return complaint(wire, line) and None
    with pytest.raises(ValueError, match="is no"):
        assert_frames(wire, line)


def test_the_picture(wire: Wire) -> None:
    wire.drop("7E8 SF")
    wire.layer(ECU, name="ecu").send(b"\x7f\x22\x78")
    assert str(wire.frames).splitlines() == [
        "             tester                                 ecu",
        "    0.000 ms |-- 7E0  FF  10 14 00 01 02 03 04 05 -->|  20 bytes",
        "    0.000 ms |<- 7E8  FC  30 08 01 ------------------|  CTS, BS 8, STmin 01",
        "    1.000 ms |-- 7E0  CF  21 06 07 08 09 0A 0B 0C -->|  SN 1",
        "    2.000 ms |-- 7E0  CF  22 0D 0E 0F 10 11 12 13 -->|  SN 2",
        "   10.000 ms | x 7E8  SF  03 7F 22 78 ---------------|  3 bytes, lost",
    ]


def test_the_picture_of_more_than_two(isotp_wire: Wire) -> None:
    for name in ("one", "two", "three"):
        isotp_wire.end(name).send_raw(0x80000001, bytes.fromhex("3100 00"))
    assert str(isotp_wire.frames).splitlines()[-1].endswith("|  WAIT, from three")
    assert str(isotp_wire.frames[:0]) == "(no frame)"
    assert repr(isotp_wire.frames) == "<Recording of 3 frames>"


@pytest.mark.parametrize(
    ("data", "kind", "meaning"),
    [
        ("00 0A 00*10", "SF", "10 bytes"),
        ("10 00 00 01 00 00 AA AA", "FF", "65536 bytes"),
        ("2F", "CF", "SN 15"),
        ("32 00 00", "FC", "OVFLW"),
        ("35 00 00", "FC", "status 5"),
        ("30", "FC", ""),
        ("7F", "", ""),
        ("", "", ""),
    ],
)
def test_what_a_frame_means(isotp_wire: Wire, data: str, kind: str, meaning: str) -> None:
    from isotp.testing.frames import octets

    isotp_wire.end().send_raw(0x1, octets(data))
    (frame,) = isotp_wire.frames
    assert (frame.kind, frame.meaning) == (kind, meaning)
