"""Commands of `isotp` as programs of their own, on python-can's multicast bus: Ctrl-C, and readers that leave.

How they work together is on docs/command-line.md, which test_documentation.py plays.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.cli.command import PAIR, RECEIVER

pytest.importorskip("msgpack", reason="python-can's multicast bus needs it")
can = pytest.importorskip("can", reason="the bus is one of python-can")

# A port of its own: what others send to theirs, to whatever group, is not heard here.
GROUP, PORT = "239.74.163.2", 10_000 + os.getpid() % 20_000
BUS = ("-i", "udp_multicast", "-c", GROUP, "--bus-kwargs", f"port={PORT}")
PATIENCE = 60.0


def multicast_bus() -> can.BusABC:
    return can.Bus(interface="udp_multicast", channel=GROUP, port=PORT)


@pytest.fixture(scope="module", autouse=True)
def multicast() -> None:
    """Skips the tests where there is none."""
    try:
        with multicast_bus() as one, multicast_bus() as two:
            one.send(can.Message(arbitration_id=1, data=b"x"))
            heard = two.recv(2)
    except (can.CanError, OSError) as error:
        pytest.skip(f"no multicast here: {error}")
    if heard is None:
        pytest.skip("multicast does not come back here")


class Programs:
    """Starts commands, each once the ones before listen."""

    def __init__(self, program: str, stack: ExitStack) -> None:
        self.program = program
        self.stack = stack

    def __call__(self, *arguments: str, stdin: object = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """Start one that has --ready, and wait until it listens."""
        process = subprocess.Popen(
            [self.program, *arguments, "--ready", *BUS],
            stdin=stdin,  # type: ignore[arg-type]
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.stack.enter_context(process)
        self.stack.callback(process.kill)
        assert process.stderr is not None
        assert process.stderr.readline() == f"listening on {GROUP}\n"
        return process


@pytest.fixture
def programs(program: str) -> Iterator[Programs]:
    with ExitStack() as stack:
        yield Programs(program, stack)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_ctrl_c_ends_with_a_summary_and_what_was_open(programs: Programs) -> None:
    sniffer = programs("sniff", "--stats", "--no-uds", "-f", "1", *PAIR)
    receiver = programs("recv", "-l", *RECEIVER)
    with multicast_bus() as bus:
        for can_id, data in ((0x7E8, "101462F190575657"), (0x7E0, "023E00")):
            bus.send(can.Message(arbitration_id=can_id, data=bytes.fromhex(data), is_extended_id=False))
        assert sniffer.stdout is not None
        assert sniffer.stdout.readline() == f"{GROUP}  7E0  [2]  3E 00\n"
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == "3E 00\n"
    for process in (sniffer, receiver):
        process.send_signal(signal.SIGINT)
    open_message, summary = sniffer.communicate(timeout=PATIENCE)
    assert open_message == f"{GROUP}  7E8  [6/20]  62 F1 90 57 56 57  open\n"
    assert summary.startswith("2 messages, 8 bytes in ")
    assert sniffer.returncode == 0
    _, summary = receiver.communicate(timeout=PATIENCE)
    assert summary.strip().startswith("1 message, 2 bytes in ")
    assert receiver.returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_interrupted_before_the_message_came(programs: Programs) -> None:
    receiver = programs("recv", *RECEIVER)
    receiver.send_signal(signal.SIGINT)
    assert receiver.communicate(timeout=PATIENCE) == ("", "")
    assert receiver.returncode == 130


def test_a_reader_that_leaves_ends_the_writer_quietly(programs: Programs) -> None:
    dump = programs("dump", *PAIR)
    assert dump.stdout is not None
    dump.stdout.close()
    with multicast_bus() as bus:
        bus.send(can.Message(arbitration_id=0x7E0, data=b"\x01\x22", is_extended_id=False))
        assert dump.stderr is not None
        assert dump.stderr.read() == ""
    # As a program that SIGPIPE ends
    assert dump.wait(PATIENCE) == 141
