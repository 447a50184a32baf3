"""`isotp perf` between others and with ends of its own."""

from __future__ import annotations

import re

import pytest

from tests.cli.command import PAIR, isotp_command
from tests.cli.live_command import EXCHANGE, TESTER, LiveBus


def test_messages_of_others(bus: LiveBus) -> None:
    frames = ("7E0#0122", *EXCHANGE[1:4], "7E8#2257333836373532")
    run = bus.hearing(frames, "perf -n 1 --json", *PAIR)
    message, summary = run.json
    names = ("can_id", "length", "frames", "blocksize", "stmin_us", "status")
    assert [message[name] for name in names] == ["7E8", 20, 3, 8, 100, "ok"]
    assert message["rate"] == pytest.approx(20e9 / message["duration"])
    assert (summary["messages"], summary["bytes"]) == (1, 20)
    assert summary["bytes_per_second"]["median"] == message["rate"]
    assert run.status == 0


def test_one_that_breaks_off(bus: LiveBus) -> None:
    frames = ("7E8#101462F190575657", "7E8#0122")
    run = bus.hearing(frames, "perf -n 1", *PAIR)
    assert run.status == 1
    assert run.lines[0].endswith("  interrupted_by_single_frame")


def test_both_ends_here(bus: LiveBus) -> None:
    run = bus.run("perf --mode both -D 500 -n 3 -B 8 --stats", *PAIR)
    assert run.status == 0
    pattern = rf"{bus.channel}  7E0   500 bytes  in +[\d.]+ [mu]?s +[\d,.e+]+ bytes/s"
    assert [bool(re.fullmatch(pattern, line)) for line in run.lines[:3]] == [True] * 3
    assert run.lines[3].startswith("3 messages, 1.5 kB, bytes/s: least ")
    assert "7E0:7E8: " in run.complaint
    # 71 consecutive frames in blocks of 8
    assert "flow_controls_sent 27" in run.complaint


def test_sending_end(bus: LiveBus) -> None:
    with bus.ecu() as ecu:
        run = bus.run("perf --mode send -D 100 -n 2 --json", *PAIR)
        assert [len(each) for each in ecu.take(2)] == [100, 100]
    assert run.status == 0
    assert [line["length"] for line in run.json[:2]] == [100, 100]


def test_sending_to_nobody(bus: LiveBus) -> None:
    run = bus.run("perf --mode send --param rx_flowcontrol_timeout=20", *PAIR)
    assert run.status == 1
    assert "isotp: FlowControlTimeoutError: " in run.complaint
    assert run.lines == ["0 messages, 0 bytes"]


def test_receiving_end(bus: LiveBus) -> None:
    with bus.ecu(TESTER) as tester:
        run = bus.listening(
            lambda: tester.layer.send(bytes(200)), "perf --mode recv -n 1 --json -s 7E8 -d 7E0"
        )
    message, _ = run.json
    assert (message["can_id"], message["length"]) == ("7E0", 200)
    assert message["duration"] > 0
    assert run.status == 0


def test_the_kernel_has_no_frames_to_watch(bus: LiveBus) -> None:
    run = isotp_command("perf --kernel", *PAIR, "vcan0")
    assert run.status == 2
    assert "it goes with --mode send, recv, both" in run.complaint
