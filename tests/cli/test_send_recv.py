"""`isotp send` and `isotp recv`: messages in and out on a virtual bus, and what they say if it goes wrong."""

from __future__ import annotations

import errno
import importlib
import io
import json
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import isotp
from isotp.cli import ends
from isotp.cli.commands import send
from tests.cli.command import PAIR, RECEIVER, isotp_command
from tests.cli.live_command import PATIENCE, TESTER, LiveBus, can

EXTENDED = isotp.Address(3, txid=0x640, rxid=0x6F1, target_address=0xF1, source_address=0x40)

# ---------------------------------------------------------------- send


def test_lines_of_standard_input_in_every_notation(bus: LiveBus) -> None:
    lines = b'22 F1 90\n2E0102\n\n0x3e 0\n{"payload": "00112233445566778899"}\n'
    with bus.ecu() as ecu:
        run = bus.run("send", *PAIR, stdin=lines)
        received = ecu.take(4)
    assert (run.status, run.text, run.errors) == (0, "", "")
    assert [each.hex() for each in received] == ["22f190", "2e0102", "3e00", "00112233445566778899"]


def test_data_length_and_file(bus: LiveBus, tmp_path: Path) -> None:
    image = tmp_path / "image.bin"
    image.write_bytes(bytes(range(256)) * 20)
    with bus.ecu() as ecu:
        runs = [
            bus.run("send", *PAIR, *what)
            for what in (("--data", "AA", "--data", "BB CC"), ("-D", "300"), ("--file", image))
        ]
        received = ecu.take(4)
    assert [run.status for run in runs] == [0, 0, 0]
    assert received == [b"\xaa", b"\xbb\xcc", bytes(k & 0xFF for k in range(1, 301)), image.read_bytes()]


def test_answers_as_lines_and_nothing_else_is_one(bus: LiveBus) -> None:
    with bus.ecu() as ecu:
        ecu.answers = {
            b"\x3e\x00": [b"\x62\xf1\x90", b"\x7f\x3e\x78", b"\x7e\x00"],
            b"\x22\xf1\x90": [b"\x62\xf1\x90" + b"W" * 17],
        }
        run = bus.run("send --answer --timeout 30 --data 3E00 --data 22F190", *PAIR)
    assert run.status == 0
    assert run.lines == ["7E 00", "62 F1 90" + " 57" * 17]


def test_answers_of_other_protocols(bus: LiveBus) -> None:
    with bus.ecu() as ecu:
        ecu.answers = {b"\xc1\x01": [b"\x00\x02"]}
        run = bus.run("send --answer --any --timeout 30 --data C101", *PAIR)
        refused = bus.run("send --answer --data C101", *PAIR)
        assert ecu.take(1) == [b"\xc1\x01"]
    assert (run.status, run.lines) == (0, ["00 02"])
    assert refused.status == 2
    assert "C1 is no service of UDS" in refused.errors


def test_json_tells_of_each_message(bus: LiveBus) -> None:
    with bus.ecu() as ecu:
        ecu.answers = {b"\x3e\x00": [b"\x7e\x00"]}
        run = bus.run("send --json --answer --timeout 30 --data 3E00", *PAIR)
    (line,) = run.json
    assert {name: line[name] for name in ("channel", "length", "error", "answer")} == {
        "channel": bus.channel,
        "length": 2,
        "error": None,
        "answer": "7e00",
    }
    assert abs(line["time"] - time.time_ns()) < 3600e9


def test_an_empty_file_is_no_message(bus: LiveBus, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    run = bus.run("send", *PAIR, "--file", tmp_path / "empty")
    assert (run.status, run.complaint) == (1, "isotp: ValueError: there are no messages without a byte")


def test_nobody_answers(bus: LiveBus) -> None:
    with bus.ecu() as ecu:
        run = bus.run("send --answer --timeout 0.05 --data 3E00 --data 01", *PAIR)
        assert (run.status, run.complaint) == (1, "isotp: no answer within 0.05 s")
        # The second message was not sent after that.
        assert ecu.take(1) == [b"\x3e\x00"]
        assert ecu.layer.stats.frames_received == 1


def test_nobody_sends_flow_control(bus: LiveBus) -> None:
    run = bus.run("send --json -D 20 --param rx_flowcontrol_timeout=20", *PAIR)
    assert run.status == 1
    assert run.json[0]["error"].startswith("FlowControlTimeoutError: ")
    assert run.complaint.startswith("isotp: FlowControlTimeoutError: ")


@pytest.mark.parametrize(
    ("options", "there"),
    [
        (("-s", "18DA10F1", "-d", "18DAF110"), isotp.Address(1, txid=0x18DAF110, rxid=0x18DA10F1)),
        (("-a", "ta=10,sa=F1"), isotp.Address(2, target_address=0xF1, source_address=0x10)),
        (("-s", "6F1", "-d", "640", "-x", "40:F1"), EXTENDED),
        (("-s", "6F1", "-d", "640", "-x", "40", "-X", "F1"), EXTENDED),
        (("-a", "7E0:7E8,ae=99"), isotp.Address(5, txid=0x7E8, rxid=0x7E0, address_extension=0x99)),
    ],
)
def test_addressing_modes(options: tuple[str, ...], there: isotp.Address, bus: LiveBus) -> None:
    with bus.ecu(there) as ecu:
        run = bus.run("send", *options, "-D", "20")
        assert run.status == 0, run.complaint
        assert ecu.take(1) == [bytes(range(1, 21))]


def test_what_frames_look_like(bus: LiveBus) -> None:
    import can

    with can.Bus(interface="virtual", channel=bus.channel) as other:
        for options in ((), ("-p", "CC"), ("-L", "72:64:1"), ("--fd",)):
            assert bus.run("send --data 010203", *PAIR, *options).status == 0
        assert bus.run("send -a ta=33,sa=F1 --functional --data 3E80").status == 0
        frames = [other.recv(0) for _ in range(5)]
    assert [(f.arbitration_id, f.data.hex(), f.is_fd, f.bitrate_switch) for f in frames] == [
        (0x7E0, "03010203", False, False),
        (0x7E0, "03010203cccccccc", False, False),
        (0x7E0, "03010203", True, True),
        (0x7E0, "03010203", True, False),
        (0x18DB33F1, "023e80", False, False),
    ]


def test_a_gap_of_ones_own(bus: LiveBus, monkeypatch: pytest.MonkeyPatch) -> None:
    links: list[Any] = []

    def open_end(place: Any, link: Any) -> Any:
        links.append(link)
        return ends.open_end(place, link)

    monkeypatch.setattr(send, "open_end", open_end)
    with bus.ecu(stmin=127) as ecu:
        run = bus.run("send -f 500000 -D 40", *PAIR)
        assert run.status == 0
        assert len(ecu.take(1)[0]) == 40
    assert [link.params["override_receiver_stmin"] for link in links] == [0.0005]


def test_a_negative_response_has_an_exit_status_by_option(bus: LiveBus) -> None:
    words = ("send --answer --timeout 30 --data 22F190 --data 3E00", *PAIR)
    with bus.ecu() as ecu:
        ecu.answers = {b"\x22\xf1\x90": [b"\x7f\x22\x31"], b"\x3e\x00": [b"\x7e\x00"]}
        without, with_option = bus.run(*words), bus.run(*words, "--fail-on-nrc")
    assert (without.status, without.lines, without.errors) == (0, ["7F 22 31", "7E 00"], "")
    assert (with_option.status, with_option.lines) == (3, ["7F 22 31"])
    assert with_option.complaint.startswith("isotp: refused: [NRC] ")
    run = isotp_command("send --fail-on-nrc --data 3E00 -i virtual -c nrc", *PAIR)
    assert (run.status, "it goes with --answer" in run.complaint) == (2, True)


def test_a_file_is_sent_with_a_bar_on_a_terminal(bus: LiveBus, tmp_path: Path) -> None:
    """Layers read it as they send it: the bar shows how far they are."""
    image = tmp_path / "image.bin"
    image.write_bytes(bytes(3000))
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, color_system=None)
    with bus.ecu() as ecu, can.Bus(interface="virtual", channel=bus.channel) as tester:
        stack = isotp.CanStack(tester, address=TESTER, params={"blocking_send": True})
        stack.start()
        with image.open("rb") as stream, send.shown_progress(stream, image.name, 3000, console) as watched:
            stack.send(watched, send_timeout=PATIENCE)
        stack.stop()
        assert ecu.take(1) == [bytes(3000)]
    assert "image.bin" in screen.getvalue()
    assert "3.0/3.0 kB" in screen.getvalue()
    with image.open("rb") as stream, send.shown_progress(stream, "", 1, Console(file=io.StringIO())) as same:
        assert same is stream


# ---------------------------------------------------------------- recv


def test_one_message_in_hex(bus: LiveBus) -> None:
    with bus.ecu(TESTER) as tester:
        run = bus.listening(lambda: tester.layer.send(bytes(range(10))), "recv", *RECEIVER)
    assert (run.status, run.text, run.errors) == (0, "00 01 02 03 04 05 06 07 08 09\n", "")


def test_flow_control_as_asked_for(bus: LiveBus) -> None:
    import can

    with can.Bus(interface="virtual", channel=bus.channel) as other:

        def talk() -> None:
            bus.say("7E0#1014000102030405")
            while (received := other.recv(30)).arbitration_id != 0x7E8:
                pass
            controls.append(received.data.hex())
            bus.say("7E0#21060708090A0B0C", "7E0#220D0E0F10111213")

        controls: list[str] = []
        run = bus.listening(talk, "recv -B 4 -m F3 -p AA", *RECEIVER)
    assert controls == ["3004f3aaaaaaaaaa"]
    assert bytes.fromhex(run.text) == bytes(range(20))


def test_messages_as_json_and_a_summary(bus: LiveBus) -> None:
    run = bus.hearing(("7E0#0122", "7E0#023E00"), "recv -n 2 --json --stats --ready", *RECEIVER)
    assert run.status == 0
    assert [(line["session"], line["can_id"], line["length"], line["payload"]) for line in run.json] == [
        ("7E8:7E0", "7E0", 1, "22"),
        ("7E8:7E0", "7E0", 2, "3e00"),
    ]
    assert run.complaint.startswith(f"listening on {bus.channel} 2 messages, 3 bytes in ")


def test_what_breaks_off_is_told_and_the_next_one_comes(bus: LiveBus) -> None:
    run = bus.hearing(("7E0#1014000102030405", "7E0#0122"), "recv --stats", *RECEIVER)
    assert (run.status, run.text) == (1, "22\n")
    assert "isotp: ReceptionInterruptedWithSingleFrameError: " in run.complaint
    assert "broken: 1 message (ReceptionInterruptedWithSingleFrameError 1)" in run.complaint


def test_a_flood_of_stray_frames_is_one_line_with_a_count(bus: LiveBus) -> None:
    """They are no messages that broke off."""
    run = bus.hearing(["7E0#2114000102030405"] * 500 + ["7E0#0122"], "recv --stats", *RECEIVER)
    assert (run.status, run.text) == (1, "22\n")
    first, more, _, stray, *_ = run.errors.splitlines()
    assert first.startswith("isotp: UnexpectedConsecutiveFrameError: consecutive frame with SN 1")
    assert more == "isotp: UnexpectedConsecutiveFrameError: 499 more of them"
    assert stray == "stray: 500 frames (UnexpectedConsecutiveFrameError 500)"
    assert "broken" not in run.errors


def test_no_message_in_time(bus: LiveBus) -> None:
    run = bus.run("recv --timeout 0.01", *RECEIVER)
    assert (run.status, run.text, run.complaint) == (1, "", "isotp: no message within 0.01 s")


@pytest.mark.parametrize("command", [("recv", "-l"), ("perf", "--mode", "recv")])
def test_messages_that_nobody_reads_are_bounded(
    command: tuple[str, ...], bus: LiveBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Standard output takes nothing: the sender is told, and what came until then is shown later on."""
    module = importlib.import_module(f"isotp.cli.commands.{command[0]}")
    shows, go_on = threading.Event(), threading.Event()
    write_line = module.write_line

    def write_slowly(text: str) -> None:
        shows.set()
        assert go_on.wait(PATIENCE)
        write_line(text)

    monkeypatch.setattr(module, "write_line", write_slowly)
    with bus.ecu(TESTER, blocking_send=True) as tester:

        def talk() -> None:
            tester.layer.send(bytes(100), send_timeout=PATIENCE)
            assert shows.wait(PATIENCE)
            # A message that waits counts 300 more than its length.
            for _ in range(5):
                tester.layer.send(bytes(100), send_timeout=PATIENCE)
            with pytest.raises(isotp.BlockingSendFailure):
                tester.layer.send(bytes(100), send_timeout=PATIENCE)
            go_on.set()

        run = bus.listening(
            talk, *command, "--timeout", "0.5", "--stats", "--param", "rx_queue_limit=2000", *RECEIVER
        )
    assert [type(error) for error in tester.errors] == [isotp.OverflowError]
    assert run.status == 1
    assert len([line for line in run.lines if "100 bytes" in line or line == " ".join(["00"] * 100)]) == 6
    assert "isotp: ReceptionQueueFullError: a message of 100 bytes is refused" in run.complaint
    assert "dropped {'receptions': 1}" in run.complaint


def test_the_lines_of_one_are_those_of_the_other(bus: LiveBus) -> None:
    first = bus.hearing(("7E0#0322F190",), "recv --json", *RECEIVER)
    with bus.ecu() as ecu:
        assert bus.run("send", *PAIR, stdin=first.output).status == 0
        assert ecu.take(1) == [b"\x22\xf1\x90"]


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("send", *PAIR, "--data", "zz"), "no bytes in hex: 'zz'"),
        (("send", *PAIR, "--data", "00", "-D", "3"), "name the messages in one way"),
        (("send", "--data", "00"), "name a session, say -s 7E0 -d 7E8"),
        (("send", "-s", "7E0", "--data", "00"), "-s and -d need each other"),
        (("send", "-a", "7E0:", "--data", "00"), "a session needs both CAN IDs"),
        (("send", "-a", "7E0:7E8@can1", "--data", "00"), "here there is one bus"),
        (("send", *PAIR, "-X", "3", "--data", "00"), "it goes with -x"),
        (("send", *PAIR, "-x", "3:4", "-X", "3", "--data", "00"), "-x 3:4 has that byte already"),
        (("send", *PAIR, "-L", "72:64", "--data", "00"), "'72:64' is not MTU:TX_DL:FLAGS"),
        (("send", *PAIR, "-L", "72:63:0", "--data", "00"), "tx_data_length must be one of 8, 12"),
        (("send", *PAIR, "-L", "16:64:0", "--data", "00"), "TX_DL of classic CAN is 8"),
        (("send", *PAIR, "-p", "1CC", "--data", "00"), "'1CC' is no byte in hex"),
        (("send", *PAIR, "-p", "CC:CC", "--data", "00"), "checked with --kernel only"),
        (("send", *PAIR, "-t", "1000", "--data", "00"), "it goes with --kernel"),
        (("send", *PAIR, "--kernel", "--data", "00"), "name it, say can0"),
        (("send", *PAIR, "--param", "stmim=3", "--data", "00"), "did you mean stmin"),
        (("recv", *PAIR, "-m", "90000"), "'90000' is no byte in hex"),
        (("recv", *PAIR, "--bs", "300"), "blocksize must be an integer from 0 to 255"),
        (("recv", *PAIR, "--bus-kwargs", "x"), "'x' is not NAME=VALUE"),
        (("recv", *PAIR, "--timing", "brp=2"), "missing"),
    ],
)
def test_wrong_options(arguments: tuple[str, ...], complaint: str, bus: LiveBus) -> None:
    run = bus.run(*arguments)
    assert run.status == 2
    assert complaint in run.complaint


def test_without_python_can(bus: LiveBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "can", None)
    run = bus.run("recv", *RECEIVER)
    assert run.status == 2
    said = "this bus needs python-can, which is not installed: pip install 'can-isotp-cython[can]'"
    assert said in run.complaint


@pytest.mark.skipif(sys.platform != "linux", reason="kernels of Linux")
@pytest.mark.parametrize(
    ("kernel", "complaint"),
    [
        ([], "isotp: no such protocol: this kernel has no CAN sockets (modprobe can-raw)"),
        (["--kernel"], "isotp: the running Linux kernel has no ISO-TP sockets."),
    ],
)
def test_kernels_without_the_modules(
    kernel: list[str], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.EPROTONOSUPPORT, "no such protocol")

    monkeypatch.setattr(socket, "socket", refuse)
    run = isotp_command("recv", *RECEIVER, *kernel, "can0")
    assert run.status == 2
    assert run.complaint.startswith(complaint)


@pytest.mark.skipif(sys.platform == "linux", reason="tests/kernel has Linux")
@pytest.mark.parametrize("kernel", [[], ["--kernel"]])
def test_sockets_of_linux_on_other_systems(kernel: list[str]) -> None:
    run = isotp_command("recv", *RECEIVER, *kernel, "can0")
    assert run.status == 2
    assert "on Linux only" in run.complaint or "this system is" in run.complaint


def test_a_line_that_is_no_hex(bus: LiveBus) -> None:
    with bus.ecu() as ecu:
        run = bus.run("send", *PAIR, stdin=b"01\nxyz\n")
        assert (run.status, run.complaint) == (2, "isotp: line 2 of standard input: no bytes in hex: 'xyz'")
        assert ecu.take(1) == [b"\x01"]


@pytest.mark.parametrize(
    ("bus", "complaint"),
    [
        ((), "python-can's configuration has none"),
        (("-c", "can0"), "which interface of python-can has channel can0?"),
        (("-i", "nothing", "-c", "1"), "isotp: python-can has no interface 'nothing'. It has: "),
        (("-i", "slcan", "-c", "/dev/not/there"), "isotp: the bus cannot be opened (interface=slcan,"),
        (
            ("no-such-can", "-c", "1"),
            "they name a bus of python-can, and CAN_INTERFACE (no-such-can) another one",
        ),
    ],
)
def test_no_such_bus(
    bus: tuple[str, ...], complaint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    run = isotp_command("recv", *RECEIVER, *bus)
    assert run.status == 2
    assert complaint in run.complaint


@pytest.mark.parametrize("how", ["environment", "file"])
def test_configuration_of_python_can(
    how: str, bus: LiveBus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    if how == "file":
        for name in ("can.ini", ".canrc"):
            # Where python-can looks on Windows, and elsewhere.
            (tmp_path / name).write_text(f"[default]\ninterface = virtual\nchannel = {bus.channel}\n")
        environment = {}
    else:
        environment = {"CAN_INTERFACE": "virtual", "CAN_CHANNEL": bus.channel}
    with bus.ecu() as ecu:
        run = isotp_command("send --data AB --json", *PAIR, **environment)
        assert run.status == 0, run.complaint
        assert ecu.take(1) == [b"\xab"]
    assert json.loads(run.text)["channel"] == bus.channel


def test_arguments_of_the_bus_class(bus: LiveBus) -> None:
    with bus.ecu() as ecu:
        run = bus.run(
            "send --data AB",
            *(*PAIR, "--bus-kwargs", "receive_own_messages=true rx_queue_size=9"),
            *("--timing", "f_clock=8000000 brp=2 tseg1=5", "--timing", "tseg2=2 sjw=2"),
        )
        assert run.status == 0, run.complaint
        assert ecu.take(1) == [b"\xab"]
