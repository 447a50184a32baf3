"""The command `isotp` on SocketCAN and on the kernel's ISO-TP sockets, with the tools of can-utils at the other end."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import isotp
from isotp.cli.commands import sniff
from isotp.cli.options.bus import Place
from isotp.cli.wires import open_wire
from tests.cli.command import PAIR as HERE
from tests.cli.command import RECEIVER as THERE
from tests.cli.command import isotp_command
from tests.cli.live_command import can, live_command
from tests.kernel.conftest import RawBus
from tests.kernel.ends import INTERFACE, PATIENCE, payload
from tests.kernel.test_can_utils import listening

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(
        shutil.which("isotprecv") is None and "ISOTP_KERNEL_REQUIRED" not in os.environ,
        reason="apt-get install can-utils",
    ),
]

WAYS = {
    "raw socket": [INTERFACE],
    "kernel": ["--kernel", INTERFACE],
    "python-can": ["-i", "socketcan", "-c", INTERFACE],
}
SESSIONS = {
    # options of our end, and of the other one
    "normal": (HERE, THERE),
    "29 bits, padded": (
        ("-s", "18DA10F1", "-d", "18DAF110", "-p", "A5"),
        ("-s", "18DAF110", "-d", "18DA10F1", "-p", "A5:A5"),
    ),
    "extended": (("-s", "6F1", "-d", "640", "-x", "40:F1"), ("-s", "640", "-d", "6F1", "-x", "F1:40")),
    "FD with BRS": ((*HERE, "-L", "72:64:1"), (*THERE, "-L", "72:64:1")),
}


def sizes(session: str) -> tuple[int, ...]:
    """An emulated machine is slow: single frames in one mode only."""
    return (3, 300) if session == "normal" else (300,)


def send_by_tool(data: bytes, *options: str) -> Callable[[], None]:
    def send() -> None:
        subprocess.run(
            ["isotpsend", *options, "-b", INTERFACE],
            input=data.hex(" "),
            text=True,
            check=True,
            timeout=PATIENCE,
        )

    return send


def exchange_by_tools(data: bytes) -> Callable[[], None]:
    """A message from 7E0 to 7E8, both ends others than the command."""

    def exchange() -> None:
        with listening("isotprecv", *THERE, "-b", "4") as receiver:
            send_by_tool(data, *HERE)()
            receiver.communicate(timeout=PATIENCE)

    return exchange


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("session", SESSIONS)
def test_send_to_isotprecv(session: str, way: str) -> None:
    ours, theirs = SESSIONS[session]
    for size in sizes(session):
        with listening("isotprecv", *theirs) as receiver:
            run = isotp_command("send", *ours, *WAYS[way], stdin=payload(size).hex(" ").encode())
            assert (run.status, run.errors) == (0, "")
            printed, _ = receiver.communicate(timeout=PATIENCE)
            assert bytes.fromhex(printed) == payload(size)


@pytest.mark.parametrize("way", ["raw socket", "kernel"])
@pytest.mark.parametrize("session", SESSIONS)
def test_recv_from_isotpsend(session: str, way: str) -> None:
    ours, theirs = SESSIONS[session]
    for size in sizes(session):
        run = live_command(
            send_by_tool(payload(size), *theirs), "recv", *ours, "-B", "5", "-m", "F1", *WAYS[way]
        )
        assert (run.status, run.errors) == (0, "")
        # As isotprecv prints it.
        assert run.text == payload(size).hex(" ").upper() + "\n"


def test_dump_says_what_isotpdump_says() -> None:
    with listening("isotpdump", *HERE) as tool:
        run = live_command(exchange_by_tools(payload(60)), "dump -n 11 --no-ascii --no-uds", *HERE, INTERFACE)
        assert tool.stdout is not None
        theirs: list[str] = []
        while len(theirs) < 11:
            if line := tool.stdout.readline().split():
                theirs.append(" ".join(line))
    assert [" ".join(line.split()) for line in run.lines] == theirs
    assert run.status == 0


def test_frames_have_the_times_of_the_kernel(bus: RawBus) -> None:
    """As python-can's bus has them."""
    place = Place(INTERFACE, native=True, kernel=False, fd=False)
    with closing(open_wire(place, None)) as ours, can.Bus(interface="socketcan", channel=INTERFACE) as theirs:
        bus.send("123#01", "12345678#02")
        stamps = [theirs.recv(PATIENCE).timestamp * 1e6 for _ in range(2)]
        frames = ours.receive(PATIENCE)
    assert [(frame.can_id, frame.data) for frame in frames] == [(0x123, b"\1"), (0x92345678, b"\2")]
    assert [frame.timestamp / 1000 for frame in frames] == pytest.approx(stamps, rel=0, abs=1)


@pytest.mark.parametrize("way", ["raw socket", "kernel"])
def test_sniff(way: str) -> None:
    opener = (sniff, "heard_by_kernel") if way == "kernel" else None
    run = live_command(exchange_by_tools(payload(100)), "sniff -n 1 --json", *HERE, *WAYS[way], opener=opener)
    (line,) = run.json
    assert [line[name] for name in ("session", "direction", "can_id", "status")] == [
        "7E0:7E8",
        "tx",
        "7E0",
        "ok",
    ]
    assert bytes.fromhex(line["payload"]) == payload(100)
    # The other direction, by the name that the other side has for the session
    run = live_command(
        exchange_by_tools(payload(100)), "sniff -n 1 --json", *THERE, *WAYS[way], opener=opener
    )
    assert [run.json[0][name] for name in ("session", "direction", "can_id")] == ["7E8:7E0", "rx", "7E0"]
    assert run.status == 0


@pytest.mark.parametrize("way", ["raw socket", "kernel"])
def test_perf_with_both_ends(way: str) -> None:
    run = isotp_command("perf --mode both -D 1000 -n 3 -B 8 --json", *HERE, *WAYS[way])
    assert run.status == 0, run.errors
    assert [line["length"] for line in run.json[:-1]] == [1000] * 3
    assert run.json[-1]["bytes_per_second"]["median"] > 0


def test_perf_of_others() -> None:
    run = live_command(exchange_by_tools(payload(100)), "perf -n 1 --json", *HERE, INTERFACE)
    assert [run.json[0][name] for name in ("length", "frames", "blocksize", "status")] == [100, 15, 4, "ok"]
    assert run.json[0]["duration"] > 0


def test_scan() -> None:
    with isotp.Hub(INTERFACE) as hub:
        for address, also in (
            (isotp.Address(txid=0x7E8, rxid=0x7E0), [isotp.Address(rxid=0x7DF, rx_only=True)]),
            (isotp.Address(2, target_address=0xF1, source_address=0x10), []),
        ):
            session = hub.session(address, also=also, params={"tx_padding": 0xCC})
            session.on_message = lambda data, address, timestamp, session=session: session.send(b"\x7e\x00")
            session.start()
        run = isotp_command(
            "scan --transmit --json --ids 7E0-7E2 --targets 0F-11 --noise 0.2 --wait 300", INTERFACE
        )
    assert sorted((line["session"], line["functional"]) for line in run.json) == [
        ("7E0:7E8", True),
        ("ta=10,sa=F1", False),
    ]


@pytest.mark.parametrize("kernel", [[], ["--kernel"]])
def test_no_such_interface(kernel: list[str]) -> None:
    run = isotp_command("send --data 00", *HERE, *kernel, "no-such-can")
    assert run.status == 2
    assert re.search("isotp: .*no-such-can", run.complaint)
    assert "Traceback" not in run.errors


@pytest.mark.parametrize("way", ["raw socket", "kernel"])
def test_nobody_there(way: str) -> None:
    run = isotp_command("send -D 100", *HERE, *WAYS[way])
    assert run.status == 1
    assert "FlowControlTimeoutError: " in run.complaint


def test_what_the_kernel_can_not_do() -> None:
    for options, complaint in (
        (["--functional"], "the kernel's sockets are physical"),
        (["--param", "stmin=3"], "the kernel does not have them"),
    ):
        run = isotp_command("send --data 00", *HERE, *options, "--kernel", INTERFACE)
        assert run.status == 2
        assert complaint in run.complaint


def test_a_pipe_from_one_bus_to_the_other() -> None:
    program = Path(sys.executable).with_name("isotp")
    with (
        subprocess.Popen(
            [program, "recv", "--ready", *THERE, INTERFACE],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as receiver,
        subprocess.Popen(
            [program, "send", *HERE, "vcan1"], stdin=receiver.stdout, stderr=subprocess.PIPE, text=True
        ) as sender,
        subprocess.Popen(["isotprecv", *THERE, "vcan1"], stdout=subprocess.PIPE, text=True) as end,
    ):
        assert receiver.stderr is not None
        assert receiver.stderr.readline() == f"listening on {INTERFACE}\n"
        send_by_tool(payload(50), *HERE)()
        printed, _ = end.communicate(timeout=PATIENCE)
        assert bytes.fromhex(printed) == payload(50)
        assert (receiver.wait(PATIENCE), sender.wait(PATIENCE)) == (0, 0)
