"""`isotp dump`: each frame of a bus explained, of sessions or of all, as lines and as JSON."""

from __future__ import annotations

import re

import pytest

from tests.cli.command import PAIR
from tests.cli.live_command import EXCHANGE, LiveBus

SAID = (*EXCHANGE, "7E0#037F2231", "7E0#310000", "7E0#32007F", "7E0#300014")


def test_lines_are_those_of_isotpdump_and_more(bus: LiveBus) -> None:
    run = bus.hearing(SAID, "dump -n 8", *PAIR)
    assert run.status == 0
    assert [line.removeprefix(bus.channel) for line in run.lines] == [
        "  7E0  [4]  [SF] ln: 3    data: 22 F1 90 - '\"..'  [SRQ] ReadDataByIdentifier",
        "  7E8  [8]  [FF] ln: 20   data: 62 F1 90 57 56 57 - 'b..WVW'  [PSR] ReadDataByIdentifier",
        "  7E0  [3]  [FC] FC: 0 = CTS # BS: 8 # STmin: 0xF1 = 100 us",
        "  7E8  [8]  [CF] sn: 1    data: 5A 5A 5A 31 4A 5A 33 - 'ZZZ1JZ3'",
        "  7E0  [4]  [SF] ln: 3    data: 7F 22 31 - '.\"1'  [NRC] ReadDataByIdentifier: RequestOutOfRange",
        "  7E0  [3]  [FC] FC: 1 = WT # BS: 0 = off # STmin: 0x00 = 0 ms",
        "  7E0  [3]  [FC] FC: 2 = OVFLW # BS: 0 = off # STmin: 0x7F = 127 ms",
        "  7E0  [3]  [FC] FC: 0 = CTS # BS: 0 = off # STmin: 0x14 = 20 ms",
    ]


def test_json_has_every_field(bus: LiveBus) -> None:
    run = bus.hearing(SAID, "dump --json -n 4", *PAIR)
    single, first, control, consecutive = run.json
    assert [line["type"] for line in run.json] == ["SF", "FF", "FC", "CF"]
    assert [line["direction"] for line in run.json] == ["tx", "rx", "tx", "rx"]
    assert {line["session"] for line in run.json} == {"7E0:7E8"}
    assert (single["payload"], single["length"], single["uds"]) == ("22f190", 3, "[SRQ] ReadDataByIdentifier")
    assert (first["payload"], first["length"], first["data"]) == ("62f190575657", 20, "101462f190575657")
    assert (control["flow_status"], control["blocksize"], control["stmin_us"]) == ("CTS", 8, 100)
    assert (consecutive["sn"], consecutive["payload"]) == (1, "5a5a5a314a5a33")
    assert [line["time"] for line in run.json] == sorted(line["time"] for line in run.json)


def test_all_frames_and_what_is_no_iso_tp(bus: LiveBus) -> None:
    frames = ("123#01FF", "18DAF110#023E00", "456#FF00", "456#0F")
    run = bus.hearing(frames, "dump -n 4 --no-ascii --no-uds")
    lines = [line.removeprefix(bus.channel) for line in run.lines]
    assert lines[:2] == ["  123  [2]  [SF] ln: 1    data: FF", "  18DAF110  [3]  [SF] ln: 2    data: 3E 00"]
    assert lines[2].startswith("       456  [2]  [??] FF 00  ")
    assert lines[3].startswith("       456  [1]  [??] 0F  ")


def test_extended_addresses(bus: LiveBus) -> None:
    frames = ("6F1#40023E00", "640#F1027E00", "6F1#41023E00", "18DA10F1#023E80")
    run = bus.hearing(frames, "dump -n 3 --no-ascii --no-uds -a ta=10,sa=F1 -s 6F1 -d 640 -x 40:F1")
    assert [line.removeprefix(bus.channel) for line in run.lines] == [
        "       6F1{40}  [4]  [SF] ln: 2    data: 3E 00",
        "       640{F1}  [4]  [SF] ln: 2    data: 7E 00",
        "  18DA10F1  [3]  [SF] ln: 2    data: 3E 80",
    ]


def test_can_fd_frames(bus: LiveBus) -> None:
    run = bus.hearing(("7E0#000A" + "AB" * 10,), "dump -n 1 --json", fd=True)
    assert (run.json[0]["fd"], run.json[0]["length"], run.json[0]["payload"]) == (True, 10, "ab" * 10)


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("a", r"\(\d{10}\.\d{6}\) test"),
        ("d", r"\(000\.\d{6}\) test"),
        ("z", r"\(000\.\d{6}\) test"),
        ("A", r"\(20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\) test"),
    ],
)
def test_times(kind: str, pattern: str, bus: LiveBus) -> None:
    run = bus.hearing(SAID, "dump -t", kind, "-n", "3")
    assert all(re.match(pattern, line) for line in run.lines)
    if kind in "dz":
        assert run.lines[0].startswith("(000.000000)")


def test_each_session_has_its_colour(bus: LiveBus) -> None:
    frames = ("7E0#0122", "7E8#0162", "7E1#0122", "7E0#013E")
    run = bus.hearing(frames, "dump -n 4 --color always -a 7E0:7E8 -a 7E1:7E9")
    codes = [re.findall(r"\x1b\[([\d;]+)m", line)[0].split(";") for line in run.lines]
    colours = [code[-1] for code in codes]
    assert colours[0] == colours[1] == colours[3] != colours[2]
    assert ["1" in code for code in codes] == [True, False, True, True]


def test_no_frame_in_time(bus: LiveBus) -> None:
    run = bus.run("dump --timeout 0.01")
    assert (run.status, run.complaint) == (1, "isotp: no frame within 0.01 s")
