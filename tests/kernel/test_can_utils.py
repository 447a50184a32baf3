"""The command-line tools of can-utils at the other end of a session with our layers."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.frames import SLOW
from tests.kernel.ends import CLASSIC, INTERFACE, MODES, PAD, PATIENCE, Frames, Setup, our_end, payload

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(
        shutil.which("isotprecv") is None and "ISOTP_KERNEL_REQUIRED" not in os.environ,
        reason="apt-get install can-utils",
    ),
]

# isotpsend of 2020 takes up to 5000 bytes.
SIZES = (1, 7, 8, 62, 63, 100, 4095, 4096)
LAYERS = ("CanStack", "SocketCanStack")
SETUPS = {
    "classic": Setup(),
    "classic, padded, in blocks": Setup(bs=8, stmin=0xF1, padded=True),
    "FD": Setup(Frames(fd=True, tx_dl=64)),
    "FD with BRS, padded, in blocks": Setup(Frames(fd=True, tx_dl=24, brs=True), bs=3, padded=True),
}
IDS = {
    # mode: options of the tool, which is the tester of MODES
    "Normal_11bits": ["-s", "456", "-d", "123"],
    "Normal_29bits": ["-s", "00000456", "-d", "12345678"],
    "Extended_11bits": ["-s", "456", "-d", "123", "-x", "55:AA"],
    "Mixed_29bits": ["-s", "18CE55AA", "-d", "18CEAA55", "-x", "99"],
}


def options(mode: str, setup: Setup) -> list[str]:
    chosen = [*IDS[mode]]
    if setup.padded:
        chosen += ["-p", f"{PAD:02X}:{PAD:02X}", "-P", "a"]
    if setup.frames.fd:
        chosen += ["-L", f"72:{setup.frames.tx_dl}:{int(setup.frames.brs)}"]
    return chosen


def listeners() -> int:
    """Sockets that wait for the frames of some CAN ID."""
    lists = (
        Path("/proc/net/can", name).read_text() for name in ("rcvlist_sff", "rcvlist_eff", "rcvlist_all")
    )
    return sum(line.strip().startswith(INTERFACE) for text in lists for line in text.splitlines())


@contextmanager
def listening(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A tool that was started and is ready to receive."""
    before = listeners()
    with subprocess.Popen([*command, INTERFACE], stdout=subprocess.PIPE, text=True) as tool:
        try:
            deadline = time.monotonic() + PATIENCE
            while listeners() == before:
                assert tool.poll() is None
                assert time.monotonic() < deadline
                # The kernel tells nobody of a new listener.
                time.sleep(0.01)
            yield tool
        finally:
            tool.kill()


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS)
@pytest.mark.parametrize("mode", IDS)
def test_isotprecv(mode, setup, layer):
    _, ours = MODES[mode]
    asks = ["-b", str(setup.bs), "-m", f"{setup.stmin:02X}"]
    with our_end(layer, ours, setup, **SLOW) as our:
        for size in SIZES if mode == "Normal_11bits" else (1, 100):
            with listening("isotprecv", *options(mode, setup), *asks) as receiver:
                our.send(payload(size))
                printed, _ = receiver.communicate(timeout=PATIENCE)
                assert bytes.fromhex(printed) == payload(size)
        assert our.errors() == []


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS)
@pytest.mark.parametrize("mode", IDS)
def test_isotpsend(mode, setup, layer):
    _, ours = MODES[mode]
    with our_end(layer, ours, setup, **SLOW) as our:
        for size in SIZES if mode == "Normal_11bits" else (1, 100):
            subprocess.run(
                ["isotpsend", *options(mode, setup), "-b", INTERFACE],
                input=payload(size).hex(" "),
                text=True,
                check=True,
                timeout=PATIENCE,
            )
            assert our.recv() == payload(size)
        assert our.errors() == []


@pytest.mark.parametrize("layer", LAYERS)
def test_isotpdump(layer):
    """What the tool makes of an exchange between two of our layers."""
    tester, ecu = MODES["Normal_11bits"]
    setup = Setup(CLASSIC, bs=2, stmin=1)
    with (
        listening("isotpdump", "-s", "456", "-d", "123") as dump,
        our_end(layer, tester, setup) as sender,
        our_end(layer, ecu, setup) as receiver,
    ):
        sender.send(b"\x22\xf1\x90")
        assert receiver.recv() == b"\x22\xf1\x90"
        receiver.send(bytes(range(27)))
        assert sender.recv() == bytes(range(27))
        assert dump.stdout is not None
        lines: list[str] = []
        while len(lines) < 7:
            if line := dump.stdout.readline().split():
                lines.append(" ".join(line))
    flow_control = "vcan0 456 [3] [FC] FC: 0 = CTS # BS: 2 # STmin: 0x01 = 1 ms"
    assert lines == [
        "vcan0 456 [4] [SF] ln: 3 data: 22 F1 90",
        "vcan0 123 [8] [FF] ln: 27 data: 00 01 02 03 04 05",
        flow_control,
        "vcan0 123 [8] [CF] sn: 1 data: 06 07 08 09 0A 0B 0C",
        "vcan0 123 [8] [CF] sn: 2 data: 0D 0E 0F 10 11 12 13",
        flow_control,
        "vcan0 123 [8] [CF] sn: 3 data: 14 15 16 17 18 19 1A",
    ]
