"""`isotp perf` between others and with ends of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import isotp
from tests.command import isotp_command
from tests.live_command import bus_options, ecu_on, live_command, say

SESSION = ("-s", "7E0", "-d", "7E8")
ROOT = Path(__file__).parent.parent


@pytest.fixture
def channel(request: pytest.FixtureRequest) -> str:
    return request.node.name


def test_messages_of_others(channel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = (
        "7E0#0122",
        "7E8#101462F190575657",
        "7E0#3008F1",
        "7E8#215A5A5A314A5A33",
        "7E8#2257333836373532",
    )
    run = live_command(monkeypatch, lambda: say(channel, *frames), "perf", "-n", "1", "--json", *SESSION,
                       *bus_options(channel))  # fmt: skip
    message, summary = run.json
    names = ("can_id", "length", "frames", "blocksize", "stmin_us", "status")
    assert [message[name] for name in names] == ["7E8", 20, 3, 8, 100, "ok"]
    assert message["rate"] == pytest.approx(20e9 / message["duration"])
    assert (summary["messages"], summary["bytes"]) == (1, 20)
    assert summary["bytes_per_second"]["median"] == message["rate"]
    assert run.status == 0


def test_one_that_breaks_off(channel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = ("7E8#101462F190575657", "7E8#0122")
    run = live_command(monkeypatch, lambda: say(channel, *frames), "perf", "-n", "1", *SESSION,
                       *bus_options(channel))  # fmt: skip
    assert run.status == 1
    assert run.lines[0].endswith("  interrupted_by_single_frame")


def test_both_ends_here(channel: str) -> None:
    run = isotp_command("perf", "--mode", "both", "-D", "500", "-n", "3", "-B", "8", "--stats", *SESSION,
                        *bus_options(channel))  # fmt: skip
    assert run.status == 0
    pattern = rf"{channel}  7E0   500 bytes  in +[\d.]+ [mu]?s +[\d,.e+]+ bytes/s"
    assert [bool(re.fullmatch(pattern, line)) for line in run.lines[:3]] == [True] * 3
    assert run.lines[3].startswith("3 messages, 1.5 kB, bytes/s: least ")
    assert "7E0:7E8: " in run.complaint
    # 71 consecutive frames in blocks of 8
    assert "flow_controls_sent 27" in run.complaint


def test_sending_end(channel: str) -> None:
    with ecu_on(channel) as ecu:
        run = isotp_command("perf", "--mode", "send", "-D", "100", "-n", "2", "--json", *SESSION,
                            *bus_options(channel))  # fmt: skip
        assert [len(each) for each in ecu.take(2)] == [100, 100]
    assert run.status == 0
    assert [line["length"] for line in run.json[:2]] == [100, 100]


def test_sending_to_nobody(channel: str) -> None:
    run = isotp_command("perf", "--mode", "send", "--param", "rx_flowcontrol_timeout=20", *SESSION,
                        *bus_options(channel))  # fmt: skip
    assert run.status == 1
    assert "isotp: FlowControlTimeoutError: " in run.complaint
    assert run.lines == ["0 messages, 0 bytes"]


def test_receiving_end(channel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with ecu_on(channel, isotp.Address(txid=0x7E0, rxid=0x7E8)) as tester:
        run = live_command(monkeypatch, lambda: tester.layer.send(bytes(200)), "perf", "--mode", "recv", "-n", "1",
                           "--json", "-s", "7E8", "-d", "7E0", *bus_options(channel))  # fmt: skip
    message, _ = run.json
    assert (message["can_id"], message["length"]) == ("7E0", 200)
    assert message["duration"] > 0
    assert run.status == 0


def test_the_kernel_has_no_frames_to_watch(channel: str) -> None:
    run = isotp_command("perf", "--kernel", *SESSION, "vcan0")
    assert run.status == 2
    assert "it goes with --mode send, recv, both" in run.complaint
