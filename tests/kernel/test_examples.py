"""The examples as programs of their own on the buses of a kernel: vcan0 and vcan1."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import isotp

pytest.importorskip("can", reason="the examples use python-can")
pytestmark = pytest.mark.kernel

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
# A processor that is emulated takes this long to import things.
PATIENCE = 100


@contextlib.contextmanager
def running(name: str, *arguments: str, says: str) -> Iterator[subprocess.Popen[str]]:
    """An example in a process of its own, from when it says on standard error that it is ready."""
    command = [sys.executable, "-u", "-W", "error", EXAMPLES / name, "--interface", "socketcan", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            first = process.stderr.readline()
            assert says in first, first + process.stderr.read()
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)


def exchange(tester: isotp.SocketCanStack, ecu: isotp.SocketCanStack, payload: bytes) -> None:
    tester.send(payload)
    assert ecu.recv(block=True, timeout=PATIENCE) == payload
    ecu.send(payload[::-1])
    assert tester.recv(block=True, timeout=PATIENCE) == payload[::-1]


@contextlib.contextmanager
def stack(bus: str, txid: int, rxid: int) -> Iterator[isotp.SocketCanStack]:
    layer = isotp.SocketCanStack(bus, address=isotp.Address(txid=txid, rxid=rxid))
    layer.start()
    try:
        yield layer
    finally:
        layer.close()


def test_logger_rig_with_two_buses() -> None:
    arguments = ("vcan0", "vcan1", "--session", "7E0:7E8", "--count", "4")
    with running("logger_rig.py", *arguments, says="listening") as rig:
        for number in (0, 1):
            with (
                stack(f"vcan{number}", 0x7E0, 0x7E8) as tester,
                stack(f"vcan{number}", 0x7E8, 0x7E0) as ecu,
            ):
                exchange(tester, ecu, bytes([number + 1]) * 30)
        output, said = rig.communicate(timeout=PATIENCE)
    assert rig.returncode == 0, said
    lines = [json.loads(line) for line in output.splitlines()]
    assert sorted((line["bus"], line["from_to"], line["payload"]) for line in lines) == [
        (f"vcan{number}", way, f"{number + 1:02x}" * 30)
        for number in (0, 1)
        for way in ("7E0>7E8", "7E8>7E0")
    ]


def test_gateway_between_two_buses() -> None:
    arguments = ("vcan0", "vcan1", "--route", "7E0:7E8=710:718")
    with running("asyncio_gateway.py", *arguments, says="serving") as gateway:
        with stack("vcan0", 0x7E0, 0x7E8) as tester, stack("vcan1", 0x718, 0x710) as ecu:
            exchange(tester, ecu, bytes(range(200)))
        gateway.send_signal(signal.SIGINT)
        _, said = gateway.communicate(timeout=PATIENCE)
    assert said == "stopped\n"
    assert gateway.returncode == 0
