"""Bad, cut and odd logs: what is readable is decoded, what is not is told with its position, and nothing breaks."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isotp import capture
from isotp.capture._parsers import (
    AscParser,
    BlfParser,
    BusmasterParser,
    CandumpParser,
    CarbusParser,
    CrtdParser,
    CsvParser,
    GvretParser,
    PcapParser,
    TrcParser,
    VspyParser,
)
from tests.capture.blf import blf, blf_object, can_message, container
from tests.capture.logs import LOG, asc, packers, problems, read

# --- any bytes ---

makers: dict[str, Callable[[], Any]] = {
    "candump": lambda: CandumpParser(lambda name: len(name), lambda hour: len(hour)),
    "asc": lambda: AscParser(lambda name: 0, lambda line: len(line)),
    "blf": lambda: BlfParser(lambda name: 0, 0),
    "pcap": lambda: PcapParser(lambda name: 0),
    "trc": lambda: TrcParser(lambda name: 0),
    "csv": lambda: CsvParser(lambda name: 0),
    "gvret": lambda: GvretParser(lambda name: 0),
    "carbus": lambda: CarbusParser(lambda name: 0),
    "crtd": lambda: CrtdParser(lambda name: 0),
    "busmaster": lambda: BusmasterParser(lambda name: 0, lambda line: len(line)),
    "vspy": lambda: VspyParser(lambda name: len(name), 5, ["LIN1"]),
}
seeds = {
    "candump": b"(1.0) can0 123#00\n(1.0) can0 12345678##1"
    + b"00" * 64
    + b"\n(1.0) can0 123#R3 T\n"
    + b" (2016-01-01 12:34:56.5)  can0  TX B E  123  [02]  01 02  '..'\n  can1  00000123  [8] remote request\n",
    "asc": asc(
        "0.1 1 123 Rx d 2 00 11", "0.1 CANFD 1 Rx 7ff name 1 0 9 12 " + "11 " * 12, "0.2 1 ErrorFrame"
    ),
    "blf": can_message(1)
    + blf_object(100, bytes(84))
    + blf_object(101, bytes(60))
    + blf_object(73, bytes(32)),
    "pcap": struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 227)
    + (struct.pack("<IIII", 1, 2, 16, 16) + bytes(16)) * 3,
    "trc": b";$FILEVERSION=2.1\n;$STARTTIME=40178.5\n;$COLUMNS=N,O,T,B,I,d,R,L,D\n1 1.0 FB 1 0300 Rx - 9 "
    + b"11 " * 12
    + b"\n;$COLUMNS=\n1) 2.0 1 Tx 00000300 - 1 00\n2) 1 0001 1 RTR\n",
    "gvret": b"Time Stamp,ID,Extended,Dir,Bus,LEN,D1\n-1,00000123,false,Rx,0,2,01,02,\n1.5,18DAF110,true,Tx,1,1,00\n",
    "carbus": b"@ TEXT @ 3 @\r# text\r34,09\t1\t0004\t2BD\t2\t36 0B\t00000000\t6 \t\r1,5\t1\t0008\t1\t1\t00\r",
    "crtd": b"1.0 CXX text\n1.0 1R11 123 01 02\n2.0 T29 18DAF110 00\n",
    "busmaster": b"***START DATE AND TIME 8:8:2014 11:49:7:965***\n***DEC***\n23:59:59:9999 Rx 1 0x12 s 2 00 11\n"
    b"***RELATIVE MODE***\n***HEX***\n00:00:01:0000 Tx 1 0x18DAF110 xr 1\n",
    "vspy": b"Vehicle Spy 3 Bus Traffic File\nLine,Abs Time(Sec),\n1,1.9E-05,0,4,F,T,a,HS CAN,,7E0,F,F,2,3E,0,,,,,,,\n"
    b"2,2.5,0,4,F,F,a,LIN1,,1,2,3\n3,2.5,0,4,T,F,a,HS CAN,,18DAF110,T,T,,,,,,,,,,,\n",
    "csv": b"timestamp,arbitration_id,\n1.5e-3,0x123,0,0,0,2,AQI=\n-1.0,0x1,1,1,0,4,\n",
}


@pytest.mark.parametrize("name", makers)
@given(data=st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes(name: str, data: st.DataObject) -> None:
    """A log with bytes changed, put in and left out, in any blocks: frames or problems, and always an end."""
    log = bytearray(seeds[name] * data.draw(st.integers(1, 3)))
    for _ in range(data.draw(st.integers(0, 6))):
        place = data.draw(st.integers(0, len(log)))
        length = data.draw(st.integers(0, 8))
        log[place : place + length] = data.draw(st.binary(max_size=8))
    whole, cut = makers[name](), makers[name]()
    expected = list(whole.feed(bytes(log), True))
    found = []
    rest = bytes(log)
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        found += list(cut.feed(rest[:size]))
        rest = rest[size:]
    found += list(cut.feed(b"", True))
    assert found == expected
    assert whole.defects_found() == cut.defects_found()
    assert all(len(record.data) <= 64 for record in found)


@given(data=st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes_of_a_blf_file(data: st.DataObject) -> None:
    """The same for the containers around the objects."""
    objects = [b"".join(can_message(n) for n in range(start, start + 5)) for start in (0, 5, 10)]
    methods = [data.draw(st.sampled_from([0, 2])) for _ in objects]
    log = bytearray(blf(*map(container, objects, methods)))
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(log)))
        log[place : place + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    found, _ = read(bytes(log), format="blf")
    # What is packed repeats what was there before, and so may damage to it.
    assert len(found) <= 15 or 2 in methods


# --- compression ---

compressions = pytest.mark.parametrize("name", packers())


@compressions
def test_packed(name: str) -> None:
    """In one piece, in two with zeros behind them; positions are those of the unpacked log."""
    packed = packers()[name]
    expected, _ = read(LOG)
    for file in (packed(LOG), packed(LOG[:30_001]) + packed(LOG[30_001:]) + bytes(100)):
        found, log = read(file)
        assert log.compression == name
        assert log.format == "candump"
        assert problems(log) == []
        assert found == expected
        assert log.bytes_read == len(file)
    _, log = read(packed(b"(1.0) can0 123#00\nnonsense\n"))
    assert [(each.offset, each.line) for each in log.problems] == [(18, 2)]


@compressions
def test_packed_and_cut(name: str) -> None:
    file = packers()[name](LOG)
    found, log = read(file[: len(file) * 3 // 4])
    assert len(found) > 5_000
    assert found == read(LOG)[0][: len(found)]
    assert any("ends in the middle" in each.reason for each in log.problems)
    found, log = read(file + b"something else")
    assert len(found) == 20_000
    assert any("other bytes follow" in each.reason for each in log.problems)


@compressions
def test_packed_and_damaged(name: str) -> None:
    file = bytearray(packers()[name](LOG))
    for place in range(len(file) * 3 // 4, len(file) * 3 // 4 + 40):
        file[place] ^= 0x5A
    found, log = read(bytes(file))
    assert log.problem_count > 0
    assert 5_000 < len(found) < 20_000


# --- what the functions refuse ---


def test_no_log() -> None:
    with pytest.raises(ValueError, match="no log in a known format"):
        capture.open(io.BytesIO(b"Dear diary"))
    with pytest.raises(ValueError, match="no log in a known format"):
        capture.open(io.BytesIO(b"\n"))
    with pytest.raises(ValueError, match="is empty"):
        capture.open(io.BytesIO(b""))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"format": "doc"}, ValueError),
        ({"block_size": 10}, ValueError),
        ({"channels": "can0"}, TypeError),
        ({"channels": [65536]}, ValueError),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=r"10|doc|can0|65536"):
        read(LOG, **options)


def test_no_file() -> None:
    with pytest.raises(TypeError, match="not 7"):
        capture.open(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="gives str"):
        capture.open(io.StringIO("x"))  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        capture.open("there/is/no/such.log")


# --- what is wanted ---


def test_part_of_a_log() -> None:
    lines = [f"({n}.0) {name} 123#{n:02X}\n" for n in range(10) for name in ("can0", "can1", "vcan0", "lin")]
    file = "".join(lines).encode()
    found, log = read(file, start=3_000_000_000, end=5_000_000_000, channels=["can1", "lin"])
    assert [(each.timestamp // 10**9, each.channel) for each in found] == [(3, 1), (3, 256), (4, 1), (4, 256)]
    assert [log.channels[each.channel] for each in found] == ["can1", "lin", "can1", "lin"]
    assert log.left_out == ["can0", "vcan0"]


def test_one_table_for_several_logs() -> None:
    """A name has the same number in each of them; a fixed number stays."""
    table = capture.Channels({"chassis": 0})
    first, _ = read(b"(1.0) can0 123#\n(1.0) can1 123#\n", table=table)
    second, _ = read(b"(1.0) can1 123#\n(1.0) vcan1 123#\n(1.0) chassis 123#\n(1.0) can0 123#\n", table=table)
    assert [each.channel for each in first] == [256, 1]
    assert [each.channel for each in second] == [1, 257, 0, 256]
    with pytest.raises(ValueError, match="same number"):
        capture.Channels({"a": 1, "b": 1})
    with pytest.raises(ValueError, match="65536"):
        capture.Channels({"a": 65536})


# --- found by fuzzing ---


def test_trc_whose_columns_are_missing() -> None:
    found, log = read(b";$FILEVERSION=2.1\n;$STARTTIME=43008.1\n" + b"1 DT 0100 Rx - 1 00\n" * 3)
    assert found == []
    assert [each.line for each in log.problems] == [3, 4, 5]


def test_pcapng_that_begins_again_in_the_middle_of_a_block() -> None:
    """Behind a bad block, the next one is found even if only its beginning is there for now."""
    bad = struct.pack("<II", 0x0A0D0D0A, 4)
    section = struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
    interface = struct.pack("<IIHHII", 1, 20, 227, 0, 0, 20)
    packet = struct.pack("<IIIIIII", 6, 48, 0, 0, 5, 16, 16) + bytes(16) + struct.pack("<I", 48)
    log = section + bad + section + interface + packet
    whole = PcapParser(lambda name: 0)
    expected = list(whole.feed(log, True))
    assert len(expected) == 1
    for cut in range(len(log)):
        parser = PcapParser(lambda name: 0)
        found = [*parser.feed(log[:cut]), *parser.feed(log[cut:]), *parser.feed(b"", True)]
        assert found == expected, cut
        assert parser.defects_found()[1] == 1
