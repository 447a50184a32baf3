"""`isotp dump`: each frame of a bus explained, of sessions or of all, as lines and as JSON."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from isotp.cli import wires
from isotp.cli.options.bus import Place
from tests.cli.command import PAIR, isotp_command, log_of
from tests.cli.live_command import EXCHANGE, LiveBus, live_command

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


# ---------------------------------------------------------------- several buses, and logs


def test_several_buses_each_by_its_name(bus: LiveBus) -> None:
    """Frames that are there together are put in the order of their times."""
    other = LiveBus(f"{bus.channel}b")

    def talk() -> None:
        other.say("7E0#021003")
        bus.say("7E8#065003003201F4")

    channels = ("-i", "virtual", "-c", bus.channel, "-c", other.channel)
    opener = (wires.SeveralWires, "__init__")
    run = live_command(talk, "dump --json -n 2 -t z", *PAIR, *channels, opener=opener)
    assert run.status == 0
    assert sorted((line["channel"], line["can_id"]) for line in run.json) == [
        (bus.channel, "7E8"),
        (other.channel, "7E0"),
    ]


def test_what_several_buses_have_is_in_the_order_of_its_times(monkeypatch: pytest.MonkeyPatch) -> None:
    class Recorded:
        def __init__(self, *times: int) -> None:
            self._frames = [wires.Frame(time, 0x7E0, b"", 0) for time in times]
            self.closed = False

        def receive(self, timeout: float) -> list[wires.Frame]:
            frames, self._frames = self._frames, []
            return frames

        def close(self) -> None:
            self.closed = True

    recorded = {"a": Recorded(10, 40), "b": Recorded(20, 30)}
    monkeypatch.setattr(wires, "open_wire", lambda place, identifiers: recorded[place.name])
    places = [Place(name, native=True, kernel=False, fd=False) for name in recorded]
    several = wires.SeveralWires(places, None)
    frames = several.receive(1)
    assert [(frame.timestamp, frame.channel) for frame in frames] == [
        *((10, "a"), (20, "b")),
        *((30, "b"), (40, "a")),
    ]
    several.close()
    assert all(each.closed for each in recorded.values())


def test_a_log(tmp_path: Path) -> None:
    log = log_of(tmp_path / "a.log", "7E0#0322F190", "can1 123#0102", "can1 7E8#037F2231", start=1700000000)
    run = isotp_command("dump -t a --no-ascii", *PAIR, log)
    assert (run.status, run.errors) == (0, "")
    assert run.lines == [
        "(1700000000.000000) can0  7E0  [4]  [SF] ln: 3    data: 22 F1 90  [SRQ] ReadDataByIdentifier",
        "(1700000000.002000) can1  7E8  [4]  [SF] ln: 3    data: 7F 22 31"
        "  [NRC] ReadDataByIdentifier: RequestOutOfRange",
    ]
    assert [line["channel"] for line in isotp_command("dump --json", log).json] == ["can0", "can1", "can1"]


def test_a_log_that_has_no_such_frame_or_is_damaged(tmp_path: Path) -> None:
    log = log_of(tmp_path / "a.log", "7E0#0322F190", "7E0#0322F191")
    assert isotp_command("dump -a 1:2", log).complaint == "isotp: there are no more such frames in the logs"
    assert isotp_command("dump -n 3", log).status == 1
    log.write_bytes(log.read_bytes()[:-2])
    run = isotp_command("dump", log)
    assert (run.status, len(run.lines)) == (1, 1)
    assert "a.log: line 2: " in run.complaint


@pytest.mark.parametrize("words", ["-i virtual", "-c 0", "can0"])
def test_logs_do_not_go_with_buses(words: str, tmp_path: Path) -> None:
    run = isotp_command("dump", log_of(tmp_path / "a.log", "7E0#0322F190"), *words.split())
    assert run.status == 2
    assert "logs do not go with buses" in run.complaint
