#!/usr/bin/env python3
"""Record data/captures/kernel-faults.log and its truth: can-utils' ISO-TP on two buses, beside sessions that go wrong.

    python checks/kernel/run.py -- .venv/bin/python checks/kernel/record.py

candump -L listens on both buses while isotpsend sends to isotprecv, and while frames of broken sessions are put on the
bus by hand. The truth: for each session its bus, identifiers, and what a listener must find in it, in order.
"""

from __future__ import annotations

import json
import random
import socket
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "tests/data/captures"
LOG = FOLDER / "kernel-faults.log"
SIZES = (1, 7, 8, 62, 63, 300, 1000)
EFF, FDF, BRS = 0x80000000, 0x04, 0x01
dice = random.Random(7)


def send_by_kernel(bus: str, tx: int, rx: int, link: list[str], asks: list[str]) -> dict[str, Any]:
    """Messages of isotpsend to isotprecv, one process each; `asks` is what the receiver asks for."""
    messages = []
    for size in SIZES:
        payload = dice.randbytes(size)
        ours, theirs = ["-s", f"{tx:03X}", "-d", f"{rx:03X}"], ["-s", f"{rx:03X}", "-d", f"{tx:03X}"]
        with subprocess.Popen(
            ["isotprecv", *theirs, *link, *asks, bus], stdout=subprocess.PIPE, text=True
        ) as receiver:
            wait_for_listener(bus, tx)
            subprocess.run(["isotpsend", *ours, *link, bus], input=payload.hex(" "), text=True, check=True)
            received, _ = receiver.communicate(timeout=60)
        assert bytes.fromhex(received) == payload, received
        messages.append({"status": "OK", "data": payload.hex()})
    return {"bus": bus, "tx": tx, "rx": rx, "messages": messages}


def wait_for_listener(bus: str, can_id: int) -> None:
    deadline = time.monotonic() + 30
    while f"{can_id:03X}" not in Path("/proc/net/can/rcvlist_sff").read_text().upper():
        assert time.monotonic() < deadline, f"nobody listens to {can_id:#x} on {bus}"
        time.sleep(0.01)


def by_hand(
    bus: str, tx: int, rx: int, frames: list[tuple[str, bytes]], messages: list[tuple[str, bytes]]
) -> dict[str, Any]:
    """Frames of a session, ">" from tx, "<" from rx, and what a listener must find."""
    with socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as raw:
        raw.bind((bus,))
        for direction, data in frames:
            can_id = tx if direction == ">" else rx
            raw.send(struct.pack("=IB3x8s", can_id, len(data), data))
    return {
        "bus": bus,
        "tx": tx,
        "rx": rx,
        "messages": [{"status": status, "data": data.hex()} for status, data in messages],
    }


def faults() -> list[dict[str, Any]]:
    first = (">", b"\x10\x14abcdef")
    go_on = ("<", b"\x30\x00\x00")
    cf = [(">", bytes([0x20 | number]) + b"1234567") for number in range(16)]
    good = [first, go_on, cf[1], cf[2]]
    whole = b"abcdef12345671234567"
    single = (">", b"\x02hi")
    ok = ("OK", whole)
    return [
        by_hand(
            "vcan0",
            0x601,
            0x701,
            [first, go_on, cf[1], cf[3], *good],
            [("WRONG_SEQUENCE_NUMBER", whole[:13]), ok],
        ),
        by_hand(
            "vcan1",
            0x602,
            0x702,
            [first, go_on, single, *good],
            [("INTERRUPTED_BY_SINGLE_FRAME", b"abcdef"), ("OK", b"hi"), ok],
        ),
        by_hand(
            "vcan0",
            0x603,
            0x703,
            [first, go_on, cf[1], *good],
            [("INTERRUPTED_BY_FIRST_FRAME", whole[:13]), ok],
        ),
        by_hand("vcan1", 0x604, 0x704, [first, ("<", b"\x32\x00\x00"), *good], [("OVERFLOW", b"abcdef"), ok]),
        by_hand("vcan0", 0x605, 0x705, [*good, first, go_on, cf[1]], [ok, ("OPEN", whole[:13])]),
        # A receiver that asks to wait, and consecutive frames of nothing.
        by_hand(
            "vcan1", 0x606, 0x706, [cf[5], cf[6], first, ("<", b"\x31\x00\x00"), go_on, cf[1], cf[2]], [ok]
        ),
    ]


def main() -> None:
    with (
        LOG.open("wb") as log,
        subprocess.Popen(["candump", "-L", "vcan0,0:0", "vcan1,0:0"], stdout=log) as listener,
    ):
        # Its filter for all frames, on both buses.
        deadline = time.monotonic() + 30
        while Path("/proc/net/can/rcvlist_all").read_text().count("raw") < 2:
            assert time.monotonic() < deadline, "candump does not listen"
            time.sleep(0.01)
        sessions = [
            send_by_kernel("vcan0", 0x7E0, 0x7E8, [], []),
            send_by_kernel("vcan1", 0x7E0, 0x7E8, ["-p", "CC:CC"], ["-b", "4"]),
            send_by_kernel("vcan0", 0x7E1, 0x7E9, ["-L", "72:64:0"], []),
            send_by_kernel("vcan1", 0x7E2, 0x7EA, ["-L", "72:24:1"], []),
            *faults(),
        ]
        time.sleep(1)
        listener.terminate()
    LOG.with_suffix(".json").write_text(json.dumps({"sessions": sessions}) + "\n")
    print(LOG.read_text().count("\n"), "frames")


if __name__ == "__main__":
    main()
